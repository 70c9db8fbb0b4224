"""Required actions: what unblocks the most before which deadline, whose they are, and the file of them."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from io import StringIO
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from devices.unblocking import due_actions
from leapvpp.leap.simulator.server import LeapSimulator
from meters import hinting, syncing
from meters.enrollment_models import Enrollment, RequiredAction
from meters.models import Meter
from meters.sync_models import MeterAtLeap, MeterSync
from tests.builders import device, meter
from tests.dispatch.rows import NOW
from tests.people import person

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"


def action(one: Meter, kind: str = "IS_AUTHORIZED", *, days: float | None = 3, **fields) -> RequiredAction:
    """An open action of the partner's, due so many days ahead."""
    now = timezone.now()
    values = {
        "party": "PARTNER",
        "program": "NYISO-SCR",
        "delivery_period": "SCR_DEC",
        "action_code": "AUTH_0001",
        "description": "Customer must re-authorize",
        "deadline_at": None if days is None else now + timedelta(days=days),
        "appeared_at": now - timedelta(days=1),
    } | fields
    return RequiredAction.objects.create(meter=one, action_type=kind, **values)


@pytest.fixture
def listed(client, now):
    """Read the list as a viewer; its rows by band."""
    client.force_login(person("viewer"))

    def read(query: str = ""):
        return client.get(f"/actions/{query}").context["list"]

    return read


def rows(found) -> list[tuple[str, str, int, float, float]]:
    """Band, type, meters, kW alone and with others of each row."""
    return [
        (section.name, row.key.action_type, row.meters, float(row.alone_kw), float(row.total_kw))
        for section in found.sections
        for row in section.rows
    ]


def test_a_meter_counts_alone_only_when_nothing_else_of_ours_is_open_for_the_same_period(listed):
    deadline = NOW + timedelta(days=3)
    both, other_period, with_leap, only = (meter(nomination_kw=kw) for kw in (10, 20, 40, 80))
    for one in (both, other_period, with_leap, only):
        action(one, deadline_at=deadline)
    action(both, "HAS_NOMINATIONS", deadline_at=deadline)
    action(other_period, "HAS_NOMINATIONS", deadline_at=deadline, delivery_period="SCR_JAN")
    action(with_leap, "IS_ASSIGNED_TO_A_RESOURCE", deadline_at=deadline, party="LEAP")
    action(only, "HAS_NOMINATIONS", deadline_at=deadline, resolved_at=NOW)
    found = listed()
    assert rows(found) == [
        ("Due within 7 days", "IS_AUTHORIZED", 4, 140, 150),
        ("Due within 7 days", "HAS_NOMINATIONS", 1, 20, 20),
        ("Due within 7 days", "HAS_NOMINATIONS", 1, 0, 10),
    ]
    assert (
        rows(listed("?type=HAS_NOMINATIONS&program=NYISO-SCR"))[1] == rows(found)[2]
    )  # a filter hides no wait
    [due] = found.dues
    assert (due.due.meters, float(due.due.total_kw), due.percent) == (4, 150, 100)  # each meter once
    assert rows(listed("?show=leap")) == [("Due within 7 days", "IS_ASSIGNED_TO_A_RESOURCE", 1, 0, 40)]


def test_power_is_the_nomination_else_what_is_rated_else_said_to_be_unknown(listed):
    rated, unknown = meter(), meter()
    device(rated, rated_power_kw=7), device(rated, rated_power_kw=5)
    for one in (meter(nomination_kw=3), rated, unknown):
        action(one, deadline_at=NOW + timedelta(days=1))
    found = listed()
    assert rows(found) == [("Due within 2 days", "IS_AUTHORIZED", 3, 15, 15)]
    assert found.sections[0].rows[0].unknown == 1


def test_a_missed_deadline_stands_apart_with_its_next_chance(client, listed):
    late, closed = meter(nomination_kw=5), meter(nomination_kw=6)
    action(late, days=-1)
    action(closed, days=-2, program="CCA")
    pairs = [
        ["2026-07-01T00:00:00Z", "2026-07-15T00:00:00Z"],
        ["2026-09-15T00:00:00Z", "2026-10-01T00:00:00Z"],
    ]
    Enrollment.objects.create(
        meter=late,
        program="NYISO-SCR",
        delivery_period="SCR_DEC",
        starts_at=NOW,
        status="INELIGIBLE",
        deadlines=pairs,
    )
    assert rows(listed()) == []
    found = listed("?show=missed")
    assert [row[1:3] for row in rows(found)] == [("IS_AUTHORIZED", 1)] * 2
    page = client.get("/actions/?show=missed").content.decode()
    assert page.count("Next chance") == 1
    assert "activates" in page
    assert "No next chance is known." in page


