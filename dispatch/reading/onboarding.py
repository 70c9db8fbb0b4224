"""Jobs that create meters at Leap: the list, and one with what became of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Page
from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from dispatch.reading.listing import Tab, chosen, page_of, tabs
from dispatch.reading.words import counted
from meters.among import Ids
from meters.domain.onboarding import PROGRAM, WHY, template_columns
from meters.models import Meter
from meters.onboarding_models import OVER, JobState, MeterJob, MeterJobRow

LOOKS: Final = {
    JobState.DRAFT: "plain",
    JobState.WAITING: "plain",
    JobState.SENDING: "plain",
    JobState.PROCESSING: "plain",
    JobState.COMPLETED: "ok",
    JobState.COMPLETED_WITH_ERRORS: "warn",
    JobState.FAILED: "bad",
}
JOB_TABS: Final = {"": "All", "draft": "Drafts", "open": "On their way", "over": "Over"}
ROW_TABS: Final = {"": "All", "done": "Created or updated", "failed": "Failed"}
DRAFT_TABS: Final = {"": "All", "problems": "To correct"}
WAITING_WORDS: Final = ("", "PROCESSING")
DONE_WORDS: Final = ("COMPLETED",)
IN_WORDS: Final = {
    "METER_CREATED": "Created",
    "METER_UPDATED": "Updated",
    "DUPLICATE_REF_ID": "Reference exists",
    "DUPLICATE_METER": "Meter exists",
    "ADDRESS_NOT_FOUND": "Address not found",
    "ADDRESS_INCOMPLETE": "Address incomplete",
    "ADDRESS_NOT_REGISTERED_FOR_ESIID": "Address has no ESIID",
    "ACCOUNT_MISMATCH": "Account does not match",
    "MULTIPLE_ACCOUNTS": "Several accounts",
    "UNSUPPORTED_ADDRESS": "Address not supported",
    "UNSUPPORTED_ZIP_CODE": "Postal code not supported",
    "VALIDATION_ERROR": "Fields not valid",
    "PROCESSING_ERROR": "Failed at Leap",
}
"""Leap's details of a meter, as people say them; others are shown as Leap writes them."""
ADVICE: Final = {
    "DUPLICATE_REF_ID": "Take the row out, or send it with existing meters updated to change that meter.",
    "DUPLICATE_METER": "Leap has this meter under another reference; look it up among your meters.",
    "ADDRESS_NOT_FOUND": "Correct the address as the utility writes it, and send the row again.",
    "ADDRESS_INCOMPLETE": "Complete the address and send the row again.",
    "ADDRESS_NOT_REGISTERED_FOR_ESIID": "Give the ESIID as utility.electric_service_account_number.",
    "UNSUPPORTED_ADDRESS": "Check the address and the region; Leap has no program there.",
    "UNSUPPORTED_ZIP_CODE": "Check the postal code and the region; Leap has no program there.",
    "VALIDATION_ERROR": "Correct the fields named and send the row again.",
    "PROCESSING_ERROR": "Send the row again later; if it fails again, ask Leap with the job's id.",
}


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job in the list. `done`, `failed`: of its rows."""

    job: MeterJob
    look: str
    state: str
    done: int
    failed: int

    @property
    def is_open(self) -> bool:
        """Say whether Leap still works on it, or is to."""
        return self.job.state not in {*OVER, JobState.DRAFT}

    @property
    def waiting(self) -> int:
        """Count the rows of which nothing is known yet."""
        return self.job.rows_count - self.done - self.failed

    @property
    def words(self) -> str:
        """Say how far it is."""
        rows = counted(self.job.rows_count, one="meter")
        if self.job.state == JobState.DRAFT:
            wrong = counted(self.job.problems_count, one="row")
            return f"{rows}, {wrong} to correct" if self.job.problems_count else f"{rows}, ready to send"
        parts = [(self.done, "created or updated"), (self.failed, "failed"), (self.waiting, "waiting")]
        return f"{rows}: {', '.join(f'{count:,} {word}' for count, word in parts if count)}"


@dataclass(frozen=True, slots=True)
class JobList:
    """The list with its tabs."""

    has_key: bool
    tabs: tuple[Tab, ...]
    page: Page[Any]
    rows: tuple[JobRow, ...]


@dataclass(frozen=True, slots=True)
class RowLine:
    """One row of a job. `meter_name`: of the meter it became or repeats, where we know it."""

    number: int
    reference: str
    look: str
    state: str
    problems: tuple[tuple[str, str], ...]
    why: str
    advice: str
    meter_id: str
    meter_name: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """One job with a page of its rows. `details`: what is to be said of its batches."""

    row: JobRow
    has_key: bool
    tabs: tuple[Tab, ...]
    page: Page[Any]
    rows: tuple[RowLine, ...]
    details: tuple[str, ...]
    batches: int
    refused: int
    updates: int


def read_jobs(query: QueryDict) -> JobList:
    """Read one page of jobs, newest first. Four queries."""
    which = chosen(query, "state", allowed=JOB_TABS)
    parts = {
        "draft": Q(state=JobState.DRAFT),
        "open": ~Q(state__in=[*OVER, JobState.DRAFT]),
        "over": Q(state__in=OVER),
    }
    everything = MeterJob.objects.all()
    counts = everything.aggregate(
        all=Count("pk"), **{key: Count("pk", filter=part) for key, part in parts.items()}
    )
    shown = everything.filter(parts[which]) if which else everything
    page = page_of(shown.order_by("-made_at", "-pk"), number=query.get("page", ""))
    jobs = list(page)
    told = _outcomes(MeterJobRow.objects.filter(job__in=[job.pk for job in jobs]))
    return JobList(
        has_key=bool(settings.LEAP_API_KEY),
        tabs=tabs(JOB_TABS, current=which, counts={**counts, "": counts["all"]}),
        page=page,
        rows=tuple(_job_row(job, told.get(job.pk, (0, 0))) for job in jobs),
    )


def _outcomes(rows: QuerySet[MeterJobRow]) -> dict[int, tuple[int, int]]:
    """Count by job the rows that are done and those that failed."""
    is_done = Q(status__in=DONE_WORDS)
    is_failed = ~Q(status__in=[*DONE_WORDS, *WAITING_WORDS])
    counted_rows = rows.order_by().values_list("job")
    found = counted_rows.annotate(done=Count("pk", filter=is_done), failed=Count("pk", filter=is_failed))
    return {job: (done, failed) for job, done, failed in found}


def _job_row(job: MeterJob, told: tuple[int, int]) -> JobRow:
    return JobRow(
        job=job, look=LOOKS[JobState(job.state)], state=job.get_state_display(), done=told[0], failed=told[1]
    )


def read_job(job: MeterJob, query: QueryDict) -> JobPage:
    """Read one job with a page of its rows. Six queries at most."""
    names = DRAFT_TABS if job.state == JobState.DRAFT else ROW_TABS
    which = chosen(query, "rows", allowed=names)
    parts = {
        "problems": ~Q(problems=[]),
        "done": Q(status__in=DONE_WORDS),
        "failed": ~Q(status__in=[*DONE_WORDS, *WAITING_WORDS]),
    }
    everything = job.rows.all()
    counts = everything.aggregate(
        all=Count("pk"),
        updates=Count("pk", filter=~Q(meter_id="")),
        **{key: Count("pk", filter=part) for key, part in parts.items()},
    )
    shown = everything.filter(parts[which]) if which else everything
    page = page_of(shown.defer("cells", "asset").order_by("number"), number=query.get("page", ""))
    batches = list(job.batches.order_by("number"))
    return JobPage(
        row=_job_row(job, (counts["done"], counts["failed"])),
        has_key=bool(settings.LEAP_API_KEY),
        tabs=tabs(names, current=which, counts={**counts, "": counts["all"]}),
        page=page,
        rows=_lines(list(page)),
        details=tuple(dict.fromkeys(batch.detail for batch in batches if batch.detail)),
        batches=len(batches),
        refused=sum(batch.state == JobState.FAILED and not batch.leap_job_id for batch in batches),
        updates=counts["updates"],
    )


def _lines(rows: list[MeterJobRow]) -> tuple[RowLine, ...]:
    """Name the meters of rows, by Leap's id or else by the reference that they repeat. One query."""
    ids = {row.meter_id for row in rows if row.meter_id}
    references = {row.partner_reference for row in rows if row.status == "DUPLICATE"}
    found = Meter.objects.filter(Q(meter_id__among=Ids(ids)) | Q(partner_reference__among=Ids(references)))
    meters = list(found) if ids or references else []
    by_id = {meter.meter_id: meter for meter in meters}
    by_reference = {meter.partner_reference: meter for meter in meters}
    return tuple(
        _line(row, by_id.get(row.meter_id) or by_reference.get(row.partner_reference)) for row in rows
    )


