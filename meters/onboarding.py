"""Stage: a file or form of meters → a draft, checked row by row → batches at Leap → what became of each row.

The only writer of jobs, their batches and their rows. A batch is SENDING before Leap is spoken to; when
nobody knows whether it arrived, it is looked up at Leap by the unique name of its file before it is sent
again, and each meter's partner reference keeps Leap from creating it twice.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from leapvpp.leap.errors import LeapError, LeapRefused, storable
from leapvpp.leap.jobs import JobAsset, LeapJob, LeapJobs
from meters.among import Ids
from meters.domain.hints import is_id
from meters.domain.onboarding import REFERENCE, Cells, Checked, Problem, check_rows
from meters.models import Meter
from meters.onboarding_models import OVER, JobState, MeterJob, MeterJobBatch, MeterJobRow
from meters.rereading import read_again

logger = logging.getLogger(__name__)

FOLLOW_JOBS: Final = "meters.tasks.follow_meter_jobs"
METERS_IN_A_BATCH: Final = 500
"""Leap does not publish how many meters a job may have; its searches of meters answer 500 a page."""
LEASE: Final = timedelta(minutes=2)
"""Longer than one call to Leap, with all of its repeats."""
SEND_AGAIN_AFTER: Final = timedelta(minutes=1)
"""When a batch that Leap does not list cannot arrive any more, as no request lasts that long."""
FIRST_LOOK: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(minutes=5)
WORK_SECONDS: Final = 20.0
"""When a task leaves what is left to the next: with the longest call, within the time of a task."""
BATCH_REFUSED: Final = "Not created: Leap refused the batch because of other rows."


class JobRefused(ValueError):
    """A job cannot be sent, changed or taken back; the text says why and what to do."""


class Jobs(Protocol):
    """The part of Leap's client that is needed here. Every method raises LeapError."""

    def create_job(
        self, assets: Sequence[Mapping[str, object]], *, update_existing: bool, file_name: str
    ) -> str:
        """Ask for meters; return the job's id."""

    def get_job(self, job_id: str) -> LeapJob:
        """Return a job with its meters."""

    def find_job(self, *, file_name: str) -> LeapJob | None:
        """Return the job of this name, if there is one."""


def open_client() -> AbstractContextManager[Jobs]:
    """Return a client of the configured Leap."""
    return LeapJobs(base_url=settings.LEAP_API_BASE_URL, api_key=settings.LEAP_API_KEY)


def check_against_ours(
    rows: Sequence[Cells], *, update_existing: bool
) -> tuple[list[Checked], dict[str, str]]:
    """Check rows, and whether meters of ours have their references already; return those too. One query.

    Such a row is a problem unless existing meters are to be updated: Leap would answer DUPLICATE.
    """
    checked = check_rows(rows)
    known = meters_by_reference(one.reference for one in checked)
    if update_existing:
        return checked, known
    text = (
        "A meter has this reference already. Take the row out, or have existing meters updated to change it."
    )
    return [
        Checked(one.reference, one.asset, (*one.problems, Problem(REFERENCE, text)))
        if one.reference in known
        else one
        for one in checked
    ], known


def meters_by_reference(references: Iterable[str]) -> dict[str, str]:
    """Return Leap's ids of our meters by partner reference. One query."""
    wanted = Ids({one for one in references if one})
    found = Meter.objects.filter(partner_reference__among=wanted).order_by("-pk")
    return dict(found.values_list("partner_reference", "meter_id"))


def draft_job(
    rows: Sequence[Cells], *, file_name: str, update_existing: bool, made_by: str, now: datetime
) -> MeterJob:
    """Store a job as a draft with what is wrong with its rows. Nothing is sent."""
    checked, known = check_against_ours(rows, update_existing=update_existing)
    with transaction.atomic():
        job = MeterJob.objects.create(
            file_name=file_name.replace("\0", "")[:200] or "meters.csv",
            update_existing=update_existing,
            made_by=made_by,
            made_at=now,
            rows_count=len(checked),
            problems_count=sum(bool(one.problems) for one in checked),
        )
        _store_rows(job, rows, checked, known)
    return job


