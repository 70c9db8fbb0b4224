"""Which meters are to be read again from Leap: the only writer of `MeterToRead` rows.

Whoever is told that a meter changed – by a platform event, a group that is out of step, an answer to what we
asked – asks here; the next run of kind NAMED reads it, at the latest a second later while nothing else runs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Case, F, Value, When

from meters.among import Ids
from meters.sync_models import MeterToRead

logger = logging.getLogger(__name__)

TRIED_AGAIN_AFTER: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
"""When Leap is asked again about a meter of which it did not tell; after that nobody asks."""


def read_again(meter_ids: Collection[str], *, why: str, now: datetime) -> None:
    """Have meters, by Leap's ids, read again soon. One statement; asking twice is asking once."""
    MeterToRead.objects.bulk_create(
        (
            MeterToRead(meter_id=meter_id.lower(), why=why[:200], asked_at=now, attempt_at=now)
            for meter_id in sorted({each.lower() for each in meter_ids})
        ),
        update_conflicts=True,
        unique_fields=["meter_id"],
        update_fields=["why", "asked_at", "attempt_at", "tries"],
        batch_size=5000,
    )


def settle(named: Sequence[MeterToRead], *, heard: Collection[str], now: datetime) -> None:
    """Be done with the meters that Leap told of, and put off the others; in the transaction that stores them.

    Who was asked for again since `named` was read waits to be read once more. A meter that Leap does not tell
    of time and again is left to the next full run, which tells what is no longer listed. Four statements.
    """
    if not named:
        return
    rows = MeterToRead.objects.select_for_update().filter(pk__among=Ids(row.pk for row in named))
    current = {row.pk: row.asked_at for row in rows.order_by("meter_id")}  # as `read_again` goes
    settled = [row for row in named if current.get(row.pk) == row.asked_at]
    missing = [row for row in settled if row.meter_id not in heard]
    given_up = [row for row in missing if row.tries >= len(TRIED_AGAIN_AFTER)]
    put_off = [row.pk for row in missing if row.tries < len(TRIED_AGAIN_AFTER)]
    if given_up:
        logger.warning(
            "Leap told nothing of %s meters that were to be read again, such as %s (%s)",
            len(given_up),
            given_up[0].meter_id,
            given_up[0].why,
        )
    over = [row.pk for row in settled if row.meter_id in heard] + [row.pk for row in given_up]
    MeterToRead.objects.filter(pk__among=Ids(over)).delete()
    MeterToRead.objects.filter(pk__among=Ids(put_off)).update(
        tries=F("tries") + 1,
        attempt_at=Case(
            *(When(tries=tries, then=Value(now + wait)) for tries, wait in enumerate(TRIED_AGAIN_AFTER)),
            default=Value(now + TRIED_AGAIN_AFTER[-1]),
        ),
    )
