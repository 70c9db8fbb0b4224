"""Onboarding on pages and in the API: what would be refused is seen before, what was refused comes back."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from meters.onboarding_models import Connection, JobState, MeterJob
from tests.builders import meter
from tests.dispatch.onboarded import customers, job
from tests.domain.test_onboarding import HOME
from tests.people import bearer, person

pytestmark = pytest.mark.django_db
ADD_JOB = "/onboarding/jobs/add/"
ADD_LINK = "/onboarding/connections/add/"
CONNECT = "https://connect.leap.energy?account=sunny&variant=homes"


def as_csv(*rows: dict[str, str]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def shown(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_a_file_is_checked_row_by_row_and_sent_by_an_admin_alone(client, settings):
    settings.LEAP_API_KEY = "key-of-the-account"
    operator, admin = person("operator"), person("admin")
    client.force_login(operator)
    known = meter(partner_reference="home-3", name="Fir Street")
    rows = [HOME, HOME | {"partner_reference": "home-2", "customer.postal_code": "2139"}]
    text = as_csv(*rows, HOME | {"partner_reference": "home-3"})

    page = shown(client.post(ADD_JOB, {"file": SimpleUploadedFile("a.csv", text.encode())}, follow=True))

    assert "2 of 3 rows would be refused, so nothing is sent." in page
    assert "dropped a leading zero" in page and "A meter has this reference already" in page
    assert f'href="/meters/{known.meter_id}/">Meter Fir Street' in page
    draft = MeterJob.objects.get()
    page = shown(client.post(f"/onboarding/jobs/{draft.pk}/check/", {"update_existing": "yes"}, follow=True))
    assert "1 of 3 rows would be refused" in page
    client.force_login(admin)
    page = shown(client.post(f"/onboarding/jobs/{draft.pk}/send/", follow=True))
    assert "1 rows cannot be sent yet" in page

    client.force_login(operator)
    corrected = csv.DictReader(io.StringIO(client.get(f"/onboarding/jobs/{draft.pk}/rows/").content.decode()))
    (row,) = corrected
    assert "customer.postal_code: Write five digits" in row["why"]
    page = shown(
        client.post(
            ADD_JOB,
            {"csv": as_csv(row | {"customer.postal_code": "02139"})},
            follow=True,
        )
    )
    assert "Nothing was sent yet." in page and "An admin has it sent." in page
    client.force_login(admin)
    second = MeterJob.objects.latest("pk")
    page = shown(client.post(f"/onboarding/jobs/{second.pk}/send/", follow=True))
    assert "on its way to Leap" in page and 'hx-trigger="every 2s"' in page
    second.refresh_from_db()
    assert (second.state, second.requested_by) == (JobState.WAITING, "a-admin")
    page = shown(client.post(f"/onboarding/jobs/{second.pk}/discard/", follow=True))
    assert "was sent already" in page
    client.post(f"/onboarding/jobs/{draft.pk}/discard/")
    assert MeterJob.objects.count() == 1


FILES = {
    "nothing": ({}, "Choose a file, or paste its lines."),
    "no text": ({"file": SimpleUploadedFile("a.csv", b"\xff\xfe\x00")}, "not UTF-8"),
    "a null character": ({"file": SimpleUploadedFile("a.csv", b"load_types\na\0")}, "null characters"),
    "another file": ({"csv": "meter_id,name\na,b"}, "Leap knows no such column"),
}


@pytest.mark.parametrize(("data", "words"), FILES.values(), ids=FILES.keys())
def test_a_file_that_cannot_be_read_says_why_and_makes_nothing(client, data, words):
    client.force_login(person("operator"))
    for upload in data.values():
        if hasattr(upload, "seek"):
            upload.seek(0)
    answer = client.post(ADD_JOB, data)
    assert answer.status_code == 422 and words in shown(answer)
    assert MeterJob.objects.count() == 0


def test_one_meter_is_made_by_form_with_the_fields_of_its_program(client):
    client.force_login(person("operator"))
    page = shown(client.get("/onboarding/jobs/add/meter/?program=CEC-DSGS"))
    assert 'name="site__number_of_devices"' in page and '<option value="CAISO" selected>' in page
    fields = {name.replace(".", "__"): text for name, text in HOME.items()} | {"program": "CEC-DSGS"}

    answer = client.post("/onboarding/jobs/add/meter/", fields)
    assert answer.status_code == 422 and "behind one inverter" in shown(answer)
    answer = client.post("/onboarding/jobs/add/meter/", fields | {"site__number_of_devices": "2"})

    made = MeterJob.objects.get()
    assert answer["location"] == f"/onboarding/jobs/{made.pk}/"
    assert made.rows.get().asset["site"] == {"number_of_devices": 2} and made.problems_count == 0


def test_what_became_of_each_row_is_told_with_what_to_do(client):
    client.force_login(person("viewer"))
    done = job()
    page = shown(client.get(f"/onboarding/jobs/{done.pk}/"))
    assert "3 meters: 1 created or updated, 2 failed" in page
    assert "Reference exists" in page and ">Meter Known 0</a>" in page
    assert "Correct the address as the utility writes it" in page
    failed = shown(client.get(f"/onboarding/jobs/{done.pk}/?rows=failed"))
    assert "job-0-0" in failed and "job-0-2" not in failed
    again = list(
        csv.DictReader(io.StringIO(client.get(f"/onboarding/jobs/{done.pk}/rows/").content.decode()))
    )
    assert [(row["partner_reference"], row["why"]) for row in again] == [
        ("job-0-0", "Address not found The address could not be found."),
        ("job-0-1", "Reference exists"),
    ]


def test_customers_are_told_by_where_they_stand_and_whom_to_remind(client, settings):
    settings.LEAP_CONNECT_URL = CONNECT
    customers()
    client.force_login(person("viewer"))
    rows = {row.name: row for row in client.get("/onboarding/connections/").context["list"].rows}
    said = {name.split(" household")[0]: (row.words, row.remind or row.late) for name, row in rows.items()}
    assert said == {
        "Sent": ("Not opened yet", ""),
        "Opened": ("Opened", ""),
        "At login": ("At the login of PGE", ""),
        "Failed": ("Failed at SCE", "remind today"),
        "Left early": ("Left early", "remind within three days"),
        "Silent": ("Left without a word", "remind within three days"),
        "Authorized": ("Authorized at PGE", "The meter usually appears in 1–2 days."),
        "Late": ("Authorized at SCE", "No meter has appeared in three days: ask Leap, naming the refId."),
        "Arrived": ("Meter appeared", ""),
    }
    assert [str(one) for one in rows["Arrived household 0"].meters] == [
        "Oak Street 0",
        "Oak Street 0, cottage",
    ]
    to_remind = client.get("/onboarding/connections/?show=remind").context["list"]
    assert {row.name for row in to_remind.rows} == {
        "Failed household 0",
        "Left early household 0",
        "Silent household 0",
    }
    assert [tab.count for tab in to_remind.tabs] == [9, 3, 2, 2, 1, 1]
    file = client.get("/onboarding/connections/export/?q=left").content.decode()
    assert f"{CONNECT}&transmissionRegion=CAISO&refId=left-early-0" in file and "sent-0" not in file


def test_the_story_of_a_customer_is_read_from_the_link_to_the_meters(client):
    one = customers()
    client.force_login(person("viewer"))
    page = shown(client.get(f"/onboarding/connections/{one.pk}/"))
    places = [
        page.index(words) for words in ("Oak Street 0", "Came to the end", "Authorized at PGE", "Link made")
    ]
    assert places == sorted(places)
    assert "LEAP_CONNECT_URL is not set" in page
    assert client.get("/onboarding/connections/999999/").status_code == 404


def test_links_are_made_singly_or_by_file_all_or_none(client, settings):
    settings.LEAP_CONNECT_URL = CONNECT
    client.force_login(person("operator"))
    page = shown(client.post(ADD_LINK, {"reference": "home-1", "region": "NYISO"}, follow=True))
    assert (
        'value="https://connect.leap.energy?account=sunny&amp;variant=homes&amp;transmissionRegion=NYISO'
        in page
    )
    bad = "refId,customer_name,utilities\nhome-2,Anna,PGE\nh,Bo,\nhome-4,Cy,FOO\n"
    answer = client.post(ADD_LINK, {"many": "1", "csv": bad})
    assert answer.status_code == 422
    assert "Row 3: refId: The refId must have 3 to 256" in shown(
        answer
    ) and "Leap has no utility FOO" in shown(answer)
    assert Connection.objects.count() == 1
    client.post(ADD_LINK, {"many": "1", "csv": "refId\nhome-2\nhome-1\n"})
    assert Connection.objects.count() == 2


def test_the_api_makes_jobs_dry_first_and_links(client, settings):
    settings.LEAP_CONNECT_URL = CONNECT
    admin, operator = bearer("admin"), bearer("operator")
    asset = {
        "partner_reference": "home-1",
        "customer": {"city": "Fresno", "number_of_rooms": "x"},
        "program": "CEC-DSGS",
    }
    answer = client.post("/api/v1/meter-jobs/", {"assets": [asset]}, "application/json", headers=admin).json()
    assert (answer["applied"], answer["job"]) == (False, None)
    assert answer["errors"]["2"]["customer.number_of_rooms"] == ["Leap knows no such column. Take it out."]
    assert "site.number_of_devices" in answer["errors"]["2"]
    made = client.post("/api/v1/meter-jobs/import/?commit=true", as_csv(HOME), "text/csv", headers=admin)
    assert made.status_code == 201 and made.json()["job"]["state"] == "waiting"
    job_id = made.json()["job"]["id"]
    rows = client.get(f"/api/v1/meter-jobs/{job_id}/rows/", headers=operator).json()["results"]
    assert [(row["row"], row["partner_reference"], row["status"]) for row in rows] == [(2, "home-1", "")]

    link = client.post(
        "/api/v1/connections/", {"partner_reference": "home-1"}, "application/json", headers=operator
    )
    assert link.status_code == 201 and link.json()["link"] == f"{CONNECT}&refId=home-1"
    one = meter(partner_reference="home-1")
    (row,) = client.get("/api/v1/connections/?standing=sent", headers=operator).json()["results"]
    assert row["meter_ids"] == [one.meter_id]
    bad = client.post(
        "/api/v1/connections/", {"partner_reference": "a/b"}, "application/json", headers=operator
    )
    assert bad.status_code == 400 and "none of /" in bad.json()["errors"]["partner_reference"][0]


def test_an_interrupted_visit_counts_as_left_after_a_day(client):
    customers(now=timezone.now() - timedelta(days=1))
    client.force_login(person("viewer"))
    rows = client.get("/onboarding/connections/?show=remind").context["list"].rows
    assert "At login household 0" in {row.name for row in rows}


def test_the_control_room_says_whom_to_remind_and_which_meters_were_left_out(client):
    customers()
    done = job()
    client.force_login(person("viewer"))
    page = shown(client.get("/"))
    assert "3 customers left Leap Connect early" in page
    assert "1 job left meters out" in page and f"/onboarding/jobs/{done.pk}/?rows=failed" in page
