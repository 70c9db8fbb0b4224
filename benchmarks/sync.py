"""Measures a sync of meters on the database that DATABASE_URL names; see `b10_sync.py`.

The pages are Leap's answers as bytes, made before the clock runs, so that decoding counts and the network
does not. Measured are the first full run and, as `again`, a second one in which nothing has changed.
Reference: the rows of the first run put bare into the same tables by COPY (PostgreSQL) or one prepared insert
(SQLite).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime

from django.db import connection
from django.utils import timezone

from benchmarks.fanout import copy_rows
from benchmarks.harness import report, seconds
from benchmarks.with_django import empty_database
from leapvpp.leap.meters import MeterDetails, MeterEnrollment, MeterPage, read_page
from leapvpp.leap.simulator.meters import MeterBook, MeterQuery
from leapvpp.leap.values import encode_request
from meters import syncing
from meters.models import MarketGroupMembership, Meter
from meters.sync_models import MeterAtLeap, MeterChange, MeterSync, SyncKind
from meters.sync_turns import request_sync, start

METERS = 100_000
PAGE = 500


class Listed:
    """A Leap that lists the same meters each time, without a network."""

    def __init__(self, size: int) -> None:
        """Make the answers."""
        book = MeterBook()
        book.fill(size, now=datetime.now(UTC))
        enrollments, details = (book.search(MeterQuery(), is_enrollment=kind) for kind in (True, False))
        places = range(0, size, PAGE)
        self.enrollments = [encode_request({"meters": enrollments[place : place + PAGE]}) for place in places]
        self.details = {
            details[place]["meter_id"]: encode_request({"meters": details[place : place + PAGE]})
            for place in places
        }

    def search_enrollments(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterEnrollment]]:
        """Yield all pages; a full run asks for nothing else."""
        assert modified_since is None and meter_ids is None
        for body in self.enrollments:
            yield read_page(body, kind=MeterEnrollment)

    def search_details(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterDetails]]:
        """Yield the page that begins with the first of these meters."""
        assert modified_since is None and meter_ids
        yield read_page(self.details[next(iter(meter_ids))], kind=MeterDetails)


def sync(leap: Listed) -> MeterSync:
    """Do one full run."""
    asked, _ = request_sync(kind=SyncKind.FULL, by="", now=timezone.now())
    begun = start(asked, now=timezone.now())
    assert begun is not None

    def client() -> AbstractContextManager[syncing.Lister]:
        return nullcontext(leap)

    return syncing.run(begun, client=client)


def measure(size: int) -> None:
    """Run once on an empty database and print the line."""
    leap = Listed(size)
    first, run = seconds(lambda: sync(leap))
    again, second = seconds(lambda: sync(leap))
    assert (run.appeared, second.changed) == (size, 0)
    report(
        "B10 sync",
        portal=first,
        reference=copy_rows(Meter, MarketGroupMembership, MeterAtLeap, MeterChange),
        unit="s",
        database=connection.vendor,
        size=size,
        again=round(again, 2),
    )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    for number_of_meters in [int(each) for each in sys.argv[1:]] or [METERS]:
        with empty_database():
            measure(number_of_meters)
