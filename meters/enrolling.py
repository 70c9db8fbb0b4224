"""Stage: what Leap said of meters' programs → `Enrollment`, `RequiredAction` and `Program` rows.

The only writer of enrollments; of required actions all but owner and note, which are a person's. Called by
`meters.syncing` for the meters of a page, within its transaction: five statements, however many meters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from leapvpp.leap.meters import MeterEnrollment
from meters.among import Ids
from meters.domain.enrolling import Action, ActionKey, Enrolled, EnrolledKey, actions_of, enrollments_of
from meters.enrollment_models import Enrollment, Program, RequiredAction

Said = Mapping[int, MeterEnrollment]
"""What Leap said of meters, by their rows' ids."""


LONGEST_CODE: Final = 64


def note_programs(codes: Collection[str], *, now: datetime) -> None:
    """Have programs appear that nobody had named before; one question where there is none.

    What is too long to be a code of Leap's is none.
    """
    codes = {code for code in codes if 0 < len(code) <= LONGEST_CODE}
    named = Program.objects.filter(code__among=Ids(codes), first_heard_at__isnull=False)
    new = sorted(codes - set(named.values_list("code", flat=True)))
    if new:
        Program.objects.bulk_create((Program(code=code) for code in new), ignore_conflicts=True)
        Program.objects.filter(code__among=Ids(new), first_heard_at__isnull=True).update(first_heard_at=now)


def without_rows(said: Said) -> set[int]:
    """Return the meters of which there are no rows though there should be, as before rows were kept."""
    enrolled = Enrollment.objects.filter(meter__among=Ids(said)).values_list("meter_id")
    asked = RequiredAction.objects.filter(meter__among=Ids(said)).values_list("meter_id")
    missing = said.keys() - {pk for (pk,) in enrolled.union(asked)}
    return {
        pk
        for pk in missing
        if enrollments_of(said[pk].program_enrollment) or any(actions_of(said[pk].required_actions).values())
    }


def store(said: Said, *, now: datetime) -> None:
    """Bring the rows of meters in line with what Leap said of them."""
    _store_enrollments(said)
    _store_actions(said, now=now)


def _store_enrollments(said: Said) -> None:
    wanted = {
        (pk, *key): one
        for pk, meter in said.items()
        for key, one in enrollments_of(meter.program_enrollment).items()
    }
    stored: dict[tuple[int, *EnrolledKey], Enrollment] = {
        (row.meter_id, row.program, row.delivery_period, row.starts_at): row
        for row in Enrollment.objects.filter(meter__among=Ids(said))
    }
    gone = [row.pk for key, row in stored.items() if key not in wanted]
    Enrollment.objects.filter(pk__among=Ids(gone)).delete()
    Enrollment.objects.bulk_create(
        (
            _enrollment(key[0], one)
            for key, one in wanted.items()
            if key not in stored or not _is_as_stored(stored[key], one)
        ),
        update_conflicts=True,
        unique_fields=["meter", "program", "delivery_period", "starts_at"],
        update_fields=["ends_at", "status", "deadlines", "market_group_id"],
    )


def _enrollment(meter_pk: int, one: Enrolled) -> Enrollment:
    return Enrollment(
        meter_id=meter_pk,
        program=one.program,
        delivery_period=one.delivery_period,
        starts_at=one.starts_at,
        ends_at=one.ends_at,
        status=one.status,
        deadlines=one.deadlines,
        market_group_id=one.market_group_id,
    )


def _is_as_stored(row: Enrollment, one: Enrolled) -> bool:
    stored = (row.ends_at, row.status, row.deadlines, row.market_group_id)
    return stored == (one.ends_at, one.status, one.deadlines, one.market_group_id)


def _store_actions(said: Said, *, now: datetime) -> None:
    """Let actions appear, come again and be resolved; of a party that Leap left out nothing changes."""
    asked = {pk: actions_of(meter.required_actions) for pk, meter in said.items()}
    stored: dict[int, dict[ActionKey, RequiredAction]] = defaultdict(dict)
    for row in RequiredAction.objects.filter(meter__among=Ids(said)):
        key = (row.party, row.program, row.delivery_period, row.action_type, row.action_code)
        stored[row.meter_id][key] = row
    resolved = [
        row.pk
        for pk, rows in stored.items()
        for key, row in rows.items()
        if row.resolved_at is None and row.party in asked[pk] and key not in asked[pk][row.party]
    ]
    RequiredAction.objects.filter(pk__among=Ids(resolved)).update(resolved_at=now)
    RequiredAction.objects.bulk_create(
        (
            _action(pk, one, now=now)
            for pk, parties in asked.items()
            for actions in parties.values()
            for key, one in actions.items()
            if not _is_asked_so(stored[pk].get(key), one)
        ),
        update_conflicts=True,
        unique_fields=["meter", "party", "program", "delivery_period", "action_type", "action_code"],
        update_fields=["description", "deadline_at", "resolved_at"],
    )


def _action(meter_pk: int, one: Action, *, now: datetime) -> RequiredAction:
    return RequiredAction(
        meter_id=meter_pk,
        party=one.party,
        program=one.program,
        delivery_period=one.delivery_period,
        action_type=one.action_type,
        action_code=one.action_code,
        description=one.description,
        deadline_at=one.deadline_at,
        appeared_at=now,
    )


def _is_asked_so(row: RequiredAction | None, one: Action) -> bool:
    if row is None:
        return False
    stored = (row.resolved_at, row.description, row.deadline_at)
    return stored == (None, one.description, one.deadline_at)