def _store_rows(
    job: MeterJob, rows: Sequence[Cells], checked: Sequence[Checked], known: Mapping[str, str]
) -> None:
    MeterJobRow.objects.bulk_create(
        (
            MeterJobRow(
                job=job,
                number=number,
                partner_reference=storable(one.reference),
                cells={name: storable(text) for name, text in cells.items()},
                asset=one.asset,
                problems=[[problem.column, problem.text] for problem in one.problems],
                meter_id=known.get(one.reference, ""),
            )
            for number, (cells, one) in enumerate(zip(rows, checked, strict=True), start=2)
        ),
        batch_size=1000,
    )


def check_again(job_id: int, *, update_existing: bool) -> None:
    """Check a draft anew, with or without updating existing meters. Raises JobRefused when it was sent."""
    with transaction.atomic():
        job = _draft(job_id)
        rows = list(job.rows.order_by("number").values_list("cells", flat=True))
        checked, known = check_against_ours(rows, update_existing=update_existing)
        job.rows.all().delete()
        _store_rows(job, rows, checked, known)
        job.update_existing = update_existing
        job.problems_count = sum(bool(one.problems) for one in checked)
        job.save(update_fields=["update_existing", "problems_count"])


def discard_job(job_id: int) -> None:
    """Take a draft back. Raises JobRefused when it was sent."""
    with transaction.atomic():
        _draft(job_id).delete()


def _draft(job_id: int) -> MeterJob:
    job = MeterJob.objects.select_for_update(no_key=True).get(pk=job_id)
    if job.state != JobState.DRAFT:
        raise JobRefused("This job was sent already, so it can no longer be changed or taken back.")
    return job


def send_job(job_id: int, *, by: str, now: datetime) -> None:
    """Have a draft sent, cut into batches; a worker takes them within a second.

    Raises JobRefused when it was sent already or a row has a problem: all rows are sent, or none.
    """
    with transaction.atomic():
        job = _draft(job_id)
        if job.problems_count or not job.rows_count:
            raise JobRefused(
                f"{job.problems_count:,} rows cannot be sent yet. Correct them and add the file again."
            )
        job.state, job.requested_by, job.requested_at = JobState.WAITING, by, now
        job.save(update_fields=["state", "requested_by", "requested_at"])
        numbers = list(job.rows.order_by("number").values_list("number", flat=True))
        cuts = [numbers[at : at + METERS_IN_A_BATCH] for at in range(0, len(numbers), METERS_IN_A_BATCH)]
        batches = MeterJobBatch.objects.bulk_create(
            MeterJobBatch(job=job, number=place, file_name=_file_name(job, place), look_at=now)
            for place in range(1, len(cuts) + 1)
        )
        for batch, cut in zip(batches, cuts, strict=True):
            job.rows.filter(number__range=(cut[0], cut[-1])).update(batch=batch)