def test_tabs_filters_and_search_choose_and_an_archived_meter_asks_nothing(listed):
    ada = person("operator", name="ada")
    one, other = meter(name="Bakery", partner_reference="ref-9"), meter(name="Mill")
    action(one, owner=ada)
    action(other, "NEW_KIND", program="CCA", description="Fields: amp")
    action(meter(archived_at=NOW), "HAS_AMI")
    assert [tab.count for tab in listed().tabs] == [2, 0, 0, 0]

    def kinds(query: str) -> set[str]:
        return {row[1] for row in rows(listed(query))}

    assert (
        kinds("?program=CCA")
        == kinds("?q=mill")
        == kinds("?q=amp")
        == kinds("?owner=:nobody")
        == {"NEW_KIND"}
    )
    assert kinds("?owner=ada") == kinds("?q=ref-9") == kinds("?type=IS_AUTHORIZED") == {"IS_AUTHORIZED"}
    assert kinds("?owner=:mine") == set()
    assert kinds("?show=resolved") == set()
    assert kinds("?owner=nobody-known&program=none") == {"IS_AUTHORIZED", "NEW_KIND"}


@pytest.mark.parametrize(
    ("key", "is_synced", "query", "title"),
    [
        ("", False, "", "Leap is not asked"),
        ("k", False, "", "Nothing is known yet"),
        ("k", True, "", "Leap asks nothing of you"),
        ("k", True, "?show=missed", "No deadline was missed"),
        ("k", True, "?q=x", "No action matches"),
    ],
)
def test_an_empty_page_says_why(listed, settings, key, is_synced, query, title):
    settings.LEAP_API_KEY = key
    if is_synced:
        MeterSync.objects.create(kind="FULL", state="DONE", turn=None, requested_at=NOW)
    assert listed(query).empty.title == title


def group_page(one: RequiredAction) -> str:
    query = {"party": one.party, "type": one.action_type, "code": one.action_code, "program": one.program}
    query |= {"period": one.delivery_period}
    query |= {"deadline": one.deadline_at.isoformat() if one.deadline_at else ""}
    return f"/actions/group/?{urlencode(query)}"


def test_an_operator_gives_a_group_an_owner_and_keeps_notes_that_are_there(client, now):
    client.force_login(person("operator"))
    bob = person("operator", name="bob")
    first, second = action(meter(name="A"), note="Called."), action(meter(name="B"), owner=bob)
    address = group_page(first)
    assert [item.meter for item in client.get(address).context["detail"].items] == ["A", "B"]
    form = {"shown": [first.pk, second.pk], "owner": "a-operator", "note": "Letter sent.", "next": address}
    said = client.post("/actions/assign/", form, follow=True).content.decode()
    assert "2 actions now a-operator&#x27;s, noted. Before: " in said
    assert "To undo, choose the owner again." in said
    assert set(RequiredAction.objects.values_list("owner__username", "note", "noted_by")) == {
        ("a-operator", "Called.", "a-operator"),
        ("a-operator", "Letter sent.", "a-operator"),
    }
    whole = {"which": "group", "owner": ":nobody", "note": "x", "replace": "on"}
    key = dict(pair.split("=") for pair in address.split("?")[1].split("&"))
    client.post(
        "/actions/assign/",
        whole | {name: value.replace("%3A", ":").replace("%2B", "+") for name, value in key.items()},
    )
    assert set(RequiredAction.objects.values_list("owner", "note")) == {(None, "x")}


