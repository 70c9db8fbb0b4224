"""Stage: enrollments, meters and devices → the delivery periods that begin soon and are not ready.

Reads whole periods, which takes a while where there are many meters: so a worker looks every few minutes,
and pages read the few rows of `SeasonWarning` that it leaves.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from devices.proof_models import Watch
from devices.watching import claim_look, hold_look
from dispatch.queue import CHECK_SEASONS
from dispatch.reading.seasons import Season, begin_soon, unready
from dispatch.season_models import SeasonWarning

SEASONS: Final = "seasons"
LOOK_EVERY: Final = timedelta(minutes=5)


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the task if a look is due; where no period begins soon and none is warned of, there is none."""
    if Watch.objects.filter(name=SEASONS, next_look_at__gt=now).exists():
        return ()
    return (CHECK_SEASONS,) if begin_soon(now=now).exists() or SeasonWarning.objects.exists() else ()


def check_if_due(*, now: datetime) -> int | None:
    """Look at the periods that begin soon and store which need somebody; return how many, None if not due.

    Whoever is killed in its midst leaves the warnings of the look before; the next one makes them anew.
    """
    if not claim_look(SEASONS, again_at=now + LOOK_EVERY, now=now):
        return None
    found = unready(now=now)
    with transaction.atomic():
        hold_look(SEASONS)
        SeasonWarning.objects.all().delete()
        SeasonWarning.objects.bulk_create(_warning(one, now=now) for one in found)
    return len(found)


def _warning(one: Season, *, now: datetime) -> SeasonWarning:
    return SeasonWarning(
        program=one.period.program,
        delivery_period=one.period.delivery_period,
        starts_at=one.period.starts_at,
        verdict=one.line,
        lacks=", ".join(item.text for item in one.items if item.is_grave),
        checked_at=now,
    )
