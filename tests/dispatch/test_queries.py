"""Where an event stands: the rule in Python and the rule in SQL are one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dispatch.models import DispatchEvent, Level, RecipientSet
from dispatch.queries import EventStatus, status_of, with_status

NOW = datetime(2026, 7, 1, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)

CASES = {
    "before": (HOUR, 2 * HOUR, {}, EventStatus.SCHEDULED),
    "at its start": (0 * HOUR, HOUR, {}, EventStatus.ACTIVE),
    "will end early": (-HOUR, HOUR, {"is_ended_early": True}, EventStatus.ACTIVE),
    "at its end": (-HOUR, 0 * HOUR, {}, EventStatus.COMPLETED),
    "ended early": (-2 * HOUR, -HOUR, {"is_ended_early": True}, EventStatus.ENDED_EARLY),
    "cancelled": (HOUR, 2 * HOUR, {"is_cancelled": True}, EventStatus.CANCELLED),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("start", "end", "fields", "status"), CASES.values(), ids=CASES.keys())
def test_an_event_stands_in_exactly_one_place(start, end, fields, status):
    event = DispatchEvent.objects.create(
        level=Level.METER,
        leap_event_id="e",
        recipients=RecipientSet.objects.create(digest="d"),
        starts_at=NOW + start,
        ends_at=NOW + end,
        priority_rank=1,
        is_voluntary=False,
        cap="up-to-nomination",
        first_received_at=NOW,
        changed_at=NOW,
        **fields,
    )

    assert status_of(event, now=NOW) == status
    assert [
        place for place in EventStatus if with_status(DispatchEvent.objects.all(), status=place, now=NOW)
    ] == [status]
