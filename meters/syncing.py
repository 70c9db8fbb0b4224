"""Stage: what Leap says of meters → meters, market groups and what changed of them.

Reads Leap's two searches side by side, five hundred meters at a time, and stores each page in one transaction
of a constant number of statements. Writes Leap's facts of `Meter`, groups and the memberships that Leap
names, `MeterAtLeap` and `MeterChange`, and through `meters.enrolling` enrollments and required actions; asks
for plans through the meters' rows. What is ours it never writes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from leapvpp.leap.client import METERS_ON_A_PAGE, LeapClient
from leapvpp.leap.errors import LeapError, LeapRefused
from leapvpp.leap.meters import MeterDetails, MeterEnrollment, MeterPage, Received, read_programs
from meters import connecting, enrolling
from meters.among import Ids
from meters.domain.hints import is_id
from meters.domain.memberships import Membership, memberships_of
from meters.domain.syncing import (
    DETAILS,
    ENROLLMENT,
    Change,
    Heard,
    Kind,
    Known,
    compare,
    hear,
)
from meters.grouping import Grouped, store_groups
from meters.models import Meter
from meters.queries import named_due
from meters.rereading import settle
from meters.sync_models import MeterAtLeap, MeterChange, MeterSync, MeterToRead, SyncKind, SyncState
from meters.sync_turns import TurnLost, claim, finish, forget_old, go_on

logger = logging.getLogger(__name__)

COLUMNS: Final = (
    "partner_reference",
    "transmission_region",
    "meter_type",
    "enrollment_status",
    "participation",
    "programs",
)
"""Leap's facts that are columns of the same name."""
ZONES: Final = {
    "CAISO": "America/Los_Angeles",
    "ERCOT": "America/Chicago",
    "ISONE": "America/New_York",
    "NYISO": "America/New_York",
}
"""The clock of a new meter, where its region has but one."""
COUNTS: Final = {
    Kind.APPEARED: "appeared",
    Kind.CHANGED: "changed",
    Kind.ARCHIVED: "archived",
    Kind.VANISHED: "vanished",
}

Pair = tuple[Received[MeterEnrollment], Received[MeterDetails] | None]


