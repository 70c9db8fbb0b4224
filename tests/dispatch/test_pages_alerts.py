"""The page of alerts: what stands where, who may acknowledge, and whether messages leave."""

from __future__ import annotations

import pytest
from django.utils import timezone

from devices.alert_models import Alert, AlertMessage
from tests.builders import device
from tests.people import person

pytestmark = pytest.mark.django_db


def alert(**fields) -> Alert:
    """An open alert about a device of its own."""
    name = fields.pop("name", "Battery 7")
    values = {"kind": "UNVERIFIED", "text": "Gives 3.1 of 4.5 kW.", "raised_at": timezone.now()} | fields
    return Alert.objects.create(device=device(name=name), **values)


def shown(client, query: str = "") -> list[int]:
    """The alerts that the page lists."""
    return [row.id for row in client.get(f"/alerts/{query}").context["list"].rows]


def test_alerts_stand_under_open_acknowledged_or_history(client):
    client.force_login(person("viewer"))
    now = timezone.now()
    seen = alert(acknowledged_at=now, acknowledged_by="ada", note="On my way.")
    over = alert(cleared_at=now, kind="FAILED")
    new = alert(name="Heat pump")
    assert shown(client) == [new.pk]
    assert shown(client, "?show=acknowledged") == [seen.pk]
    assert shown(client, "?show=history") == [over.pk]
    assert "On my way." in client.get("/alerts/?show=acknowledged").content.decode()
    assert shown(client, "?kind=failed") == []
    assert shown(client, "?show=history&kind=failed&q=batt") == [over.pk]


def test_an_operator_acknowledges_one_or_all_shown_with_a_note_and_the_rail_counts_the_rest(client):
    client.force_login(person("operator"))
    first, second, third = alert(), alert(), alert()
    links = {link.path: link for group in client.get("/alerts/").context["frame"].links for link in group}
    assert (links["/alerts/"].count, links["/alerts/"].is_urgent) == (3, True)
    both = {"shown": [second.pk, third.pk], "note": "Feeder fault."}
    assert [need.title for need in client.get("/").context["room"].needs] == ["3 devices with an alert"]
    page = client.post("/alerts/acknowledge/", both | {"alert": [first.pk]}, follow=True)
    assert "1 alert acknowledged." in page.content.decode()
    page = client.post("/alerts/acknowledge/", both, follow=True)
    assert "2 alerts acknowledged." in page.content.decode()
    notes = set(Alert.objects.values_list("acknowledged_by", "note"))
    assert notes == {("a-operator", "Feeder fault.")}
    page = client.post("/alerts/acknowledge/", both, follow=True)
    assert "Nothing to acknowledge" in page.content.decode()


@pytest.mark.parametrize("number", ["x", "-1", "9" * 30, "9" * 5000, "１"])
def test_a_number_that_is_none_is_answered_and_changes_nothing(client, number):
    client.force_login(person("operator"))
    alert()
    assert client.post("/alerts/acknowledge/", {"alert": number}).status_code == 400
    assert Alert.objects.get().acknowledged_at is None


def test_the_page_says_whether_messages_leave(client, settings):
    client.force_login(person("viewer"))
    assert "Alerts stand on this page alone." in client.get("/alerts/").content.decode()
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = ["desk@example.com"], "https://hook.example.com/x"
    AlertMessage.objects.create(
        channel="EMAIL",
        kind="FAILED",
        created_at=timezone.now(),
        next_attempt_at=timezone.now(),
        attempt_count=2,
        detail="The mail server cannot be reached: TimeoutError.",
    )
    page = client.get("/alerts/").content.decode()
    assert "New alerts are sent by e-mail to 1 address and by webhook." in page
    assert "E-mail does not leave: The mail server cannot be reached: TimeoutError." in page
    assert "hook.example.com" not in page  # such addresses are secrets
