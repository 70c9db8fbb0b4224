"""Of which required actions people are reminded, when, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from devices.domain.reminders import due_reminders, is_time, subject_of, text_of
from meters.domain.actions import Group, Key

NOW = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def group(days: float | None, *, kind: str = "IS_AUTHORIZED", total: str = "10", alone: str = "10") -> Group:
    key = Key("PARTNER", kind, "", "CCA", "CCA_DEC", None if days is None else NOW + days * DAY)
    return Group(key, meters=2, alone_meters=1, alone_kw=Decimal(alone), total_kw=Decimal(total))


@pytest.mark.parametrize(
    ("hours", "latest_hours", "expected"),
    [
        (0, None, True),
        (-0.1, None, False),  # before the morning
        (9.9, None, True),
        (0, -24, True),
        (5, 0, False),  # today's is written
        (10, 0, False),  # after midnight, before the morning
        (24, 9.9, True),
    ],
)
def test_one_message_a_day_from_the_morning_on(hours, latest_hours, expected):
    latest = None if latest_hours is None else NOW + timedelta(hours=latest_hours)
    assert is_time(latest=latest, now=NOW + timedelta(hours=hours)) is expected


def test_people_are_reminded_once_within_14_7_and_2_days():
    sent: set[tuple[str, int]] = set()
    told = []
    one, never, far = group(20), group(None), group(400)
    for day in range(25):
        found = due_reminders([one, never, far], sent=sent, now=NOW + day * DAY)
        told += [(day, reminder.days) for reminder in found]
        sent |= {(reminder.digest, reminder.days) for reminder in found}
    assert told == [(6, 14), (13, 7), (18, 2)]


def test_what_comes_late_is_told_once_for_where_it_stands():
    late = due_reminders([group(1)], sent=(), now=NOW)
    assert [reminder.days for reminder in late] == [2]


def test_a_message_names_the_first_groups_with_power_and_owners():
    found = due_reminders([group(3), group(1, kind="HAS_NOMINATIONS", alone="4")], sent=(), now=NOW)
    owners = {found[0].group.key: {"Ada\nLane": 1, "": 1}}
    assert text_of(found, owners).splitlines() == [
        "2 required actions due, the first by Sun 29 Nov",
        "By Sun 29 Nov 14:00 UTC: Suggest a nomination for CCA CCA_DEC: 2 meters, "
        "4.0 kW by this alone, 10.0 kW with what else they wait for. Owners: nobody 1, Ada Lane 1.",
        "By Tue 1 Dec 14:00 UTC: Have the customer authorize Leap for CCA CCA_DEC: 2 meters, 10.0 kW. "
        "Owner: nobody.",
        "See Required actions in the portal.",
    ]
    assert (
        subject_of(found[1:])
        == "Required action due by Tue 1 Dec: Have the customer authorize Leap, 2 meters"
    )
    many = due_reminders([group(1, kind=f"K{number}") for number in range(14)], sent=(), now=NOW)
    assert "and 4 more." in text_of(many, {})