class Lister(Protocol):
    """The part of Leap's client that is needed here. Both raise LeapError."""

    def search_enrollments(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterEnrollment]]:
        """Yield every page of enrollments."""

    def search_details(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterDetails]]:
        """Yield every page of details."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """One meter with a change: its row, stored or yet to be, and what Leap had named before.

    `is_without_rows`: it was heard before enrollments were kept, and memberships with their periods.
    """

    row: Meter
    heard: Heard
    change: Change
    before: frozenset[Membership]
    was_heard: bool
    is_without_rows: bool = False

    @property
    def grouped(self) -> Grouped:
        """What of it bears on its groups."""
        return Grouped(
            meter_pk=self.row.pk,
            groups=self.heard.groups,
            before=self.before,
            heard=self.heard.memberships,
            was_heard=self.was_heard,
            is_without_rows=self.is_without_rows,
        )


def open_client() -> AbstractContextManager[Lister]:
    """Return a client of the configured Leap."""
    return LeapClient(base_url=settings.LEAP_API_BASE_URL, api_key=settings.LEAP_API_KEY)


def sync_if_due(*, now: datetime) -> str:
    """Do the run that waits or is due, if any; return a word for the log."""
    sync = claim(now=now) if settings.LEAP_API_KEY else None
    if sync is None:
        return "no sync is due"
    return f"sync {sync.pk} of meters: {run(sync).state.lower()}"


def run(
    sync: MeterSync,
    *,
    client: Callable[[], AbstractContextManager[Lister]] = open_client,
    clock: Callable[[], datetime] = timezone.now,
) -> MeterSync:
    """Do a run that was begun, to its end, and return it as it ended.

    What stops it is kept in words; what nobody expected is raised again after that.
    """
    try:
        with client() as leap:
            _read(leap, sync, clock=clock)
            while not finish(
                sync, state=SyncState.DONE, detail=_tell_vanished(sync, now=clock()), now=clock()
            ):
                _let_grow(sync)
                _read(leap, sync, clock=clock)
        forget_old(now=clock())
    except TurnLost:
        logger.warning("Sync %s of meters was closed while it ran", sync.pk)
    except (LeapError, ValueError) as error:  # the latter: an address or key with which no client can be made
        logger.warning("Sync %s of meters failed: %s", sync.pk, type(error).__name__)
        finish(sync, state=SyncState.FAILED, detail=str(error)[:500], now=clock())
    except Exception as error:
        finish(sync, state=SyncState.FAILED, detail=f"Unexpected: {error}"[:500], now=clock())
        raise
    return MeterSync.objects.get(pk=sync.pk)


def _let_grow(sync: MeterSync) -> None:
    """Go on with what was asked for while named meters were read. Raises TurnLost when the run was closed."""
    sync.refresh_from_db()
    if sync.state != SyncState.RUNNING:
        raise TurnLost


def _read(leap: Lister, sync: MeterSync, *, clock: Callable[[], datetime]) -> None:
    """Read and store what a run is about, and between its pages the meters that are to be read again."""
    for pairs in _pages(leap, sync, now=clock()):
        apply_page(sync, pairs, now=clock())
        _read_named(leap, sync, clock=clock)
    while _read_named(leap, sync, clock=clock):
        pass


def _read_named(leap: Lister, sync: MeterSync, *, clock: Callable[[], datetime]) -> bool:
    """Read a page of the meters that are to be read again; return whether there were any.

    Leap refuses a search as a whole: then it told of none of them, and no run ends by that. Only a key that
    is refused ends it.
    """
    named = list(named_due(now=clock())[:METERS_ON_A_PAGE])
    if not named:
        return False
    try:
        pairs = _by_id(leap, [each.meter_id for each in named if is_id(each.meter_id)])
    except LeapRefused as refusal:
        if not refusal.is_permanent or refusal.status in {401, 403}:
            raise
        logger.warning("Leap refused to tell of %s named meters: %s", len(named), refusal)
        pairs = []
    apply_page(sync, pairs, named=named, now=clock())
    return True


def _pages(leap: Lister, sync: MeterSync, *, now: datetime) -> Iterator[list[Pair]]:
    """Yield meters with both their bodies: all of them, or those that changed or whose words turned."""
    if sync.kind == SyncKind.NAMED:
        return
    for page in leap.search_enrollments(modified_since=sync.since):
        yield _with_details(leap, page.meters)
    if sync.kind == SyncKind.FULL:
        return
    for changed in leap.search_details(modified_since=sync.since):
        yield _by_id(leap, [each.meter.meter_id for each in changed.meters if each.meter])
    turned = MeterAtLeap.objects.filter(turns_at__lte=now, gone_at__isnull=True)
    ids = list(turned.order_by("pk").values_list("meter__meter_id", flat=True))
    for first in range(0, len(ids), METERS_ON_A_PAGE):
        yield _by_id(leap, ids[first : first + METERS_ON_A_PAGE])


def _by_id(leap: Lister, meter_ids: Sequence[str]) -> list[Pair]:
    if not meter_ids:
        return []
    pages = leap.search_enrollments(meter_ids=meter_ids)
    return _with_details(leap, [each for page in pages for each in page.meters])


def _with_details(leap: Lister, enrollments: Sequence[Received[MeterEnrollment]]) -> list[Pair]:
    ids = [each.meter.meter_id for each in enrollments if each.meter]
    pages = leap.search_details(meter_ids=ids) if ids else ()
    details = {each.meter.meter_id.lower(): each for page in pages for each in page.meters if each.meter}
    return [(each, details.get(each.meter.meter_id.lower()) if each.meter else None) for each in enrollments]


def apply_page(
    sync: MeterSync, pairs: Sequence[Pair], *, named: Sequence[MeterToRead] = (), now: datetime
) -> None:
    """Store one page, all of it or nothing. Raises TurnLost when the run was closed.

    `named`: for what the page was asked for; a meter that is in it need not be read again.
    """
    heard = {
        one.meter_id: one
        for enrollment, details in pairs
        if enrollment.meter
        for one in [hear(enrollment=enrollment, details=details, now=now)]
    }
    unreadable = [enrollment.problem for enrollment, _ in pairs if enrollment.meter is None]
    odd = [enrollment.problem for enrollment, _ in pairs if enrollment.meter and enrollment.problem]
    for words, problems in (("could not be read", unreadable), ("were read without their odd programs", odd)):
        if problems:
            logger.warning(
                "Sync %s: %s meters of a page %s, such as %s", sync.pk, len(problems), words, problems[0]
            )
    # By itself, as recording names programs too: who waits for the other's row then holds none of its own.
    enrolling.note_programs(
        {each.program_identifier for one in heard.values() for each in one.said.program_enrollment}, now=now
    )
    with transaction.atomic():
        go_on(sync, now=now, pages=1, meters=len(heard), unreadable=len(unreadable))
        decided, unchanged = _decide(heard, now=now)
        MeterAtLeap.objects.filter(meter__among=Ids(unchanged)).update(seen_in=sync.pk)
        _store_meters(decided, now=now)
        _store_bodies(sync, decided, now=now)
        store_groups([each.grouped for each in decided], now=now)
        enrolling.store({each.row.pk: each.heard.said for each in decided}, now=now)
        connecting.keep_references({each.row.pk: each.heard.bodies[ENROLLMENT] for each in decided})
        _tell(sync, decided, now=now)
        settle(named, heard=heard, now=now)


def _decide(heard: Mapping[str, Heard], *, now: datetime) -> tuple[list[_Decided], list[int]]:
    """Compare a page with what is stored; return what changes, and the rows of what does not."""
    rows = Meter.objects.select_for_update(no_key=True).filter(meter_id__among=Ids(heard)).order_by("pk")
    known = {row.meter_id: row for row in rows}
    records = {
        record.meter_id: record
        for record in MeterAtLeap.objects.filter(meter__among=Ids(row.pk for row in known.values()))
    }
    without_rows = enrolling.without_rows(
        {row.pk: heard[meter_id].said for meter_id, row in known.items() if row.pk in records}
    )
    decided, unchanged = [], []
    for meter_id, one in heard.items():
        row = known.get(meter_id)
        record = records.get(row.pk) if row else None
        before = _memberships_before(record)
        change = compare(known=_known(row, record, now=now) if row else None, heard=one, before=before)
        is_without_rows = row is not None and row.pk in without_rows
        # A meter without a body is heard for the first time, even if all is as a person wrote it.
        is_new = record is None or record.turns_at != one.turns_at or is_without_rows
        if change is None and row is not None and not is_new:
            unchanged.append(row.pk)
            continue
        change = change or Change(Kind.CHANGED, {}, is_planned=False)
        decided.append(
            _Decided(
                row or Meter(meter_id=meter_id),
                one,
                change,
                before,
                was_heard=record is not None,
                is_without_rows=is_without_rows,
            )
        )
    return decided, unchanged


def _known(row: Meter, record: MeterAtLeap | None, *, now: datetime) -> Known:
    facts: dict[str, object] = {name: getattr(row, name) for name in COLUMNS}
    facts["archived"] = row.archived_at is not None and row.archived_at <= now
    if record is None:
        return Known(facts=facts, bodies={})
    # Leap's last word, not the row: who archives a meter by hand keeps it so.
    said = record.enrollment.get("is_archived", record.details.get("is_archived"))
    facts["archived"] = facts["archived"] if said is None else said
    bodies = {ENROLLMENT: record.enrollment} | ({DETAILS: record.details} if record.details else {})
    return Known(facts=facts, bodies=bodies, is_listed=record.gone_at is None)


def _memberships_before(record: MeterAtLeap | None) -> frozenset[Membership]:
    said = record.enrollment.get("program_enrollment", []) if record else []
    return memberships_of(read_programs(said))


def _store_meters(decided: Sequence[_Decided], *, now: datetime) -> None:
    """Create and change meters, Leap's facts alone."""
    new: list[Meter] = []
    changed: list[Meter] = []
    for each in decided:
        facts = each.heard.facts
        for name in COLUMNS:
            if name in each.change.fields:
                setattr(each.row, name, facts[name])
        if "archived" in each.change.fields:
            each.row.archived_at = (each.row.archived_at or now) if facts["archived"] else None
        each.row.updated_at = now
        if each.row.pk is None:
            each.row.timezone = ZONES.get(each.row.transmission_region, "UTC")
            new.append(each.row)
        elif each.change.fields.keys() & {*COLUMNS, "archived"}:
            changed.append(each.row)
    Meter.objects.bulk_create(new)
    Meter.objects.bulk_update(changed, [*COLUMNS, "archived_at", "updated_at"], batch_size=250)
    planned = [each.row.pk for each in decided if each.change.is_planned]
    Meter.objects.filter(pk__among=Ids(planned)).update(plan_requested_at=now)