def test_one_action_is_edited_and_the_message_says_what_was(client, now):
    client.force_login(person("operator"))
    one = action(meter(), note="Called.")
    said = client.post(
        f"/actions/{one.pk}/", {"owner": "a-operator", "note": ""}, follow=True
    ).content.decode()
    assert "Saved. Before: owner nobody, note “Called.”" in said
    one.refresh_from_db()
    assert (one.owner.username, one.note, one.noted_at) == ("a-operator", "", NOW)
    client.force_login(person("viewer"))
    assert client.post(f"/actions/{one.pk}/", {"owner": ":nobody"}).status_code == 403
    assert client.post("/actions/assign/", {"shown": [one.pk]}).status_code == 403


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/actions/assign/", {"shown": "x", "note": "n"}, 400),
        ("/actions/assign/", {"shown": "9" * 40, "note": "n"}, 400),
        ("/actions/assign/", {"which": "group", "deadline": "soon", "note": "n"}, 400),
        ("/actions/assign/", {"shown": "1", "owner": "nobody-known"}, 400),
        ("/actions/group/?deadline=2026-13-01", None, 404),
        ("/actions/group/?deadline=2026-01-01", None, 404),
        ("/actions/group/?deadline=0001-01-01T00:00:00%2B14:00", None, 404),
        ("/actions/group/?type=%00", None, 400),
        ("/actions/group/?party=PARTNER&type=GONE", None, 200),
        ("/actions/export/?party=PARTNER&type=X&deadline=x", None, 404),
        ("/actions/999999999999999999999/", {}, 404),
    ],
)
def test_nonsense_is_answered_and_changes_nothing(client, path, form, status):
    client.force_login(person("operator"))
    one = action(meter(), note="Called.")
    answer = client.get(path) if form is None else client.post(path, form)
    assert answer.status_code == status
    one.refresh_from_db()
    assert (one.owner, one.note) == (None, "Called.")


def test_the_file_holds_what_is_shown_and_no_formula(client, now):
    client.force_login(person("viewer"))
    one = action(meter(name="=1+1", nomination_kw="4000.5"), note="@SUM(A1)")
    action(meter(), "HAS_AMI", program="CCA")
    lines = list(
        csv.DictReader(io.StringIO(client.get("/actions/export/?program=NYISO-SCR").content.decode()))
    )
    [line] = lines
    assert (line["meter"], line["note"], line["kw"]) == ("'=1+1", "'@SUM(A1)", "4000.5")
    assert datetime.fromisoformat(line["deadline_utc"]) == one.deadline_at
    of_group = client.get(group_page(one).replace("/group/", "/export/")).content.decode()
    assert len(of_group.splitlines()) == 2


def test_an_action_that_leap_no_longer_asks_for_is_resolved_and_stands_so(client, settings):
    """Over real HTTP: Leap asks, a person takes it, Leap asks no more, a platform event says so."""
    client.force_login(person("operator"))
    with LeapSimulator(api_key=KEY) as leap:
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = leap.url, KEY
        one, _ = leap.meters.fill(2, now=timezone.now() - timedelta(days=1))
        deadline = timezone.now() + timedelta(days=3)
        asked = {
            "program_identifier": "CCA",
            "delivery_period": "CCA_DEC",
            "enrollment_deadline_date_time": deadline.isoformat(),
            "action_type": "NO_MISSING_FIELDS",
            "action_description": "There are missing fields: customer_name",
            "action_code": "SERV_0005",
        }
        leap.meters.change(one, required_actions={"partner": [asked], "leap": []}, now=timezone.now())
        call_command("sync_meters", stdout=StringIO())
        assert [row[:3] for row in rows(client.get("/actions/").context["list"])] == [
            ("Due within 7 days", "NO_MISSING_FIELDS", 1)
        ]
        action_id = RequiredAction.objects.get().pk
        client.post(f"/actions/{action_id}/", {"owner": "a-operator", "note": "Asked the customer."})

        leap.meters.change(one, required_actions={"partner": [], "leap": []}, now=timezone.now())
        event = {"webhook_event_type": "meter.enrollment.required-actions.updated", "meter_id": one}
        event |= {
            "transmission_region": "CAISO",
            "global_enrollment_status": "ACTIVE",
            "required_actions": {},
        }
        answer = client.post(
            "/webhooks/leap/events/",
            {"webhook_event_id": str(uuid4()), "payload": event},
            content_type="application/json",
            headers={settings.LEAP_WEBHOOK_HEADER: settings.LEAP_WEBHOOK_KEYS[0]},
        )
        assert answer.status_code < 300
        hinting.follow_waiting(now=timezone.now())
        syncing.sync_if_due(now=timezone.now())

    assert rows(client.get("/actions/").context["list"]) == []
    resolved = client.get("/actions/?show=resolved")
    assert [row[1:3] for row in rows(resolved.context["list"])] == [("NO_MISSING_FIELDS", 1)]
    kept = RequiredAction.objects.get()
    assert (kept.pk, kept.note, kept.owner.username) == (action_id, "Asked the customer.", "a-operator")
    assert "Resolved: Fill in the missing fields for CCA" in client.get(f"/meters/{one}/").content.decode()


