"""A meter's causes in sentences: can it be dispatched, if not why not, and where that is mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from django.urls import reverse

from devices.models import Device
from dispatch.domain.standing import CAUSES, Code, causes_of, is_blocked
from dispatch.reading import words
from dispatch.reading.blackouts import policy_and_end
from dispatch.reading.holds import hold_over
from dispatch.reading.standing import STOPS, Present, able_kw, facts_of

MAP_PAGE = "dispatch:meter-detail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a meter can be dispatched, in one sentence, with the one place where it is mended."""

    kind: str
    text: str
    href: str = ""
    verb: str = ""


def verdicts(meter: Any, *, present: Present, zone: tzinfo) -> tuple[Verdict, ...]:
    """Give one sentence per cause why a meter cannot be dispatched; where it can, first how far."""
    causes = causes_of(facts_of(meter, present=present))
    told = [_told(code, meter, present=present, zone=zone) for code in causes]
    if is_blocked(causes):
        first = told[0]
        return (replace(first, text=f"Not ready: {_lower_first(first.text)}"), *told[1:])
    if causes[:1] == (Code.PARTLY_OFFLINE,):
        return (replace(told[0], kind="ok", text=f"Ready, {_lower_first(told[0].text)}"), *told[1:])
    return (Verdict("ok", f"Ready, up to {words.power(able_kw(meter))}."), *told)


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _told(code: Code, meter: Any, *, present: Present, zone: tzinfo) -> Verdict:
    """Say a cause of a meter in one sentence, with where it is mended."""
    now, plain = present.now, Verdict("warn", CAUSES[code].sentence)
    match code:
        case Code.ARCHIVED:
            return replace(plain, kind="plain")
        case Code.IDLE if meter.turns_at and meter.turns_at > now:
            until = words.day(meter.turns_at, zone=zone)
            return replace(plain, text=f"The meter is idle at Leap until {until}.")
        case Code.NO_DEVICE:
            href = f"{reverse(MAP_PAGE, args=[meter.meter_id])}#map"
            return replace(plain, href=href, verb="Map a device")
        case Code.HELD | Code.PARTLY_HELD | Code.FORCED:
            return _overridden(code, meter, present=present, zone=zone)
        case Code.BLACKOUT | Code.PARTLY_BLACKOUT:
            return _dark(code, meter, present=present, zone=zone)
        case Code.OFFLINE | Code.PARTLY_OFFLINE:
            return _offline(meter.mapped_devices, now=now, zone=zone)
        case Code.FAILING | Code.PARTLY_FAILING:
            return replace(plain, kind="bad", href="/commands/?state=failed", verb="See commands")
        case Code.NONE_ABLE:
            return replace(plain, kind="bad")
        case Code.OUT_OF_STEP:
            return replace(plain, href="/groups/", verb="See groups")
        case Code.NOT_ACTIVE:
            text = f"Active in no program now: {_status(meter)} at Leap."
            return replace(plain, text=text, href=f"{_page(meter)}#enrollment", verb="See enrollment")
        case Code.ARMED:
            until = words.day_clock(meter.test_armed_until, now=now, zone=zone)
            text = f"Armed until {until}: an integration test moves its devices."
            return replace(plain, text=text, href=f"{_page(meter)}#tests", verb="See")
        case _:
            return plain


def _page(meter: Any) -> str:
    return reverse(MAP_PAGE, args=[meter.meter_id])


def _status(meter: Any) -> str:
    return str(meter.enrollment_status).replace("_", " ").lower()


def _overridden(code: Code, meter: Any, *, present: Present, zone: tzinfo) -> Verdict:
    """Name the person's word that holds, opts out or forces, and until when."""
    is_stop = code is not Code.FORCED
    found = hold_over(
        [each for each in present.overrides if (each.action in STOPS) is is_stop],
        meters=[meter.meter_id],
        groups=[membership.group.market_group_id for membership in meter.present_memberships],
        devices=[device.external_id for device in meter.mapped_devices],
    )
    if found is None:  # it reaches a device through another meter
        return Verdict("hold", CAUSES[code].sentence, href="/overrides/", verb="See overrides")
    until = words.day_clock(found.ends_at, now=present.now, zone=zone)
    whose = "Some devices: " if code is Code.PARTLY_HELD else ""
    text = f"{found.get_action_display()} until {until} by {found.created_by}."
    return Verdict(
        "hold",
        f"{whose}{_lower_first(text) if whose else text}",
        href=reverse("dispatch:override-detail", args=[found.pk]),
        verb="Open",
    )


def _dark(code: Code, meter: Any, *, present: Present, zone: tzinfo) -> Verdict:
    """Name the policy that lets devices run nothing now, and until when."""
    dark = [policy_and_end(present.blackouts, device) for device in meter.mapped_devices if device.is_dark]
    policy, until = min(dark, key=lambda each: each[1])
    who = "Its devices" if code is Code.BLACKOUT else words.counted(len(dark), one="device")
    ends = words.day_clock(until, now=present.now, zone=zone)
    text = f"{who} in a blackout of the policy “{policy.name}” until {ends}."
    if code is Code.BLACKOUT:
        text = text.replace("devices in", "devices are in", 1)
    href = reverse("dispatch:policy-detail", args=[policy.pk])
    return Verdict("warn", text, href=href, verb="See policy")


def _offline(devices: Sequence[Device], *, now: datetime, zone: tzinfo) -> Verdict:
    """Name the device that does not answer, or say how many do not."""
    silent = [device for device in devices if not device.is_online]
    first = silent[0]
    page = reverse("dispatch:device-detail", args=[first.pk])
    if len(devices) == 1:
        seen = words.day_clock(first.last_seen_at, now=now, zone=zone) if first.last_seen_at else ""
        text = f"The device is offline{f' since {seen}' if seen else ''}."
        return Verdict("bad", text, href=page, verb="See device")
    if len(silent) == len(devices):
        return Verdict("bad", f"All {len(devices)} devices are offline.")
    text = f"{len(devices) - len(silent)} of {len(devices)} devices online."
    return Verdict("warn", text, href=page, verb="See the one offline" if len(silent) == 1 else "")
