"""The doubt panel of the event page: what is held, what a suspect body said, and who settles it."""

from __future__ import annotations

import pytest

from dispatch.models import DispatchEvent, Doubt, Source
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from tests.bodies import as_bytes, at, meter_body, timeslot
from tests.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def doubt() -> Doubt:
    """10 kW, 12 kW and 10 kW once more: without an API key the last one is held, and doubted."""
    for minute, kw in enumerate([10, 12, 10]):
        body = as_bytes(meter_body(timeslot(energy_kw=kw)))
        receive(body=body, source=Source.WEBHOOK, received_at=at(minute))
        record_waiting(now=at(minute))
    return Doubt.objects.get(settled_at__isnull=True)


def test_the_panel_shows_both_and_a_viewer_has_no_buttons(client, doubt):
    client.force_login(person("viewer"))
    page = client.get(f"/events/{doubt.event_id}/").content.decode()
    assert "held <b>10 kW</b>, else <b>12 kW</b>" in page
    assert f"/doubts/{doubt.pk}/" not in page
    assert client.post(f"/doubts/{doubt.pk}/take/").status_code == 403


@pytest.mark.parametrize(("choice", "kw", "verdict"), [("keep", 10, "KEPT"), ("take", 12, "TAKEN")])
def test_an_operator_settles_it_once(client, doubt, choice, kw, verdict):
    client.force_login(person("operator"))
    path = f"/doubts/{doubt.pk}/{choice}/"
    page = client.post(path, follow=True).content.decode()
    event = DispatchEvent.objects.get()
    doubt.refresh_from_db()
    assert (event.energy_kw, event.is_confirmed) == (kw, True)
    assert (doubt.verdict, doubt.settled_by) == (verdict, "a-operator")
    assert "Not confirmed by Leap" not in page
    assert "Settled already" in client.post(path, follow=True).content.decode()
