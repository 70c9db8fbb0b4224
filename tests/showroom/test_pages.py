"""The scenarios' pages: in a demo alone, everybody reads, operators play."""

from __future__ import annotations

import pytest
from django.utils import timezone

from leapvpp.demo.showroom import running
from leapvpp.demo.showroom.rooms import seed_showroom
from leapvpp.demo.showroom.scenarios import SCENARIOS
from leapvpp.models import ScenarioPlay
from tests.people import person
from tests.showroom.stage import Bench

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo(settings):
    settings.IS_DEMO = True
    seed_showroom(now=timezone.now())


def text(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(answer.text.split())


def test_without_a_demo_there_is_no_page_and_no_link(client):
    client.force_login(person("operator"))
    assert client.get("/scenarios/").status_code == 404
    assert client.post("/scenarios/spread/play/").status_code == 404
    assert "/scenarios/" not in text(client, "/certification/")


def test_a_viewer_reads_and_may_not_play(client, demo):
    client.force_login(person("viewer"))
    page = text(client, "/scenarios/")
    assert page.count("Not played yet") == len(SCENARIOS)
    assert "/play/" not in page
    assert "Play" not in text(client, "/scenarios/spread/").partition("<main")[2].partition("</main>")[0]
    assert client.post("/scenarios/spread/play/").status_code == 403
    assert client.get("/scenarios/unheard-of/").status_code == 404


def test_an_operator_plays_and_sees_what_came_of_it(client, demo, django_assert_max_num_queries):
    client.force_login(person("operator"))
    client.post("/scenarios/hold/play/")
    page = text(client, "/scenarios/hold/")
    assert "Waits for its turn" in page
    assert 'hx-trigger="every 1s"' in page
    again = client.post("/scenarios/hold/play/", follow=True).text
    assert "It is being played already." in again
    assert ScenarioPlay.objects.count() == 1

    row = running.play_next(stage=Bench(client))
    page = text(client, "/scenarios/hold/")
    assert "As expected" in page
    assert page.count("Came true: ") == len(row.checks)
    assert "is not served: Held by the showroom: Its oil is changed." in page
    assert "120 kW short" in page
    with django_assert_max_num_queries(62):
        client.get("/scenarios/hold/")
    assert f"{len(row.checks)} of {len(row.checks)} came true" in text(client, "/scenarios/")