def _store_bodies(sync: MeterSync, decided: Sequence[_Decided], *, now: datetime) -> None:
    """Keep all that Leap said of what changed; details that were not given stay as they were."""
    for with_details in (True, False):
        chosen = [each for each in decided if (DETAILS in each.heard.bodies) is with_details]
        MeterAtLeap.objects.bulk_create(
            (
                MeterAtLeap(
                    meter=each.row,
                    enrollment=each.heard.bodies[ENROLLMENT],
                    details=each.heard.bodies.get(DETAILS, {}),
                    heard_at=now,
                    turns_at=each.heard.turns_at,
                    seen_in=sync.pk,
                )
                for each in chosen
            ),
            update_conflicts=True,
            unique_fields=["meter"],
            update_fields=[
                "enrollment",
                *(["details"] if with_details else []),
                "heard_at",
                "turns_at",
                "seen_in",
                "gone_at",
            ],
        )


def _tell(sync: MeterSync, decided: Sequence[_Decided], *, now: datetime) -> None:
    """Keep the diff, and count it."""
    told = [each for each in decided if each.change.fields or each.change.kind != Kind.CHANGED]
    MeterChange.objects.bulk_create(
        MeterChange(
            sync=sync,
            meter=each.row,
            kind=each.change.kind.value,
            fields={name: list(pair) for name, pair in each.change.fields.items()},
        )
        for each in told
    )
    if told:
        go_on(sync, now=now, **Counter(COUNTS[each.change.kind] for each in told))


def _tell_vanished(sync: MeterSync, *, now: datetime) -> str:
    """Note what a full run no longer listed; return what is to be said of the run.

    Such a meter keeps its devices and stays dispatchable: a missed event costs more than a needless one.
    """
    if sync.kind != SyncKind.FULL:
        return ""
    sync.refresh_from_db(fields=["unreadable"])  # the kind stays the one of which all pages were read
    if sync.unreadable:
        return "As some meters could not be read, this run does not tell which are no longer listed."
    listed = MeterAtLeap.objects.filter(gone_at__isnull=True)
    if not listed.filter(seen_in=sync.pk).exists() and listed.exists():
        return "Leap listed none of the meters it listed before, so this run does not tell which are gone."
    gone = listed.exclude(seen_in=sync.pk).order_by("pk")
    while ids := list(gone.values_list("meter_id", flat=True)[:METERS_ON_A_PAGE]):
        with transaction.atomic():
            go_on(sync, now=now, vanished=len(ids))
            MeterAtLeap.objects.filter(meter__among=Ids(ids)).update(gone_at=now)
            MeterChange.objects.bulk_create(
                MeterChange(sync=sync, meter_id=pk, kind=Kind.VANISHED.value) for pk in ids
            )
    return ""
