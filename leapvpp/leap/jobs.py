"""Creating meters at Leap by job: one job for many meters, answered later, meter by meter.

Leap's endpoint for a single meter needs a token of its onboarding service, which partners do not have, so one
meter is a job, too. Unknown statuses pass as text. Source: Leap's OpenAPI document "Create Meters" 1.1.0.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import quote, urlencode

import msgspec

from leapvpp.leap.connection import LeapConnection
from leapvpp.leap.errors import UnreadableAnswer, storable
from leapvpp.leap.values import decode_answer

JOBS = "/v1.1/jobs/meters"
MOST_PAGES_OF_JOBS = 50
SEND_SECONDS = 25.0
_Word = Annotated[str, msgspec.Meta(max_length=256)]


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Why a meter is as it is. `name`: such as METER_CREATED; `failed_fields`: what is wrong with each."""

    name: str | None = None
    description: str | None = None
    failed_fields: dict[str, object] | None = None

    def in_words(self) -> str:
        """Return the description and the fields that failed as one text."""
        fields = [f"{name}: {why}" for name, why in (self.failed_fields or {}).items()]
        return storable(" ".join(part for part in (self.description, "; ".join(fields)) if part))


class JobAsset(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one meter of a job."""

    partner_reference: str
    status: _Word
    status_detail: JobDetail | None = None
    meter_id: str | None = None


class LeapJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `assets` is empty in lists."""

    job_id: str
    status: _Word
    file_name: str | None = None
    created_at: str = ""
    assets: tuple[JobAsset, ...] = ()


class _Created(msgspec.Struct, frozen=True):
    job_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Jobs(msgspec.Struct, frozen=True):
    jobs: tuple[LeapJob, ...] = ()
    next_page_token: str | None = None


class LeapJobs(LeapConnection):
    """The jobs of one account."""

    def create_job(
        self, assets: Sequence[Mapping[str, object]], *, update_existing: bool, file_name: str
    ) -> str:
        """Ask Leap to create meters; return the id of the job. Sent once: an answer may be lost.

        Raises ``LeapRefused`` with `details` naming the meters by their place in ``assets``.
        """
        query = {"update_existing": "true" if update_existing else "false", "file_name": file_name}
        body = self._transport.act(
            "POST", f"{JOBS}?{urlencode(query)}", content={"assets": assets}, read_seconds=SEND_SECONDS
        )
        return decode_answer(body, _Created).job_id

    def get_job(self, job_id: str) -> LeapJob:
        """Return a job with what has become of each of its meters so far."""
        body = self._transport.read("GET", f"{JOBS}/{quote(job_id, safe='')}")
        return decode_answer(body, LeapJob)

    def find_job(self, *, file_name: str) -> LeapJob | None:
        """Return the first job that was made under this name; ``None`` when Leap has none.

        Raises ``UnreadableAnswer`` when the pages do not end.
        """
        query = {"filter": f"file_name:{file_name}"}
        found: list[LeapJob] = []
        for _ in range(MOST_PAGES_OF_JOBS):
            page = decode_answer(self._transport.read("GET", f"{JOBS}?{urlencode(query)}"), _Jobs)
            found += [job for job in page.jobs if job.file_name == file_name]
            if not page.next_page_token:
                return min(found, key=lambda job: job.created_at, default=None)
            query["page_token"] = page.next_page_token
        raise UnreadableAnswer("Leap's list of jobs does not end")
