"""Jobs that create meters, over real HTTP against the simulator: each row followed, nothing made twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leapvpp.dispatching import SOURCES
from leapvpp.leap.errors import LeapUnreachable
from leapvpp.leap.jobs import JobAsset
from leapvpp.leap.simulator.server import LeapSimulator
from meters import hinting, onboarding
from meters.connecting import meters_by_refid
from meters.onboarding import (
    FOLLOW_JOBS,
    JobRefused,
    check_again,
    discard_job,
    draft_job,
    follow_jobs,
    open_client,
    send_again,
    send_job,
    sum_of,
    waiting,
)
from meters.onboarding_models import Connection, JobState, MeterJob, MeterJobBatch, MeterJobRow
from meters.sync_models import MeterToRead
from tests.builders import meter
from tests.domain.test_onboarding import HOME
from tests.leap.contracts.checking import checked

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"


@pytest.fixture
def leap(settings) -> Iterator[LeapSimulator]:
    """A Leap that does a job in two milliseconds."""
    with LeapSimulator(api_key=KEY, speed=1000) as simulator, checked(simulator):
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
        yield simulator


def homes(*references: str, **fields: str) -> list[dict[str, str]]:
    return [HOME | {"partner_reference": one} | fields for one in references]


def sent(rows: list[dict[str, str]], *, update_existing: bool = False) -> MeterJob:
    now = timezone.now()
    job = draft_job(rows, file_name="new homes.csv", update_existing=update_existing, made_by="otto", now=now)
    send_job(job.pk, by="anna", now=now)
    return job


def follow(minutes: float = 0, **options) -> int:
    """Work as a worker would some minutes from now."""
    return follow_jobs(clock=lambda: timezone.now() + timedelta(minutes=minutes), **options)


def told(job: MeterJob) -> list[tuple[str, str]]:
    return list(job.rows.order_by("number").values_list("status", "status_detail"))


def state(job: MeterJob) -> str:
    job.refresh_from_db()
    return job.state


def test_rows_become_meters_and_what_failed_says_why(leap):
    job = sent(
        [
            *homes("home-1"),
            *homes("home-2", **{"customer.street_1": "1 Nowhere Lane"}),
            *homes("home-3", **{"customer.postal_code": "00099"}),
        ]
    )
    now = timezone.now()
    assert waiting(now=now) == (FOLLOW_JOBS,) and waiting in SOURCES

    assert follow() == 1
    assert (state(job), job.requested_by) == ("PROCESSING", "anna")
    assert waiting(now=now) == ()
    assert follow(minutes=1) == 1

    assert state(job) == "COMPLETED_WITH_ERRORS"
    assert told(job) == [
        ("COMPLETED", "METER_CREATED"),
        ("FAILED", "ADDRESS_NOT_FOUND"),
        ("FAILED", "UNSUPPORTED_ZIP_CODE"),
    ]
    one, failed, _ = job.rows.order_by("number")
    assert leap.meters.get(one.meter_id)["partner_reference"] == "home-1"
    assert failed.description == "The address could not be found."
    assert list(MeterToRead.objects.values_list("meter_id", flat=True)) == [one.meter_id]
    assert waiting(now=now + timedelta(days=9)) == ()


def test_a_reference_that_exists_is_told_before_and_after_and_changed_only_on_demand(leap):
    known = meter(partner_reference="home-1")
    draft = draft_job(homes("home-1"), file_name="f", update_existing=False, made_by="o", now=timezone.now())
    row = draft.rows.get()
    assert "A meter has this reference already" in row.problems[0][1] and row.meter_id == known.meter_id
    with pytest.raises(JobRefused, match="1 rows cannot be sent"):
        send_job(draft.pk, by="anna", now=timezone.now())
    check_again(draft.pk, update_existing=True)
    assert draft.rows.get().problems == []
    discard_job(draft.pk)

    known.delete()
    first = sent(homes("home-1"))
    follow(), follow(minutes=1)
    again = sent(homes("home-1"))  # Leap has it, we have not read it yet
    follow(), follow(minutes=1)
    assert told(again) == [("DUPLICATE", "DUPLICATE_REF_ID")] and state(again) == "FAILED"
    changed = sent(homes("home-1", **{"customer.city": "Fresno"}), update_existing=True)
    follow(), follow(minutes=1)
    assert told(changed) == [("COMPLETED", "METER_UPDATED")]
    made = leap.meters.get(first.rows.get().meter_id)
    assert made["customer"]["city"] == "Fresno"


def test_a_batch_whose_answer_was_lost_is_found_at_leap_and_not_sent_again(leap):
    job = sent(homes("home-1"))
    leap.jobs.fails_next = 1
    follow()
    batch = MeterJobBatch.objects.get()
    assert (batch.state, batch.leap_job_id, state(job)) == ("SENDING", "", "SENDING")
    assert "503" in batch.detail

    follow(minutes=1), follow(minutes=2)

    assert state(job) == "COMPLETED" and len(leap.jobs.jobs) == 1


@contextmanager
def deaf(leap: LeapSimulator) -> Iterator[object]:
    """A line to Leap that breaks before anything has arrived."""

    class Deaf:
        def create_job(self, *_: object, **__: object) -> str:
            raise LeapUnreachable("no answer")

    yield Deaf()


def test_a_batch_that_never_arrived_is_sent_again_but_not_before_it_cannot_arrive_any_more(leap):
    job = sent(homes("home-1"))
    follow(client=lambda: deaf(leap))
    follow(minutes=0.5)
    assert MeterJobBatch.objects.get().state == "SENDING" and leap.jobs.jobs == {}

    follow(minutes=1.5), follow(minutes=3)
    assert state(job) == "COMPLETED" and len(leap.jobs.jobs) == 1


def test_a_worker_that_died_while_sending_leaves_what_another_takes_up(leap, monkeypatch):
    job = sent(homes("home-1"))

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(onboarding, "_found", die)  # Leap has taken it, and nobody wrote that down
    with pytest.raises(Killed):
        follow()
    monkeypatch.undo()
    assert follow() == 0  # the lease holds
    follow(minutes=3), follow(minutes=4)
    assert state(job) == "COMPLETED" and len(leap.jobs.jobs) == 1


def test_who_lost_the_lease_writes_nothing_more(leap):
    job = sent(homes("home-1"))
    with open_client() as client:
        batch = onboarding._claim(now=timezone.now() - onboarding.LEASE * 2)
        assert batch is None  # it is not due then
        MeterJobBatch.objects.update(look_at=timezone.now() - timedelta(hours=1))
        batch = onboarding._claim(now=timezone.now() - onboarding.LEASE * 2)
        other = onboarding._claim(now=timezone.now())
        onboarding._go_on(client, batch, clock=timezone.now)
    assert other is not None and leap.jobs.jobs == {} and state(job) == "WAITING"


def test_an_id_that_is_none_keeps_no_batch_from_its_end(leap):
    job = sent(homes("home-1"))
    batch = onboarding._claim(now=timezone.now())
    odd = JobAsset(partner_reference="home-1", status="COMPLETED", meter_id="x\0" + "y" * 80)

    onboarding._end(batch, state=JobState.COMPLETED, detail="", now=timezone.now(), assets=[odd])

    assert state(job) == "COMPLETED" and not MeterToRead.objects.exists()


def test_a_batch_that_leap_refuses_names_the_rows_and_can_be_sent_again(leap, settings):
    settings.LEAP_API_KEY = "wrong-key"
    job = sent(homes("home-1"))
    follow()
    assert state(job) == "FAILED" and "403" in MeterJobBatch.objects.get().detail
    assert MeterJobRow.objects.get().description == onboarding.BATCH_REFUSED

    settings.LEAP_API_KEY = KEY
    assert send_again(job.pk, now=timezone.now()) == 1
    follow(), follow(minutes=1)
    assert state(job) == "COMPLETED"

    odd = sent(homes("home-2", "home-3"))
    MeterJobRow.objects.filter(job=odd, number=3).update(asset={"partner_reference": "home-3"})
    follow()
    assert state(odd) == "FAILED"
    rows = list(odd.rows.order_by("number").values_list("status_detail", "description"))
    assert rows[0] == ("", onboarding.BATCH_REFUSED)
    assert rows[1][0] == "VALIDATION_ERROR" and "meter_type: Missing required parameter" in rows[1][1]


def test_a_job_that_was_sent_stays_as_it_is(leap):
    job = sent(homes("home-1"))
    for act in (
        lambda: send_job(job.pk, by="a", now=timezone.now()),
        lambda: check_again(job.pk, update_existing=True),
        lambda: discard_job(job.pk),
        lambda: send_again(job.pk, now=timezone.now()),
    ):
        with pytest.raises(JobRefused):
            act()


def test_many_rows_go_in_batches_and_cost_few_statements(leap):
    def statements(count: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            job = sent(homes(*(f"home-{count}-{one}" for one in range(count))))
            follow(), follow(minutes=1)
        assert state(job) == "COMPLETED" and job.rows.exclude(meter_id="").count() == count
        return len(captured)

    few = statements(1)
    # Answers are stored by 250, and SQLite takes fewer rows in a statement.
    assert statements(400) <= few + 10
    many = sent(homes(*(f"more-{one}" for one in range(1001))))
    assert [batch.rows.count() for batch in many.batches.order_by("number")] == [500, 500, 1]
    names = set(many.batches.values_list("file_name", flat=True))
    assert len(names) == 3 and all(name.startswith("new-homes-") for name in names)


@pytest.mark.parametrize(
    ("states", "sum_"),
    [
        (["WAITING", "WAITING"], "WAITING"),
        (["WAITING", "SENDING"], "SENDING"),
        (["SENDING", "COMPLETED"], "PROCESSING"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
        (["COMPLETED", "COMPLETED_WITH_ERRORS"], "COMPLETED_WITH_ERRORS"),
        (["FAILED", "FAILED"], "FAILED"),
        (["FAILED", "COMPLETED"], "COMPLETED_WITH_ERRORS"),
    ],
)
def test_a_job_is_what_its_batches_are(states, sum_):
    assert sum_of(states) == JobState(sum_)


def test_a_visit_is_told_by_leaps_platform_and_followed_to_the_meter(leap, settings, client):
    leap.tell(url=f"{leap.url}/nobody", header="x-api-key", key="k")
    leap.connect.visit("home-1", "created updated PGE:initiated PGE:completed completed")
    meter_id = leap.connect.receive("home-1", "home-1-partner", utility="PGE")
    key = {settings.LEAP_WEBHOOK_HEADER: settings.LEAP_WEBHOOK_KEYS[0]}
    bodies = [each.body for each in leap.pusher.platform_deliveries]
    for body in [*reversed(bodies), bodies[0]]:  # Leap keeps no order, and repeats itself
        assert client.post("/webhooks/leap/events/", body, "application/json", headers=key).status_code in {
            200,
            202,
        }

    hinting.follow_waiting(now=timezone.now())
    found = Connection.objects.get()
    assert (found.standing, found.utility_name, found.steps.count()) == ("AUTHORIZED", "PGE", 5)
    assert MeterToRead.objects.get().meter_id == meter_id

    call_command("sync_meters", stdout=StringIO())
    by_refid = meters_by_refid(["home-1", "home-1-partner"])
    assert [one.meter_id for one in by_refid["home-1"]] == [meter_id]
    assert [one.meter_id for one in by_refid["home-1-partner"]] == [meter_id]
