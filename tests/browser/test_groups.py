"""A group out of step and its members over time, as a browser shows them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from dispatch.comparing_groups import compare_waiting
from meters.grouping import request_comparison
from meters.models import MarketGroup, MarketGroupMembership
from tests.builders import device, group, meter
from tests.rows import event

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def south() -> MarketGroup:
    """A group that is called for two hours with one stranger, one unknown meter and one member left out."""
    now = timezone.now()
    made = group(name="South Bay", program="CCA", zone="SLAP", timezone="America/Los_Angeles")
    names = ("Alum Rock", "Berryessa", "Cambrian Park Community Center", "Downtown", "Evergreen")
    members = [meter(name=name) for name in names]
    for each in members[:3]:
        device(each)
    for place, start, end in ((0, -90, 30), (1, -90, 30), (3, -90, -20), (2, 30, 120), (0, 30, 120)):
        MarketGroupMembership.objects.create(
            group=made,
            meter=members[place],
            program="CCA",
            delivery_period="CAISO-CCA_2026_NOV",
            starts_at=now + timedelta(days=start),
            ends_at=now + timedelta(days=end),
        )
    called = [members[0], members[4]]
    ids = sorted([*(each.meter_id for each in called), "0fe21c76-c712-4ef7-b0a6-f190fad300b2"])
    event("e1", market_group_id=made.market_group_id, meter_ids=ids, energy_kw=25)
    request_comparison([made.market_group_id], now=now)
    compare_waiting(now=now)
    return made


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_a_group_and_its_event_fit_and_say_who_differs(desk, south, width, scheme):
    page = desk(f"/groups/{south.market_group_id}/", width=width, scheme=scheme)
    expect(page.get_by_role("heading", name="Group out of step")).to_be_visible()
    assert _overhang(page) == 0
    page.get_by_label("As of").fill((timezone.now() + timedelta(days=40)).strftime("%Y-%m-%dT%H:%M"))
    page.locator("#members").get_by_role("button", name="Show").click()
    expect(page.locator("#members")).to_contain_text("Cambrian Park")
    expect(page.locator("#members tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator("#members")).to_contain_text("Berryessa")

    page = desk("/events/", width=width, scheme=scheme)
    page.get_by_role("link", name="South Bay").first.click()
    expect(page.get_by_role("heading", name="Group out of step")).to_be_visible()
    assert _overhang(page) == 0


def _overhang(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
