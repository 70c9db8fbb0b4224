"""A worker cluster that looks well and does nothing is noticed by its rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ

from leapvpp.health import note_heartbeat
from leapvpp.supervision.watch import MANY_UNANSWERED, frozen_because

pytestmark = pytest.mark.django_db
NOW = timezone.now()
RETRY = settings.Q_CLUSTER["retry"]

MANY = MANY_UNANSWERED + 1
# case: started, beaten (seconds from now), queued tasks, their lock (seconds from now), frozen
CASES = {
    "nothing to do": (-1000, -500, 0, 0, False),
    "work waits and the beat is fresh": (-1000, -3, 1, -100, False),
    "work waits and no beat": (-1000, -100, 1, -100, True),
    "work has waited only a little": (-1000, -100, 1, -20, False),
    "just started": (-20, -1000, 1, -1000, False),
    "fetched, running": (-1000, -3, MANY, RETRY - 30, False),
    "much fetched long ago, never answered": (-1000, -3, MANY, RETRY - 150, True),
    "what a killed cluster leaves": (-1000, -3, MANY - 1, RETRY - 150, False),
    "fetched by a cluster before this one": (-100, -3, MANY, RETRY - 150, False),
}


@pytest.mark.parametrize(
    ("started", "beaten", "count", "lock", "is_frozen"), CASES.values(), ids=CASES.keys()
)
def test_frozen_is_told_from_idle(started, beaten, count, lock, is_frozen):
    def at(seconds):
        return NOW + timedelta(seconds=seconds)

    note_heartbeat(name="worker", now=at(beaten))
    queued = OrmQ(key=settings.Q_CLUSTER["name"], payload="", lock=at(lock))
    OrmQ.objects.bulk_create([queued] * count)
    assert bool(frozen_because(since=at(started), now=NOW)) is is_frozen