def _line(row: MeterJobRow, meter: Meter | None) -> RowLine:
    if row.problems:
        look, state = "warn", "To correct"
    elif row.status in DONE_WORDS:
        look, state = "ok", IN_WORDS.get(row.status_detail, row.status_detail or row.status)
    elif row.status in WAITING_WORDS:
        look, state = "plain", "At Leap" if row.status else "Ready" if row.batch_id is None else "Waiting"
    else:
        look, state = "bad", IN_WORDS.get(row.status_detail, row.status_detail or row.status.capitalize())
    return RowLine(
        number=row.number,
        reference=row.partner_reference,
        look=look,
        state=state,
        problems=tuple((column, text) for column, text in row.problems),
        why="" if look == "ok" else row.description,
        advice=ADVICE.get(row.status_detail, "") if look == "bad" else "",
        meter_id=meter.meter_id if meter else row.meter_id,
        meter_name=str(meter) if meter else "",
    )


def rows_to_correct(job: MeterJob) -> tuple[tuple[str, ...], Iterable[list[str]]]:
    """Return columns and cells of the rows that cannot be sent or that failed, and why. One query."""
    failed = ~Q(status__in=[*DONE_WORDS, *WAITING_WORDS])
    rows = list(job.rows.filter(failed | ~Q(problems=[])).order_by("number"))
    used = {name for row in rows for name in row.cells}
    known = [name for name in template_columns() if name in used or name == PROGRAM]
    columns = (*known, *sorted(used - {*known, WHY}), WHY)
    return columns, (_cells(row, columns) for row in rows)


def _cells(row: MeterJobRow, columns: Iterable[str]) -> list[str]:
    problems = [f"{column}: {text}" for column, text in row.problems]
    said = [IN_WORDS.get(row.status_detail, row.status_detail), row.description] if row.status else []
    cells: Mapping[str, str] = {**row.cells, WHY: " ".join(part for part in [*problems, *said] if part)}
    return [cells.get(name, "") for name in columns]