def _file_name(job: MeterJob, place: int) -> str:
    """Return a name that no other batch has, of the signs that Leap allows."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", job.file_name.rsplit(".", 1)[0])[:80].strip("-.") or "meters"
    return f"{stem}-{job.pk}-{place}-{uuid4().hex[:12]}.json"


def send_again(job_id: int, *, now: datetime) -> int:
    """Have the batches that Leap refused as a whole sent again, as after a key was mended; count them."""
    with transaction.atomic():
        job = MeterJob.objects.select_for_update(no_key=True).get(pk=job_id)
        refused = job.batches.filter(state=JobState.FAILED, leap_job_id="")
        pks = list(refused.values_list("pk", flat=True))
        if not pks:
            raise JobRefused("No batch of this job was refused as a whole.")
        MeterJobRow.objects.filter(batch__in=pks).update(status="", status_detail="", description="")
        refused.update(state=JobState.WAITING, look_at=now, tries=0, detail="", claimed_until=None)
        job.state, job.finished_at = JobState.PROCESSING, None
        job.save(update_fields=["state", "finished_at"])
    return len(pks)


def waiting(*, now: datetime) -> tuple[str, ...]:
    """Return the task to wake when a batch is to be sent or looked at. One indexed question."""
    if not settings.LEAP_API_KEY:
        return ()
    return (FOLLOW_JOBS,) if _due(now=now).exists() else ()


def _due(*, now: datetime) -> QuerySet[MeterJobBatch]:
    is_free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
    return MeterJobBatch.objects.filter(is_free, ~Q(state__in=OVER), look_at__lte=now)


def follow_jobs(
    *,
    client: Callable[[], AbstractContextManager[Jobs]] = open_client,
    clock: Callable[[], datetime] = timezone.now,
) -> int:
    """Send, look up and follow the batches that are due, for some seconds; return how many were touched."""
    if not settings.LEAP_API_KEY:
        return 0
    began, touched = time.monotonic(), 0
    with client() as leap:
        while time.monotonic() - began < WORK_SECONDS and (batch := _claim(now=clock())):
            _go_on(leap, batch, clock=clock)
            touched += 1
    return touched


def _claim(*, now: datetime) -> MeterJobBatch | None:
    """Take the batch that is due longest; `None` when there is none, or another worker has just taken it."""
    batch = _due(now=now).select_related("job").order_by("look_at", "pk").first()
    if batch is None:
        return None
    lease = now + LEASE
    free = MeterJobBatch.objects.filter(pk=batch.pk, state=batch.state, claimed_until=batch.claimed_until)
    if not free.update(claimed_until=lease):
        return None
    batch.claimed_until = lease
    return batch


def _go_on(leap: Jobs, batch: MeterJobBatch, *, clock: Callable[[], datetime]) -> None:
    """Do the next step of a batch; what goes wrong is kept in words, and tried again later."""
    steps = {JobState.WAITING: _send, JobState.SENDING: _look_up, JobState.PROCESSING: _look}
    try:
        steps[JobState(batch.state)](leap, batch, clock=clock)
    except LeapError as error:
        logger.warning("Batch %s of meters: %s", batch.file_name, type(error).__name__)
        _pause(batch, detail=str(error)[:500], now=clock())


def _send(leap: Jobs, batch: MeterJobBatch, *, clock: Callable[[], datetime]) -> None:
    """Send a batch, having said so first."""
    assets = list(batch.rows.order_by("number").values_list("asset", flat=True))
    if not _hold(batch).update(state=JobState.SENDING, sent_at=clock()):
        return
    batch.state = JobState.SENDING
    _settle(batch.job_id, now=clock())
    try:
        job_id = leap.create_job(assets, update_existing=batch.job.update_existing, file_name=batch.file_name)
    except LeapRefused as refused:
        if not refused.is_permanent:
            raise
        _refuse(batch, refused, now=clock())
    else:
        _found(batch, job_id=job_id, now=clock())


def _look_up(leap: Jobs, batch: MeterJobBatch, *, clock: Callable[[], datetime]) -> None:
    """Find out whether a batch arrived; have it sent again once it cannot arrive any more."""
    job = leap.find_job(file_name=batch.file_name)
    now = clock()
    if job is not None:
        _found(batch, job_id=job.job_id, now=now)
    elif batch.sent_at is None or batch.sent_at + SEND_AGAIN_AFTER <= now:
        _let_go(batch, now=now, state=JobState.WAITING, look_at=now, tries=batch.tries + 1)
    else:
        _let_go(batch, now=now, look_at=batch.sent_at + SEND_AGAIN_AFTER)


def _found(batch: MeterJobBatch, *, job_id: str, now: datetime) -> None:
    _let_go(
        batch,
        now=now,
        state=JobState.PROCESSING,
        leap_job_id=job_id[:64],
        look_at=now + FIRST_LOOK,
        tries=0,
        detail="",
    )


def _look(leap: Jobs, batch: MeterJobBatch, *, clock: Callable[[], datetime]) -> None:
    """Ask what has become of a batch, and write it to its rows; a status unknown to us goes on."""
    try:
        job = leap.get_job(batch.leap_job_id)
    except LeapRefused as refused:
        if refused.status != 404:
            raise
        _end(batch, state=JobState.FAILED, detail="Leap no longer knows this job.", now=clock())
        return
    now = clock()
    if job.status in OVER:
        _end(batch, state=JobState(job.status), detail="", now=now, assets=job.assets)
        return
    with transaction.atomic():
        if _hold(batch).exists():
            _write_rows(batch, job.assets)
    detail = "" if job.status == JobState.PROCESSING else f"Leap says {storable(job.status)}."
    _pause(batch, detail=detail, now=now)


def _end(
    batch: MeterJobBatch,
    *,
    state: JobState,
    detail: str,
    now: datetime,
    assets: Sequence[JobAsset] = (),
) -> None:
    """Close a batch with what became of its rows, and have the meters it created read from Leap."""
    with transaction.atomic():
        if not _hold(batch).update(state=state, detail=detail, look_at=None, claimed_until=None, tries=0):
            return
        _write_rows(batch, assets)
        created = {one.meter_id for one in assets if one.meter_id and is_id(one.meter_id)}
        if created:
            read_again(created, why=f"Created by job {batch.job_id}", now=now)
        _settle(batch.job_id, now=now)


def _refuse(batch: MeterJobBatch, refused: LeapRefused, *, now: datetime) -> None:
    """Close a batch that Leap refused as a whole; the rows that it names get their reason."""
    reasons: dict[int, list[str]] = {}
    for each in refused.details:
        place, message, field = (each.get(name) for name in ("json_index", "message", "problem_field"))
        if isinstance(place, int):
            reasons.setdefault(place, []).append(": ".join(str(part) for part in (field, message) if part))
    with transaction.atomic():
        if not _hold(batch).update(
            state=JobState.FAILED, detail=str(refused)[:500], look_at=None, claimed_until=None
        ):
            return
        rows = list(batch.rows.order_by("number").only("pk"))
        for place, row in enumerate(rows):
            row.status = "FAILED"
            row.status_detail = "VALIDATION_ERROR" if place in reasons else ""
            row.description = storable("; ".join(reasons.get(place, [BATCH_REFUSED])))[:1000]
        MeterJobRow.objects.bulk_update(rows, ["status", "status_detail", "description"], batch_size=250)
        _settle(batch.job_id, now=now)


def _write_rows(batch: MeterJobBatch, assets: Collection[JobAsset]) -> None:
    """Write what Leap says of meters to their rows: one read, and bounded writes of those that moved."""
    said = {one.partner_reference: one for one in assets}
    moved = []
    for row in batch.rows.defer("cells", "asset", "problems"):
        one = said.get(row.partner_reference)
        detail = one.status_detail if one else None
        if one is None or (row.status, row.status_detail) == (
            one.status[:32],
            (detail and detail.name) or "",
        ):
            continue
        row.status = storable(one.status)[:32]
        row.status_detail = storable((detail and detail.name) or "")[:64]
        row.description = detail.in_words()[:1000] if detail else ""
        row.meter_id = storable(one.meter_id or row.meter_id).lower()[:64]
        moved.append(row)
    MeterJobRow.objects.bulk_update(
        moved, ["status", "status_detail", "description", "meter_id"], batch_size=250
    )


def _hold(batch: MeterJobBatch) -> QuerySet[MeterJobBatch]:
    """Return the batch's row while the lease is still ours."""
    return MeterJobBatch.objects.filter(pk=batch.pk, claimed_until=batch.claimed_until)


