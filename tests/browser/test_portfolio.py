"""The pages of the portfolio in a real browser: axe finds nothing, nothing overflows, no script is needed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from dispatch.models import Override
from tests.browser.test_accessibility import faults
from tests.dispatch.one_of_each import grow
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)
LISTS = [
    "/notifications/",
    "/meters/",
    "/groups/",
    "/devices/",
    "/commands/",
    "/overrides/",
    "/alerts/",
    "/policies/",
    "/tests/",
    "/onboarding/",
    "/onboarding/connections/",
    "/preview/",
    "/preview/?way=change",
    "/preview/?way=paste",
]
FORMS = [
    "/onboarding/jobs/add/",
    "/onboarding/jobs/add/meter/?program=CEC-DSGS",
    "/onboarding/connections/add/",
    "/overrides/add/",
    "/policies/add/?template=smart-thermostat",
    "/meters/import/",
]
DETAILS = [
    "/notifications/{notification}/",
    "/meters/{meter}/",
    "/groups/{group}/",
    "/devices/{device}/",
    "/onboarding/jobs/{job}/",
    "/onboarding/connections/{connection}/",
    "/policies/{policy}/",
    "/policies/{policy}/replays/add/",
    "/policies/{policy}/replays/{replay}/",
]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")], ids=["wide", "narrow, dark"])
def test_the_portfolios_pages_pass_axe_and_fit(desk, width, scheme):
    ids = grow(0)
    page = desk("/meters/", role="admin", width=width, scheme=scheme)
    base = page.url.removesuffix("/meters/")
    for path in LISTS + FORMS + [each.format(**ids) for each in DETAILS]:
        page.goto(base + path)
        assert faults(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


def test_the_empty_lists_pass_axe(desk):
    page = desk("/meters/", role="viewer")
    base = page.url.removesuffix("/meters/")
    for path in LISTS:
        page.goto(base + path)
        assert faults(page) == [], path


def test_the_fleet_is_held_and_let_go_without_scripts(chromium, live_server):
    grow(0)
    Override.objects.all().delete()
    person("operator", name="otto")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live_server.url + "/overrides/")
    page.fill("#id_username", "otto")
    page.fill("#id_password", "a-long-password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Hold the fleet…").click()
    page.get_by_label("Reason").fill("Feeder fault")
    page.get_by_role("button", name="See whom it reaches").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hold 1 device?")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hold all 1 device of the fleet?")
    page.get_by_role("button", name="Hold 1 device").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="End", exact=True).click()
    expect(page.locator("main")).to_contain_text("Devices follow the plan")
    context.close()
