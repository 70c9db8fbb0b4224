"""Stage: a person's wish who is to rest, take part or leave → a request to Leap, and opt-outs that hold here.

Leap may go on dispatching a meter that is idle or disenrolled, and its devices' plans reach further ahead
than its present participation: so the wish makes opt-outs of the meters, for the same days, in the
transaction that stores the request. They stay whatever Leap answers, as the customer's wish does; ending an
idle period or taking part again ends them, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from dispatch.overrides import OverrideRefused, end_overrides, opt_out_meters
from meters.among import Ids
from meters.domain.participation import (
    Asked,
    Finding,
    Kind,
    check_asked,
    check_meter,
    named_twice,
)
from meters.models import Meter
from meters.participating import store_request
from meters.participation_models import ParticipationItem, ParticipationKind, ParticipationRequest
from meters.standing import Stood, load_standings

MOST_METERS: Final = 5000
"""Meters in one request; each opt-out is looked at by every plan while it lasts."""
GATE_FOR: Final = timedelta(days=92)
"""How long a disenrollment's opt-out lasts: longer than Leap takes to let a meter go. After that its own
participation stops its devices."""
GATED: Final = frozenset({Kind.IDLE, Kind.DISENROLL})
NO_KEY: Final = "LEAP_API_KEY is not set, so Leap cannot be told."
UNKNOWN: Final = "No meter is known by this id."


class ParticipationRefused(ValueError):
    """The request cannot be; `fields` holds what is wrong by the name of the field, `meters` by Leap's id."""

    def __init__(self, message: str, *, fields: Mapping[str, str], meters: Mapping[str, str]) -> None:
        super().__init__(message)
        self.fields = fields
        self.meters = meters


@dataclass(frozen=True, slots=True)
class Checked:
    """What a request would come to: what is wrong with it, and how each of its meters fares."""

    asked: Asked
    fields: Mapping[str, str]
    findings: tuple[Finding, ...] = ()
    stood: Mapping[str, Stood] | None = None
    twice: tuple[str, ...] = ()

    @property
    def sendable(self) -> tuple[Finding, ...]:
        """Those that Leap can be asked about."""
        return tuple(each for each in self.findings if not each.problem)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Those that it cannot."""
        return tuple(each for each in self.findings if each.problem)

    def meter(self, finding: Finding) -> Meter | None:
        """Return the row of a meter, if there is one."""
        found = (self.stood or {}).get(finding.meter_id)
        return found.meter if found else None


def check(*, asked: Asked, meter_ids: Sequence[str], now: datetime) -> Checked:
    """Look at a request without storing anything; meters by Leap's ids, in any case. Four queries."""
    fields = check_asked(asked, today=now.date())
    ids = [each.lower() for each in meter_ids]
    once = list(dict.fromkeys(ids))
    if not once:
        fields["meter_ids"] = "Name at least one meter."
    elif len(once) > MOST_METERS:
        fields["meter_ids"] = f"A request takes {MOST_METERS:,} meters; this names {len(once):,}."
    if fields:
        return Checked(asked=asked, fields=fields, twice=named_twice(ids))
    stood = load_standings(once, now=now)
    findings = tuple(
        check_meter(asked, stood[each].standing, now=now) if each in stood else Finding(each, UNKNOWN)
        for each in once
    )
    return Checked(asked=asked, fields={}, findings=findings, stood=stood, twice=named_twice(ids))


def ask(
    *,
    checked: Checked,
    is_gated: bool,
    confirm_commitment: bool,
    by: str,
    now: datetime,
) -> ParticipationRequest:
    """Store a request for the meters that can be asked about, with its opt-outs, all of it or nothing.

    `is_gated`: opt the meters out here as well, from an idle period's or disenrollment's first day on.

    Raises:
        ParticipationRefused: something is wrong with the request, no meter is left of it, no API key is set,
        or
            an opt-out would break a commitment that nobody gave up.
    """
    asked, sendable = checked.asked, checked.sendable
    if not settings.LEAP_API_KEY:
        raise ParticipationRefused(NO_KEY, fields={}, meters={})
    if checked.fields:
        raise ParticipationRefused("The request is not valid.", fields=checked.fields, meters={})
    if not sendable:
        problems = {each.meter_id: each.problem for each in checked.refused}
        raise ParticipationRefused("No meter is left to ask Leap about.", fields={}, meters=problems)
    meters = [meter for each in sendable if (meter := checked.meter(each)) is not None]
    with transaction.atomic():
        gates: Mapping[str, int] = {}
        if is_gated and asked.kind in GATED:
            gates = _gates(asked, sendable, by=by, confirm_commitment=confirm_commitment, now=now)
        request = store_request(asked=asked, meters=meters, gates=gates, by=by, now=now)
        _open_gates(asked, meters, sendable, by=by, now=now)
    return request


def _gates(
    asked: Asked, findings: Iterable[Finding], *, by: str, confirm_commitment: bool, now: datetime
) -> dict[str, int]:
    """Opt the meters out for the days of the request."""
    windows = {
        each.meter_id: (each.window.starts_at, each.window.ends_at or each.window.starts_at + GATE_FOR)
        for each in findings
        if each.window
    }
    try:
        return opt_out_meters(
            windows=windows,
            reason=gate_reason(asked),
            created_by=by,
            confirm_commitment=confirm_commitment,
            now=now,
        )
    except OverrideRefused as refused:
        raise ParticipationRefused(
            str(refused), fields={"confirm_commitment": str(refused)}, meters={}
        ) from refused


def gate_reason(asked: Asked) -> str:
    """Say why meters are opted out.

    >>> from datetime import date
    >>> from meters.domain.participation import Days
    >>> gate_reason(Asked(Kind.DISENROLL, Days(date(2026, 12, 1)), reason="Moved."))
    'Disenroll at Leap from 1 Dec 2026 on: Moved.'
    """
    kind = ParticipationKind(asked.kind).label
    return f"{kind} at Leap {asked.days}{f': {asked.reason.strip()}' if asked.reason.strip() else '.'}"


def _open_gates(
    asked: Asked, meters: Collection[Meter], findings: Iterable[Finding], *, by: str, now: datetime
) -> None:
    """End the opt-outs that came with what is taken back, or with what taking part again overrides."""
    if asked.kind in GATED:
        return
    gated = ParticipationItem.objects.filter(
        meter__among=Ids(meter.pk for meter in meters),
        gate_id__isnull=False,
        request__kind__in=[ParticipationKind.IDLE, ParticipationKind.DISENROLL],
    )
    if asked.kind is Kind.END_IDLE:
        gated = gated.filter(
            request__kind=ParticipationKind.IDLE,
            request__starts_on=asked.days.first,
            request__ends_on=asked.days.last,
        )
    starts = {each.meter_id: each.window.starts_at for each in findings if each.window}
    until: defaultdict[datetime, list[int]] = defaultdict(list)
    for gate_id, meter_id in gated.values_list("gate_id", "meter__meter_id"):
        if gate_id is not None:
            until[starts[meter_id] if asked.kind is Kind.PARTICIPATE else now].append(gate_id)
    end_overrides(until=until, now=now, by=by)