def _let_go(batch: MeterJobBatch, *, now: datetime, **fields: Any) -> None:
    _hold(batch).update(claimed_until=None, **fields)
    _settle(batch.job_id, now=now)


def _pause(batch: MeterJobBatch, *, detail: str, now: datetime) -> None:
    """Leave a batch for a while that doubles with each look."""
    pause = min(FIRST_LOOK * 2 ** min(batch.tries, 10), LONGEST_PAUSE)
    _hold(batch).update(
        claimed_until=None, look_at=now + pause, tries=batch.tries + 1, detail=storable(detail)
    )


def _settle(job_id: int, *, now: datetime) -> None:
    """Say of a job what its batches add up to."""
    with transaction.atomic():
        job = MeterJob.objects.select_for_update(no_key=True).get(pk=job_id)
        states = list(job.batches.values_list("state", flat=True))
        job.state = sum_of(states)
        job.finished_at = now if job.state in OVER else None
        job.save(update_fields=["state", "finished_at"])


def sum_of(states: Sequence[str]) -> JobState:
    """Return the state of a job from those of its batches.

    >>> sum_of(["COMPLETED", "FAILED"]).name, sum_of(["COMPLETED", "WAITING"]).name
    ('COMPLETED_WITH_ERRORS', 'PROCESSING')
    """
    found = set(states)
    if len(found) == 1:
        return JobState(found.pop())
    if found <= set(OVER):
        return JobState.COMPLETED_WITH_ERRORS
    return JobState.SENDING if found <= {JobState.WAITING, JobState.SENDING} else JobState.PROCESSING
