"""Jobs that create meters: what is asked and answered is as Leap documents it, and read tolerantly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from leapvpp.leap.errors import LeapRefused
from leapvpp.leap.jobs import LeapJobs
from leapvpp.leap.simulator.server import LeapSimulator
from meters.domain.onboarding import check_row
from meters.domain.onboarding_columns import COLUMNS, Column, Kind, site_device_columns
from tests.domain.test_onboarding import HOME
from tests.leap.conftest import ScriptedServer
from tests.leap.contracts.checking import HERE, checked

KEY = "key-of-the-simulator"


@pytest.fixture
def leap() -> Iterator[LeapSimulator]:
    with LeapSimulator(api_key=KEY, speed=100_000) as simulator:
        yield simulator


def a_cell(column: Column) -> str:
    if column.rule.startswith("five digits"):
        return "94103-1234"
    return {
        Kind.WORD: (column.words or ("",))[0],
        Kind.WORDS: ";".join(column.words),
        Kind.NUMBER: f"{max(column.least, 7.25):g}",
        Kind.WHOLE: f"{max(column.least, 9):g}",
        Kind.YES_NO: "yes",
        Kind.DATE: "2026-03-31",
        Kind.EMAIL: "anna@example.com",
    }.get(column.kind, "CA" if column.rule.startswith("two letters") else "Abc")


def test_every_column_that_is_sent_is_one_that_leap_documents(leap):
    columns = [*COLUMNS, *site_device_columns(1)]
    cells = {column.name: a_cell(column) for column in columns}
    cells |= {name: "" for name in cells if name.startswith(("isone.", "nyiso."))}  # of other regions
    cells["device.battery_max_state_of_charge_percentage"] = "95"
    checked_rows = [check_row(HOME), check_row(cells)]
    for region in ("ISONE", "NYISO"):
        names = [column.name for column in columns if column.name.startswith(f"{region.lower()}.")]
        fields = {name: cells[name] or a_cell(next(c for c in columns if c.name == name)) for name in names}
        checked_rows.append(
            check_row(HOME | fields | {"transmission_region": region, "partner_reference": region})
        )
    assert [row.problems for row in checked_rows] == [()] * 4

    with checked(leap) as asked, LeapJobs(base_url=leap.url, api_key=KEY) as jobs:
        name = "new homes-1.json"
        job_id = jobs.create_job([row.asset for row in checked_rows], update_existing=False, file_name=name)
        found = jobs.find_job(file_name=name)
        job = jobs.get_job(job_id)
        assert jobs.find_job(file_name="another.json") is None

    assert found is not None and found.job_id == job_id
    assert {asset.status for asset in job.assets} == {"COMPLETED"}
    assert asked == {"POST /v1.1/jobs/meters", "GET /v1.1/jobs/meters", "GET /v1.1/jobs/meters/{job_id}"}


def test_failures_are_answered_as_leap_documents_them(leap):
    rows = [HOME | {"partner_reference": "home-1", "customer.street_1": "1 Nowhere Lane"}]
    rows += [HOME | {"partner_reference": one} for one in ("home-2", "home-2")]
    with checked(leap), LeapJobs(base_url=leap.url, api_key=KEY) as jobs:
        assets: list[dict[str, Any]] = [check_row(row).asset for row in rows]
        job = jobs.get_job(jobs.create_job(assets, update_existing=False, file_name="a.json"))
        with pytest.raises(LeapRefused) as refused:
            jobs.create_job([{"partner_reference": "home-3"}], update_existing=False, file_name="b.json")
    assert [asset.status for asset in job.assets] == ["FAILED", "COMPLETED", "DUPLICATE"]
    assert {each["json_index"] for each in refused.value.details} == {0}


def test_answers_that_leap_may_give_are_read(scripted: ScriptedServer):
    odd = {
        "job_id": "j",
        "status": "PAUSED",
        "new_field": {},
        "assets": [
            {"partner_reference": "a", "status": "THINKING", "status_detail": {}},
            {"partner_reference": "b", "status": "FAILED", "status_detail": None, "meter_id": None},
            {
                "partner_reference": "c",
                "status": "FAILED",
                "status_detail": {"name": "NEW", "description": "x\0y", "failed_fields": {"city": 1}},
            },
        ],
    }
    scripted.answers = [(200, odd)]
    job = LeapJobs(base_url=scripted.url, api_key="k").get_job("j/../x")
    assert scripted.requests[0]["line"] == "GET /v1.1/jobs/meters/j%2F..%2Fx"
    assert (job.status, job.assets[0].status) == ("PAUSED", "THINKING")
    assert job.assets[2].status_detail is not None
    assert job.assets[2].status_detail.in_words() == "x\N{REPLACEMENT CHARACTER}y city: 1"


def test_a_job_is_found_by_its_whole_name_on_any_page_and_the_first_of_two(scripted: ScriptedServer):
    def job(job_id: str, name: str | None, day: int) -> dict[str, Any]:
        created = f"2026-11-0{day}T00:00:00Z"
        return {"job_id": job_id, "status": "COMPLETED", "file_name": name, "created_at": created}

    scripted.answers = [
        (200, {"jobs": [job("other", "ab.json", 1), job("old", None, 1)], "next_page_token": "p&2"}),
        (200, {"jobs": [job("late", "a.json", 3), job("first", "a.json", 2)]}),
    ]
    found = LeapJobs(base_url=scripted.url, api_key="k").find_job(file_name="a.json")
    assert found is not None and found.job_id == "first"
    assert scripted.requests[1]["line"].endswith("?filter=file_name%3Aa.json&page_token=p%262")


def _examples() -> Iterator[tuple[str, dict[str, Any]]]:
    found = json.loads((HERE / "examples" / "create-meters.json").read_text(encoding="utf-8"))
    for number, each in enumerate(found):
        if each["path"].startswith("/v1.1/jobs/meters") and each["status"].startswith("2"):
            yield f"{number}: {each['method']} {each['path']}", each


EXAMPLES = dict(_examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_leaps_own_examples_are_read(name: str, scripted: ScriptedServer):
    each = EXAMPLES[name]
    scripted.answers = [(int(each["status"]), each["value"])]
    with LeapJobs(base_url=scripted.url, api_key="k") as jobs:
        if each["method"] == "post":
            assert jobs.create_job([], update_existing=False, file_name="a.json") == each["value"]["job_id"]
        elif "{job_id}" in each["path"]:
            job = jobs.get_job("j")
            assert len(job.assets) == len(each["value"]["assets"]) and job.job_id
        else:
            listed = {**each["value"], "next_page_token": None}
            scripted.answers = [(200, listed)]
            found = jobs.find_job(file_name=listed["jobs"][0]["file_name"])
            assert found is not None and found.job_id == listed["jobs"][0]["job_id"]
