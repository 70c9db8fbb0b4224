"""Which meters are to be read again from Leap: the only writer of `MeterToRead` rows, but for their end.

Whoever is told that a meter changed – by a platform event, a group that is out of step, an answer to what we
asked – asks here; the next run of kind NAMED reads it, at the latest a second later while nothing else runs.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from meters.sync_models import MeterToRead


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
