"""The list of events and the page of one."""

from __future__ import annotations

import pytest

from dispatch.models import DispatchEvent
from tests.dispatch.rows import at, device, event, group, meter, recipients, revision, schedule
from tests.people import person


@pytest.fixture
def events(now, db):
    """One event of each kind, by name."""
    asked = {name: group(name) for name in ("Live", "Coming", "Past", "Gone", "Tried", "Gap")}
    later = {"start": at(5), "end": at(6)}
    return {
        "Live": event(asked["Live"]),
        "Coming": event(asked["Coming"], **later, is_overlapping=True),
        "Past": event(asked["Past"], start=at(-5), end=at(-4)),
        "Gone": event(asked["Gone"], **later, is_cancelled=True, programs=["NYISO-SCR"], revision=2),
        "Tried": event(asked["Tried"], **later, test="INTEGRATION"),
        "Gap": event(asked["Gap"], **later, unmapped_meters=3),
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"Live"}),
        ("when=past", {"Past"}),
        ("when=upcoming", {"Coming", "Gone", "Tried", "Gap"}),
        ("when=upcoming&status=cancelled", {"Gone"}),
        ("when=upcoming&program=NYISO-SCR", {"Gone"}),
        ("when=upcoming&test=yes", {"Tried"}),
        ("when=upcoming&test=no&status=scheduled", {"Coming", "Gap"}),
        ("when=upcoming&unmapped=yes", {"Gap"}),
        ("when=upcoming&overlapping=yes", {"Coming"}),
        ("when=upcoming&changed=yes", {"Gone"}),
        ("when=upcoming&q=tri", {"Tried"}),
        ("when=upcoming&status=nonsense&test=nonsense", {"Coming", "Gone", "Tried", "Gap"}),
    ],
)
def test_the_address_chooses_the_events(page, events, query, names):
    text = page(f"/events/?{query}")
    assert {name for name in events if f">{name}</a>" in text} == names


def test_the_page_of_a_coming_event_shows_what_it_is_short_of(page):
    short = event(group("Short"), start=at(5), end=at(6), shortfall_kw="3.5")
    assert "Short of it" in page(f"/events/{short.pk}/")
    assert "3.5 kW short of the award." in page(f"/events/{short.pk}/")


def test_an_event_page_shows_gaps_ledger_and_history(page):
    good, bad, bare = meter("Good"), meter("Bad"), meter("Bare")
    live = event(group(), to=recipients(good, bad, bare), revision=2)
    revision(live, number=2, kind="EXTENDED", end_time=["2026-08-26T01:00:00Z", "2026-08-26T02:00:00Z"])
    schedule(device(good), live)
    schedule(device(bad), live, state="FAILED")
    text = page(f"/events/{live.pk}/")
    gaps = text[text.index('id="recipients"') :]
    assert "No device is mapped to this meter." in gaps
    assert "Refused: an older version." in gaps
    assert ">Good</a>" not in gaps
    assert ">Good</a>" in page(f"/events/{live.pk}/?show=all")
    assert "1 of 2" in text
    assert "<del>Tue 25 Aug 18:00 PDT</del> <ins>Tue 25 Aug 19:00 PDT</ins>" in text
    assert "The largest request covers the others." in text


def test_an_integration_test_counts_only_devices_that_move_for_it(page):
    tried, moved = meter("Tried"), meter("Moved")
    real, test = event(group(), to=recipients(tried, moved)), event(to=recipients(tried), test="INTEGRATION")
    armed = event(to=recipients(moved), test="INTEGRATION")
    schedule(device(tried), real)
    schedule(device(moved), armed)
    assert "No device is told anything for this event." in page(f"/events/{test.pk}/")
    assert "No device is told anything for this event." not in page(f"/events/{armed.pk}/")


def test_an_unknown_meter_is_shown_and_not_dropped(page):
    live = event(to=recipients(meter("Known")))
    live.recipients.members.create(meter_id="ffffffff-0000-4000-8000-000000000000")
    assert "the portal does not know it" in page(f"/events/{live.pk}/")


def test_an_event_that_is_over_is_not_polled(page):
    live, past = event(group()), event(group(), start=at(-5), end=at(-4))
    assert 'hx-trigger="every 5s"' in page(f"/events/{live.pk}/")
    assert 'hx-trigger="every 5s"' not in page(f"/events/{past.pk}/")


def test_an_event_that_is_not_there_is_a_404(client, now, db):
    client.force_login(person())
    assert client.get("/events/987654/").status_code == 404


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 302)])
def test_only_an_operator_plans_again(client, now, db, role, status):
    live = event(group())
    client.force_login(person(role))
    assert ("Plan again" in client.get(f"/events/{live.pk}/").content.decode()) == (role == "operator")
    assert client.post(f"/events/{live.pk}/plan/").status_code == status
    assert DispatchEvent.objects.filter(plan_requested_at__isnull=False).exists() == (status == 302)
