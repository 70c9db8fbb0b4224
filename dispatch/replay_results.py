"""What came of a replay, as it is stored and shown: plain numbers in kWh and hours, and names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from devices.models import Device
from dispatch.domain.events import Event
from dispatch.domain.programs import label_of
from dispatch.domain.tallying import Comparison, Fate, Pair, Reasons, Tally, hours_of, kwh_of

MOST_EVENTS: Final = 10
MOST_REASONS: Final = 12
NO_PROGRAM: Final = "No program"

Json = dict[str, Any]


def result_of(found: Comparison, *, devices: int, too_late: int) -> Json:
    """Return the result; `devices` is how many the policy was tried on. One query."""
    live = [event for event in found.final.values() if not event.is_cancelled]
    return {
        "devices": devices,
        "events": len(live),
        "cancelled_events": len(found.final) - len(live),
        "unnumbered_events": len(found.unnumbered),
        "late_events": too_late,
        "asked_kwh": float(kwh_of(sum(found.asked.values()))),
        **_sides(found.totals),
        "others": _sides(found.others),
        "programs": _programs(found),
        "days": _days(found),
        "changed_events": _events(found),
        "changed_devices": _devices(found),
        "reasons": _reasons(found.reasons),
    }


def figures(tally: Tally) -> Json:
    """Return the sums of one replay."""
    return {
        "delivered_kwh": float(tally.kwh),
        "device_hours": float(tally.hours),
        "runs": tally.runs,
        "commitments_kept": tally.fates[Fate.KEPT],
        "commitments_broken": tally.fates[Fate.BROKEN],
        "voluntary_served": tally.fates[Fate.SERVED],
        "voluntary_skipped": tally.fates[Fate.SKIPPED],
    }


def _sides(pair: Pair) -> Json:
    return {"before": figures(pair.before), "after": figures(pair.after)}


def _programs(found: Comparison) -> list[Json]:
    """List the programs by their names, with what their events ask."""
    events: defaultdict[str, list[Event]] = defaultdict(list)
    for event in found.final.values():
        events[label_of(event.programs) or NO_PROGRAM].append(event)
    return [
        {
            "program": label,
            "events": sum(not event.is_cancelled for event in events[label]),
            "unnumbered_events": sum(event.event_id in found.unnumbered for event in events[label]),
            "asked_kwh": float(kwh_of(sum(found.asked[event.event_id] for event in events[label]))),
            **_sides(found.programs.get(label, Pair())),
        }
        for label in sorted(events)
    ]


def _days(found: Comparison) -> list[Json]:
    return [
        {
            "date": day.isoformat(),
            "asked_kwh": float(kwh_of(found.asked_on.get(day, 0))),
            **_sides(found.days.get(day, Pair())),
            **_because(found.day_reasons.get(day, Reasons())),
        }
        for day in sorted({*found.days, *found.asked_on})
    ]


def _because(reasons: Reasons) -> Json:
    reason, is_new = reasons.strongest()
    return {"reason": reason, "is_new_reason": is_new}


def _events(found: Comparison) -> list[Json]:
    """List the events that fare otherwise on most devices."""
    told = [(_turned(pair), event_id) for event_id, pair in found.events.items() if any(_turned(pair))]
    told.sort(key=lambda each: (tuple(-count for count in each[0]), each[1]))
    return [
        {
            "id": event_id,
            "leap_event_id": found.final[event_id].leap_event_id,
            "program": label_of(found.final[event_id].programs) or NO_PROGRAM,
            "starts_at": found.final[event_id].window.start.isoformat(),
            "ends_at": found.final[event_id].window.end.isoformat(),
            "is_voluntary": found.final[event_id].is_voluntary,
            **_sides(found.events[event_id]),
            **_because(found.event_reasons[event_id]),
        }
        for _, event_id in told[:MOST_EVENTS]
    ]


def _turned(pair: Pair) -> tuple[int, int]:
    """Return on how many devices a commitment, and a voluntary event, fares otherwise."""
    return (
        abs(pair.after.fates[Fate.BROKEN] - pair.before.fates[Fate.BROKEN]),
        abs(pair.after.fates[Fate.SKIPPED] - pair.before.fates[Fate.SKIPPED]),
    )


def _devices(found: Comparison) -> list[Json]:
    names = _names([change.device_id for change in found.devices])
    return [
        {
            "id": change.device_id,
            "external_id": names[change.device_id][0],
            "name": names[change.device_id][1],
            **_sides(change.pair),
            **_because(change.reasons),
        }
        for change in found.devices
        if change.device_id in names
    ]


def _names(device_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    found = Device.objects.filter(pk__in=device_ids)
    return {device.pk: (device.external_id, str(device)) for device in found}


def _reasons(reasons: Reasons) -> list[Json]:
    """List the reasons that were given for longest, in either replay."""
    longest = sorted(reasons.lasted.items(), key=lambda each: (-max(each[1]), each[0]))
    return [
        {
            "reason": reason,
            "before_device_hours": float(hours_of(before)),
            "after_device_hours": float(hours_of(after)),
        }
        for reason, (before, after) in longest[:MOST_REASONS]
    ]
