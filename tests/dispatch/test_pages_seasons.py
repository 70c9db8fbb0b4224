"""Programs and the season check: what stands there, what a file of it says, and who is told in time."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import checking_seasons
from dispatch.models import ProgramLevel
from dispatch.reading.seasons import read_seasons
from meters.enrollment_models import Enrollment, Program, RequiredAction
from meters.models import Meter
from meters.participation_models import IdlePeriod
from meters.programs import Described, describe
from meters.sync_models import MeterAtLeap
from tests.builders import device, group, meter
from tests.people import bearer, person
from tests.rows import event

DAY = timedelta(days=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client):
    client.force_login(person("admin"))


def words(answer) -> str:
    """The page's text without marks."""
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def enrolled(one: Meter, *, begins: int = 10, status: str = "ACTIVE", program: str = "CEC-DSGS", **fields):
    """An enrollment for a period that begins in some days and lasts ninety."""
    starts_at = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + begins * DAY
    return Enrollment.objects.create(
        meter=one,
        program=program,
        delivery_period=f"{program}_P",
        starts_at=starts_at,
        ends_at=starts_at + 90 * DAY,
        status=status,
        **fields,
    )


def a_season() -> None:
    """Ready twice, without a device, silent, idle until and beyond the start, pending, and one archived."""
    now = timezone.now()
    deadline = [[f"{now + 5 * DAY:%Y-%m-%dT%H:%M:%SZ}", f"{now + 9 * DAY:%Y-%m-%dT%H:%M:%SZ}"]]
    ready = meter(nomination_kw=100)
    device(ready)
    enrolled(ready, deadlines=deadline)
    rated = meter(nomination_kw=None)
    device(rated, rated_power_kw=20, is_online=False, last_seen_at=now - DAY)
    enrolled(rated, status="ELIGIBLE", deadlines=deadline)
    enrolled(meter(nomination_kw=30))
    silent = meter(nomination_kw=40)
    device(silent, is_online=False, last_seen_at=now - 8 * DAY)
    enrolled(silent)
    for turns, kw in ((3, 50), (30, 60)):  # the first takes part again before it begins
        idle = meter(nomination_kw=kw, participation="IDLE")
        MeterAtLeap.objects.create(meter=idle, heard_at=now, seen_in=1, turns_at=now + turns * DAY)
        device(idle)
        enrolled(idle)
    later = meter(nomination_kw=80)  # Leap lists days that reach into the period
    today = now.date()
    IdlePeriod.objects.create(meter=later, starts_on=today + 7 * DAY, ends_on=today + 12 * DAY)
    IdlePeriod.objects.create(meter=ready, starts_on=today + DAY, ends_on=today + 9 * DAY)
    device(later)
    enrolled(later)
    pending = meter(nomination_kw=70)
    device(pending)
    enrolled(pending, status="PENDING", deadlines=deadline)
    RequiredAction.objects.create(
        meter=pending,
        party="PARTNER",
        program="CEC-DSGS",
        delivery_period="CEC-DSGS_P",
        action_type="ADDRESS",
        appeared_at=now,
    )
    gone = meter(archived_at=now)
    enrolled(gone)


def test_the_season_check_says_who_is_ready_and_what_the_others_lack(client, boss):
    a_season()
    page = words(client.get("/seasons/"))
    assert "Ready: 3 of 8 meters, 170 kW of 450 kW" in page
    for line in (
        "2 meters not participating , 140 kW",
        "1 meter not active yet , 70 kW",
        "1 meter without a device , 30 kW",
        "1 meter with no device heard for 7 days , 40 kW",
        "1 meter without a known nomination , 20 kW",
        "1 meter with open required actions , 70 kW",
        "in 4 days: 2 meters not active yet",
    ):
        assert line in page
    assert "CEC-DSGS begins" not in words(client.get("/"))
    assert checking_seasons.waiting(now=timezone.now())
    assert checking_seasons.check_if_due(now=timezone.now()) == 1
    assert "CEC-DSGS begins in 9 days" in words(client.get("/"))
    found = client.get("/api/v1/seasons/", headers=bearer("viewer")).json()["results"]
    assert [(each["ready_meters"], each["meters"], each["kw"]) for each in found] == [(3, 8, 450.0)]
    assert {each["code"]: each["holds_back"] for each in found[0]["lacks"]}["OPEN_ACTION"] is False


def test_a_period_that_runs_misses_groups_and_is_nobody_s_need(client, boss):
    one = meter(nomination_kw=5)
    device(one)
    enrolled(one, begins=-1)
    enrolled(one, begins=61)
    page = words(client.get("/seasons/"))
    assert "Not ready: 0 of 1 meter" in page
    assert "1 meter in no market group yet" in page
    assert page.count("market registration") == 0
    assert page.count("CEC-DSGS_P") == 2  # its heading and the name of its export
    assert not checking_seasons.waiting(now=timezone.now())
    assert "CEC-DSGS begins" not in words(client.get("/"))