def test_a_meters_page_says_how_it_stands_and_before_any_sync_how_to_know(client, now, settings):
    client.force_login(person("operator"))
    settings.LEAP_API_KEY = "k"
    one = meter(enrollment_status="ELIGIBLE")
    address = f"/meters/{one.meter_id}/"
    assert "Leap has said nothing of it yet" in client.get(address).content.decode()
    periods = [
        ("SCR_NOV", -40, -10, "ACTIVE"),
        ("SCR_DEC", -1, 30, "PENDING"),
        ("SCR_JAN", 30, 60, "WORD_OF_LEAPS"),
    ]
    for period, start, end, status in periods:
        Enrollment.objects.create(
            meter=one,
            program="NYISO-SCR",
            delivery_period=period,
            starts_at=NOW + timedelta(days=start),
            ends_at=NOW + timedelta(days=end),
            status=status,
            deadlines=[["2026-09-15T00:00:00Z", "2026-10-01T00:00:00Z"], ["no time", None]],
        )
    idle = {
        "participation_preference": "IDLE",
        "start_time": "2026-09-01T00:00:00Z",
        "end_time": "9000-01-01T00:00:00Z",
    }
    always = idle | {"participation_preference": "PARTICIPATE", "start_time": "2026-01-01T00:00:00Z"}
    MeterAtLeap.objects.create(
        meter=one, heard_at=NOW, seen_in=1, enrollment={"participation_preferences": [always, idle]}
    )
    action(one, deadline_at=NOW - timedelta(days=1))
    action(one, "ADDRESS")
    detail = client.get(address).context["enrollment"]
    assert [(row.delivery_period, row.status.text, row.open_actions) for row in detail.periods] == [
        ("SCR_DEC", "Pending", 2),
        ("SCR_JAN", "WORD_OF_LEAPS", 0),
    ]
    assert detail.periods[0].chance.deadline_at.isoformat() == "2026-09-15T00:00:00+00:00"
    assert [(asked.action_type, asked.is_missed) for asked in detail.asked] == [
        ("IS_AUTHORIZED", True),
        ("ADDRESS", False),
    ]
    assert [(one.text, one.is_now) for one in detail.preferences] == [
        ("Participating", True),
        ("Idle", False),
    ]


def test_the_control_room_names_the_nearest_deadline_alone(client, now):
    client.force_login(person("viewer"))

    def needs() -> list[tuple[str, str]]:
        return [(need.kind, need.title) for need in client.get("/").context["room"].needs]

    action(meter(nomination_kw=3), days=15)
    action(meter(nomination_kw=3), days=-1)
    action(meter(nomination_kw=3), days=1, party="LEAP")
    assert needs() == []
    soon = NOW + timedelta(days=9)
    both = meter(nomination_kw=300)
    for kind in ("IS_AUTHORIZED", "ADDRESS"):
        action(both, kind, deadline_at=soon)
    action(meter(nomination_kw=10), deadline_at=soon)
    action(meter(nomination_kw=5), deadline_at=soon + timedelta(seconds=1))
    assert needs() == [("warn", "2 meters, 310 kW: action due by Fri 4 Sep")]
    action(meter(), days=1)
    assert needs() == [("bad", "1 meter: action due by Thu 27 Aug")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite explains otherwise")
def test_what_is_due_is_found_by_the_index_of_open_actions(now):
    due = due_actions(until=NOW + timedelta(days=14), now=NOW).order_by("deadline_at")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        sql, params = due.values("deadline_at").query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", params)
        assert "required_action_open" in "\n".join(line for (line,) in cursor.fetchall())
