"""Participation from the form to Leap and back, and the opt-outs that hold here meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.utils import timezone

from devices.models import Withheld
from dispatch.models import Override
from leapvpp.leap.simulator.server import LeapSimulator
from meters import participating
from meters.models import Meter
from meters.participation_models import ParticipationRequest
from tests.builders import device, group, meter
from tests.people import bearer, person
from tests.rows import event

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"
PACIFIC = ZoneInfo("America/Los_Angeles")
TODAY = timezone.now().astimezone(PACIFIC).date()
FIRST, LAST = TODAY + timedelta(days=5), TODAY + timedelta(days=9)


@pytest.fixture
def leap(settings) -> Iterator[LeapSimulator]:
    """A Leap with three meters that the portal has read."""
    with LeapSimulator(api_key=KEY) as simulator:
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
        simulator.meters.fill(3, now=timezone.now() - timedelta(days=1))
        call_command("sync_meters", stdout=StringIO())
        yield simulator


@pytest.fixture
def operator(client):
    client.force_login(person("operator"))
    return client


def filled(*meters: Meter, **fields) -> dict[str, str]:
    return {
        "kind": "IDLE",
        "meter_ids": "\n".join(each.meter_id for each in meters),
        "starts_on": f"{FIRST}",
        "ends_on": f"{LAST}",
        "reason": "Inverter is out.",
        "is_gated": "on",
    } | fields


def press(client, data: dict, **more) -> object:
    """Look at the preview, and press its button."""
    seen = client.post("/participation/new/", data)
    assert seen.status_code == 200, seen.content.decode()
    preview = seen.context["preview"]
    return client.post("/participation/new/", data | {"seen": preview.seen, "stage": "send"} | more)


def local(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=PACIFIC)


def test_a_meter_rests_at_leap_and_here_and_is_woken_again(leap, operator):
    one, two, three = Meter.objects.order_by("pk")
    Meter.objects.update(nomination_kw=4)
    battery = device(one)
    seen = operator.post("/participation/new/", filled(one, two, one))
    page = seen.content.decode()
    assert "Let 2 meters rest?" in page and "8 kW taken out" in page and "named twice" in page
    assert "participating" in page and "America/Los_Angeles" in page
    assert ParticipationRequest.objects.count() == 0

    answer = press(operator, filled(one, two))

    request = ParticipationRequest.objects.get()
    assert answer["Location"] == f"/participation/{request.pk}/"
    gates = Override.objects.order_by("target")
    assert {each.target for each in gates} == {one.meter_id, two.meter_id}
    assert {(each.action, each.starts_at, each.ends_at) for each in gates} == {
        ("OPT_OUT", local(FIRST), local(LAST + timedelta(days=1)))
    }
    assert Withheld.objects.get().device_id == battery.pk
    assert "Waiting for a worker" in operator.get(f"/participation/{request.pk}/").content.decode()
    participating.send_waiting()
    page = operator.get(f"/participation/{request.pk}/").content.decode()
    assert "Accepted" in page and "2 of 2" in page and "End this idle period" in page
    assert "Idle to come" in operator.get(f"/meters/{one.meter_id}/").content.decode()
    assert "2 meters" in operator.get(f"/calendar/?view=week&date={FIRST}").content.decode()
    listed = operator.get("/participation/?show=idle").content.decode()
    assert one.meter_id in listed and three.meter_id not in listed
    lines = b"".join(operator.get(f"/participation/{request.pk}/export/")).decode().splitlines()
    assert lines[1].split(",")[-2:] == ["ACCEPTED", ""] and len(lines) == 3

    undo = operator.get(f"/participation/new/?undo={request.pk}").context["form"].initial
    assert (undo["kind"], undo["starts_on"], undo["ends_on"]) == ("END_IDLE", FIRST, LAST)
    press(operator, filled(kind="END_IDLE", meter_ids=undo["meter_ids"]))
    participating.send_waiting()

    assert ParticipationRequest.objects.latest("pk").state == "DONE"
    assert Override.objects.filter(ended_at__isnull=True).count() == 0


def test_leaving_wants_its_number_typed_and_a_commitment_given_up(leap, operator):
    one, two, _ = Meter.objects.order_by("pk")
    begins = local(FIRST) + timedelta(hours=17)
    event(
        "award",
        meter_ids=[one.meter_id],
        starts_at=begins,
        ends_at=begins + timedelta(hours=1),
        is_voluntary=False,
        programs=["CCA"],
    )
    device(one)
    leave = filled(one, two, kind="DISENROLL", ends_on="", reason="Moved away.")
    page = operator.post("/participation/new/", leave).content.decode()
    assert "1 event in these days" in page and "Give up these commitments" in page

    assert "Type 2" in press(operator, leave, count="1").content.decode()
    refused = press(operator, leave, count="2")
    assert "needs a confirmation" in refused.content.decode()
    assert (ParticipationRequest.objects.count(), Override.objects.count()) == (0, 0)

    press(operator, leave, count="2", confirm_commitment="on")
    participating.send_waiting()

    assert ParticipationRequest.objects.get().state == "DONE"
    assert Override.objects.filter(is_commitment_confirmed=True).count() == 2
    press(operator, filled(one, kind="PARTICIPATE", ends_on="", starts_on=f"{LAST}"))
    cut = Override.objects.get(target=one.meter_id)
    assert (cut.ended_at, cut.ends_at) == (None, local(LAST))
    assert Override.objects.get(target=two.meter_id).ends_at > local(LAST)


def test_what_changed_since_the_preview_is_shown_again(leap, operator):
    one, two, _ = Meter.objects.order_by("pk")
    seen = operator.post("/participation/new/", filled(one, two)).context["preview"].seen
    Meter.objects.filter(pk=two.pk).update(archived_at=timezone.now())

    again = operator.post("/participation/new/", filled(one, two) | {"seen": seen, "stage": "send"})

    assert again.status_code == 422
    assert "Something changed" in again.content.decode() and "It is archived" in again.content.decode()
    assert ParticipationRequest.objects.count() == 0


def test_meters_are_picked_in_every_way(leap, operator):
    one, two, three = Meter.objects.order_by("pk")
    south = group(two, name="South")
    upload = SimpleUploadedFile("meters.csv", f"partner_reference\n{three.partner_reference}\n".encode())
    data = filled(group=south.market_group_id, meter_ids=one.partner_reference, file=upload)
    picked = operator.post("/participation/new/", data).context["preview"]
    assert {row.meter_id for row in picked.rows} == {one.meter_id, two.meter_id, three.meter_id}
    by_filter = operator.get(f"/participation/new/?group={south.market_group_id}").context["form"]
    assert by_filter.initial["meter_ids"] == two.meter_id
    assert 'name="program"' in operator.get("/participation/new/?kind=IDLE").content.decode()


BAD = {
    "nobody": ({"meter_ids": ""}, "Name at least one meter"),
    "a stranger": ({"meter_ids": "Nobody's house"}, "is called Nobody&#x27;s house"),
    "no day": ({"starts_on": "soon"}, "Write a date"),
    "backwards": ({"ends_on": "2020-01-01"}, "before the first"),
    "the end of time": ({"starts_on": "9999-12-31", "ends_on": "9999-12-31"}, "five years"),
    "no kind": ({"kind": "SLEEP"}, "Select a valid choice"),
    "no reason to leave": ({"kind": "DISENROLL", "ends_on": "", "reason": ""}, "wants a reason"),
}


@pytest.mark.parametrize(("fields", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_makes_no_sense_is_said_by_its_field(operator, fields, sentence):
    answer = operator.post("/participation/new/", filled(meter(timezone="America/Los_Angeles"), **fields))
    assert answer.status_code == 422
    assert sentence in answer.content.decode()


def test_a_file_that_is_none_is_refused_in_words(operator):
    for content in (b"\xff\xfe", b"name\nx\n", b'meter_id\n"' + b"x" * 200_000):
        answer = operator.post("/participation/new/", filled(file=SimpleUploadedFile("meters.csv", content)))
        assert answer.status_code == 422


def test_a_program_asks_by_the_same_checks(leap, client):
    one, two, _ = Meter.objects.order_by("pk")
    archived = meter(archived_at=timezone.now())
    url, headers = "/api/v1/participation-requests/", bearer("operator")
    wanted = {"kind": "idle", "starts_on": f"{FIRST}", "ends_on": f"{LAST}", "reason": "Outage."}

    def post(**fields):
        return client.post(url, wanted | fields, content_type="application/json", headers=headers)

    found = post(meter_ids=[one.meter_id, archived.meter_id], dry_run=True)
    assert [each["problem"] for each in found.json()["meters"]] == ["", "It is archived."]
    assert found.json()["meters"][0]["starts_at"].endswith("Z")
    refused = post(meter_ids=[one.meter_id, archived.meter_id, two.meter_id, two.meter_id.upper()])
    assert refused.status_code == 400
    assert [each.split(": ")[1] for each in refused.json()["errors"]["meter_ids"]] == [
        "It is archived.",
        "It is named twice.",
    ]
    assert post(meter_ids=[one.meter_id], ends_on=None).json()["errors"].keys() == {"ends_on"}
    assert ParticipationRequest.objects.count() == 0

    made = post(meter_ids=[one.meter_id, two.meter_id], opt_out_now=False)

    assert (made.status_code, made.json()["state"], len(made.json()["meters"])) == (201, "waiting", 2)
    assert Override.objects.count() == 0
    participating.send_waiting()
    (row,) = client.get(f"{url}?state=done&meter_id={one.meter_id}", headers=headers).json()["results"]
    assert row["outcomes"] == {"accepted": 2}
    assert client.post(url, wanted, headers=bearer("viewer")).status_code == 403


def test_a_request_that_waits_is_withdrawn_and_without_a_key_none_is_made(leap, operator, settings):
    (one, *_) = Meter.objects.order_by("pk")
    press(operator, filled(one))
    request = ParticipationRequest.objects.get()
    operator.post(f"/participation/{request.pk}/withdraw/")
    assert ParticipationRequest.objects.get().state == "WITHDRAWN"
    page = operator.get(f"/participation/{request.pk}/").content.decode()
    assert "Correct and send again" in page
    settings.LEAP_API_KEY = ""
    assert "LEAP_API_KEY is not set" in press(operator, filled(one)).content.decode()
    assert ParticipationRequest.objects.count() == 1


def test_the_control_room_names_what_was_not_done_as_asked(leap, operator):
    one, *_ = Meter.objects.order_by("pk")
    press(operator, filled(one, meter(timezone="America/Los_Angeles")))
    participating.send_waiting()
    assert "1 request about participation not done as asked" in operator.get("/").content.decode()

    ParticipationRequest.objects.update(state="WAITING", attempts=3)
    assert "1 request about participation cannot reach Leap" in operator.get("/").content.decode()