def test_a_warning_goes_once_its_period_is_ready_and_a_look_is_taken_once(client, boss):
    one, now = meter(nomination_kw=5), timezone.now()
    enrolled(one)
    assert checking_seasons.check_if_due(now=now) == 1
    assert checking_seasons.check_if_due(now=now) is None
    assert not checking_seasons.waiting(now=now)
    device(one)
    later = now + checking_seasons.LOOK_EVERY
    assert "1 meter without a device" in words(client.get("/"))
    assert checking_seasons.waiting(now=later)
    assert checking_seasons.check_if_due(now=later) == 0
    assert "CEC-DSGS begins" not in words(client.get("/"))


def test_the_checklist_names_each_meter_and_what_it_lacks(client, boss):
    a_season()
    enrolled(Meter.objects.first(), begins=3, program="=EVIL")
    answer = client.get("/seasons/export/", {"program": "CEC-DSGS"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert sorted((row["ready"], row["lacks"]) for row in rows) == [
        ("no", "not active yet; with open required actions"),
        ("no", "not participating"),
        ("no", "not participating"),
        ("no", "with no device heard for 7 days"),
        ("no", "without a device"),
        ("yes", ""),
        ("yes", ""),
        ("yes", "without a known nomination"),
    ]
    everything = client.get("/seasons/export/?begins=nonsense").content.decode()
    assert "'=EVIL" in everything


def test_programs_are_told_apart_and_unknown_ones_appear_by_themselves(client, boss):
    Program.objects.all().delete()
    describe(Program)
    one = meter(programs=["CEC-DSGS"], nomination_kw=9, enrollment_status="ELIGIBLE")
    device(one)
    group(one, program="CEC-DSGS")
    event("e", programs=["X/Y Ω"])
    ProgramLevel.objects.create(
        program="CEC-DSGS", level="GROUP", decided_at=timezone.now(), source="WEBHOOK"
    )
    page = words(client.get("/programs/"))
    ours, others = page.split("Leap's other programs")
    assert "DSGS, device" in ours
    assert "1 eligible" in ours
    assert "X/Y Ω Not in the table" in ours
    assert "NYISO-SCR" in others
    detail = words(client.get("/programs/CEC-DSGS/"))
    assert "Partner uploads" in detail
    assert "group level" in detail
    assert "Not in the table of programs." in words(client.get("/programs/X/Y Ω/"))
    assert client.get("/programs/NOBODYS/").status_code == 404
    found = client.get("/api/v1/programs/CEC-DSGS/", headers=bearer("viewer")).json()
    assert (found["meters"], found["dispatchable_kw"], found["meter_kind"]) == (1, 10.0, "DEVICE")


def test_an_upgrade_of_the_table_leaves_what_an_admin_wrote():
    Program.objects.all().delete()
    heard_at = timezone.now()
    Program.objects.create(code="A", note="Ours.")
    Program.objects.create(code="B", first_heard_at=heard_at)
    table = [Described("A", name="Alpha"), Described("B", name="Beta"), Described("C", name="Gamma")]
    for _ in range(2):
        describe(Program, table=table)
    rows = Program.objects.order_by("code").values_list("code", "name", "note", "first_heard_at")
    assert list(rows) == [
        ("A", "", "Ours.", None),
        ("B", "Beta", "", heard_at),
        ("C", "Gamma", "", None),
    ]


@pytest.mark.parametrize(
    "path", ["/programs/", "/programs/CEC-DSGS/", "/seasons/", "/seasons/export/", "/api/v1/seasons/"]
)
def test_the_number_of_queries_does_not_grow_with_meters_or_periods(client, boss, path):
    Program.objects.get_or_create(code="CEC-DSGS")

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    a_season()
    before = queries()
    for number in range(5):
        a_season()
        one = meter(programs=["CEC-DSGS", f"P{number}"])
        device(one, meter())
        enrolled(one, begins=number, program=f"P{number}")
    assert queries() == before


def test_a_deadline_of_leaps_that_is_no_time_costs_itself_alone(boss, client):
    """It is kept as Leap wrote it, and the control room reads it, too."""
    begins = timezone.now() + 3 * DAY
    good = (timezone.now() + DAY).isoformat()
    Enrollment.objects.create(
        meter=meter(),
        program="ELRP",
        starts_at=begins,
        status="ELIGIBLE",
        deadlines=[["soon", None], [None, good], [good, "later"], "odd"],
    )
    for address in ("/", "/seasons/"):
        assert client.get(address).status_code == 200
    (season,) = read_seasons(now=timezone.now())
    assert [each.activation_at for each in season.deadlines] == [None]
