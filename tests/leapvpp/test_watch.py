"""A worker cluster that looks well and does nothing is noticed by its rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from leapvpp.health import note_heartbeat
from leapvpp.queue import CLUSTERS
from leapvpp.supervision.watch import MANY_UNANSWERED, frozen_because

pytestmark = pytest.mark.django_db
NOW = timezone.now()

MANY = MANY_UNANSWERED + 1
# case: started, beaten (seconds from now), queued tasks, when they were queued or fetched, frozen
CASES = {
    "nothing to do": (-1000, -500, 0, ("queued", 0), False),
    "work waits and the beat is fresh": (-1000, -3, 1, ("queued", -100), False),
    "work waits and no beat": (-1000, -100, 1, ("queued", -100), True),
    "work has waited only a little": (-1000, -100, 1, ("queued", -20), False),
    "just started": (-20, -1000, 1, ("queued", -1000), False),
    "fetched, running": (-1000, -3, MANY, ("fetched", -30), False),
    "much fetched long ago, never answered": (-1000, -3, MANY, ("fetched", -150), True),
    "what a killed cluster leaves": (-1000, -3, MANY - 1, ("fetched", -150), False),
    "fetched by a cluster before this one": (-100, -3, MANY, ("fetched", -150), False),
}


@pytest.mark.parametrize("cluster", CLUSTERS, ids=[each.name for each in CLUSTERS])
@pytest.mark.parametrize(
    ("started", "beaten", "count", "handled", "is_frozen"), CASES.values(), ids=CASES.keys()
)
def test_frozen_is_told_from_idle(started, beaten, count, handled, is_frozen, cluster):
    def at(seconds):
        return NOW + timedelta(seconds=seconds)

    note_heartbeat(name=cluster.process, now=at(beaten))
    how, seconds = handled
    lock = at(seconds) + timedelta(seconds=cluster.settings["retry"] if how == "fetched" else 0)
    OrmQ.objects.bulk_create([OrmQ(key=cluster.name, payload="", lock=lock)] * count)
    frozen = [each for each in CLUSTERS if frozen_because(each, since=at(started), now=NOW)]
    assert frozen == ([cluster] if is_frozen else [])
