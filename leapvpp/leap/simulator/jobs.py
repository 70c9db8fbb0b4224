"""The simulator's jobs that create meters: asked for now, done a moment later, each meter by itself.

An address with "Nowhere" in its street is not found, and postal codes that begin with 000 are not supported;
the rest is as Leap documents it. Source: Leap's OpenAPI document "Create Meters" 1.1.0.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from leapvpp.leap.simulator.calls import Answer, Call, Refusal, Route, decode
from leapvpp.leap.simulator.fleet import ENDLESS
from leapvpp.leap.simulator.meters import MeterBook, MeterQuery

Asset = dict[str, Any]
TAKES = timedelta(seconds=2)
_ASSET_FIELDS = (
    "partner_reference",
    "transmission_region",
    "customer_classification",
    "load_types",
    "meter_type",
    "customer",
)
_ADDRESS = ("street_1", "postal_code", "city", "state_or_province_code", "country_code")
_FILE_NAME = re.compile(r"[a-zA-Z0-9._\s-]+.[a-zA-Z0-9]+")
_KEPT = ("customer", "device", "site", "utility", "caiso", "isone", "nyiso", "customer_group")


class MeterJobs:
    """Answers `/v1.1/jobs/meters` and creates the meters in the book of meters.

    ``takes``: how long a job takes. ``fails_next``: so many requests to create are taken and then answered
    with 503, as when an answer is lost on its way.
    """

    def __init__(
        self,
        *,
        meters: MeterBook,
        takes: timedelta = TAKES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._meters = meters
        self._takes = takes
        self._clock = clock
        self._lock = threading.Lock()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.fails_next = 0

    def routes(self) -> Sequence[Route]:
        """Return what it answers."""
        return (
            ("POST", "/v1.1/jobs/meters", self.create),
            ("GET", "/v1.1/jobs/meters", self.list),
            ("GET", "/v1.1/jobs/meters/([^/]+)", self.get),
        )

    def create(self, call: Call) -> Answer:
        """Take a job, unless a meter of it lacks what every meter needs."""
        assets = decode(call.body, _Wanted).assets
        file_name = call.query.get("file_name", "")
        if file_name and (len(file_name) > 255 or not _FILE_NAME.fullmatch(file_name)):
            raise Refusal(400, "file_name is not valid")
        if details := [each for place, asset in enumerate(assets) for each in _missing(place, asset)]:
            raise Refusal(400, "Meters are not valid", details)
        job_id, now = str(uuid4()), self._clock()
        job = {
            "job_id": job_id,
            "file_name": file_name or f"{job_id}.json",
            "created": now,
            "updates": call.query.get("update_existing") == "true",
            "wanted": assets,
            "assets": [],
        }
        with self._lock:
            self.jobs[job_id] = job
            self.fails_next, is_lost = max(0, self.fails_next - 1), self.fails_next > 0
        if is_lost:
            raise Refusal(503, "the answer is lost")
        return 201, {"job_id": job_id}

    def get(self, call: Call) -> Answer:
        """Tell of a job and each of its meters."""
        self._settle()
        if call.argument not in self.jobs:
            raise Refusal(404, "there is no such job")
        job = self.jobs[call.argument]
        waiting = [_status(asset, "PROCESSING") for asset in job["wanted"]]
        return 200, {**_summary(job), "assets": job["assets"] or waiting}

    def list(self, call: Call) -> Answer:
        """Tell of the jobs that have what `filter` names, in pages of at most `page_size`."""
        self._settle()
        name, _, value = call.query.get("filter", "").partition(":")
        jobs = [_summary(job) for job in self.jobs.values()]
        if name:
            jobs = [job for job in jobs if job.get(name) in value.split(",")]
        first, size = int(call.query.get("page_token", 0)), int(call.query.get("page_size", 100))
        answer: dict[str, object] = {"jobs": jobs[first : first + size]}
        if len(jobs) > first + size:
            answer["next_page_token"] = str(first + size)
        return 200, answer

    def _settle(self) -> None:
        """Do the jobs whose time is over."""
        with self._lock:
            now = self._clock()
            for job in self.jobs.values():
                if not job["assets"] and job["created"] + self._takes <= now:
                    found = self._meters.search(MeterQuery(), is_enrollment=True)
                    known = {meter.get("partner_reference", ""): meter["meter_id"] for meter in found}
                    job["assets"] = [
                        self._do(asset, known=known, updates=job["updates"], now=now)
                        for asset in job["wanted"]
                    ]

    def _do(self, asset: Asset, *, known: dict[str, str], updates: bool, now: datetime) -> Asset:
        if failed := _failed_fields(asset):
            detail = {"name": "VALIDATION_ERROR", "description": "Some fields are not valid."}
            return _status(asset, "FAILED", {**detail, "failed_fields": failed})
        if name := _address_problem(asset):
            words = {
                "ADDRESS_NOT_FOUND": "The address could not be found.",
                "UNSUPPORTED_ZIP_CODE": "The postal code is not supported.",
            }
            return _status(asset, "FAILED", {"name": name, "description": words[name]})
        reference = asset["partner_reference"]
        if reference in known and not updates:
            detail = {"name": "DUPLICATE_REF_ID", "description": "Partner reference ID already exists."}
            return _status(asset, "DUPLICATE", detail)
        if reference in known:
            fields = {name: asset[name] for name in (*_ASSET_FIELDS, *_KEPT) if name in asset}
            self._meters.change(known[reference], now=now, **fields)
            detail = {"name": "METER_UPDATED", "description": "The meter was updated."}
            return _status(asset, "COMPLETED", detail, meter_id=known[reference])
        meter = new_meter(asset, now=now)
        known[reference] = meter["meter_id"]
        self._meters.put(meter, now=now)
        detail = {"name": "METER_CREATED", "description": "A new meter was created."}
        return _status(asset, "COMPLETED", detail, meter_id=meter["meter_id"])


class _Wanted(msgspec.Struct):
    assets: list[Asset]


def new_meter(asset: Asset, *, now: datetime, connection_references: Sequence[str] = ()) -> dict[str, Any]:
    """Return what Leap holds of a meter that has just come to be: in no program yet."""
    text = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "meter_id": str(uuid4()),
        **{name: asset[name] for name in _ASSET_FIELDS if name in asset},
        "connection_references": list(connection_references),
        "tags": [],
        "is_archived": False,
        "audit": {"created_by": "PARTNER", "created_at": text},
        "global_enrollment_status": "PENDING",
        "participation_preferences": [
            {"participation_preference": "PARTICIPATE", "start_time": text, "end_time": ENDLESS}
        ],
        "program_enrollment": [],
        "required_actions": {"partner": [], "leap": []},
        **{name: asset[name] for name in _KEPT if name in asset},
    }


def _status(asset: Asset, status: str, detail: Mapping[str, object] | None = None, **more: object) -> Asset:
    return {
        "partner_reference": asset["partner_reference"],
        "status": status,
        "status_detail": dict(detail or {}),
        **more,
    }


def _summary(job: Mapping[str, Any]) -> dict[str, object]:
    names = [asset["status_detail"].get("name") for asset in job["assets"]]
    failed = sum(asset["status"] != "COMPLETED" for asset in job["assets"])
    status = "COMPLETED_WITH_ERRORS" if failed else "COMPLETED"
    if failed and failed == len(names):
        status = "FAILED"
    created = job["created"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "job_id": job["job_id"],
        "status": status if job["assets"] else "PROCESSING",
        "file_name": job["file_name"],
        "assets_count": len(job["wanted"]),
        "assets_created_count": names.count("METER_CREATED"),
        "assets_updated_count": names.count("METER_UPDATED"),
        "assets_failed_count": failed,
        "transmission_regions": sorted({asset["transmission_region"] for asset in job["wanted"]}),
        "created_at": created,
        "updated_at": created,
    }


def _missing(place: int, asset: Asset) -> Sequence[dict[str, object]]:
    """Return what every meter must have and this one has not, as Leap names it."""
    customer = asset.get("customer")
    address = customer if isinstance(customer, dict) else {}
    fields = [name for name in _ASSET_FIELDS if not asset.get(name)]
    fields += [f"customer.{name}" for name in _ADDRESS if not address.get(name)]
    return [
        {"message": "Missing required parameter", "json_index": place, "problem_field": field}
        for field in fields
    ]


def _failed_fields(asset: Asset) -> dict[str, str]:
    device = asset.get("device", {})
    most = device.get("battery_max_state_of_charge_percentage", 100)
    failed = {}
    if not 2 <= most <= 100:
        failed["device.battery_max_state_of_charge_percentage"] = "must be between 2 and 100"
    if asset["meter_type"] not in {"UTILITY_METER", "SUBMETER", "DEVICE"}:
        failed["meter_type"] = "is not one of UTILITY_METER, SUBMETER, DEVICE"
    return failed


def _address_problem(asset: Asset) -> str:
    if "nowhere" in asset["customer"]["street_1"].lower():
        return "ADDRESS_NOT_FOUND"
    return "UNSUPPORTED_ZIP_CODE" if asset["customer"]["postal_code"].startswith("000") else ""
