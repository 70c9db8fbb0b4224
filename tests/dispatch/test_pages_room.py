"""The control room, overlaps and changes: what is on, what needs someone, what moved."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Command
from dispatch.models import ChangesSeen, DispatchNotification
from tests.dispatch.rows import (
    at,
    device,
    event,
    group,
    meter,
    overlap,
    portfolio,
    recipients,
    revision,
    schedule,
)

PAGES = [
    "/",
    "/?span=3d",
    "/live/",
    "/calendar/",
    "/calendar/?view=week",
    "/calendar/?view=day",
    "/events/?when=live",
    "/overlaps/",
    "/changes/",
]


@pytest.mark.parametrize("path", [*PAGES, "event"])
def test_a_page_asks_as_often_for_eight_groups_as_for_two(page, path):
    first = portfolio(2)[0]
    path = f"/events/{first.pk}/" if path == "event" else path
    page(path)  # what is read once a session is read now
    with CaptureQueriesContext(
        connection,
    ) as few:
        page(path)
    portfolio(6)
    with CaptureQueriesContext(connection) as many:
        page(path)
    assert len(many) == len(few)


@pytest.mark.parametrize("path", [*PAGES[:2], *PAGES[3:]])
def test_an_empty_page_says_what_will_stand_there(page, path):
    text = page(path)
    assert 'class="empty"' in text or 'class="month"' in text or "no events" in text


def test_an_empty_portal_lists_the_steps_to_the_first_dispatch(page):
    text = page("/")
    assert "0 of 3 done" in text
    assert "Bring in the meters" in text


def test_the_stripe_counts_devices_that_confirmed(page):
    named = meter()
    live = event(group(), to=recipients(named), unmapped_meters=2)
    schedule(device(named), live)
    schedule(device(named), live, state="FAILED")
    text = page("/live/")
    assert "South Bay · CCA" in text
    assert "1/2</b> confirmed" in text
    assert "3 to check" in text
    assert "ends in <b>1 h 18 min</b>" in text


def test_readiness_counts_what_devices_confirmed(page):
    named = meter()
    coming = event(group(), to=recipients(named), start=at(2), end=at(3))
    schedule(device(named), coming, kw=70)
    schedule(device(named), coming, state="SENT")
    text = page("/")
    readiness = text[text.index('id="readiness-title"') : text.index('id="needs"')]
    assert '<b>1</b> <span class="quiet">/ 2' in readiness
    assert '<b>70 kW</b> <span class="quiet">/ 4,000 kW' in readiness


def test_readiness_tells_trouble_and_no_reason_for_serving(page):
    named = meter()
    asked, to, told = group(), recipients(named), device(named)
    ready = event(asked, to=to, start=at(2), end=at(3), energy_kw=60)
    larger = event(asked, to=to, start=at(2), end=at(3), energy_kw=70, programs=["ELRP"], shortfall_kw=7)
    schedule(told, ready, larger, kw=70)
    overlap(told, ready, larger)
    text = page("/")
    readiness = text[text.index('id="readiness-title"') : text.index('id="needs"')]
    lines = readiness.split("row-under")[1:]
    assert "Both are served" not in readiness
    assert [line.count("7 kW short of the request.") for line in lines] == [0, 1]
    assert '<b>60 kW</b> <span class="quiet">/ 60 kW' in lines[0]


def test_what_needs_someone_links_to_where_it_is_mended(page):
    named = meter()
    live = event(group(), to=recipients(named), unmapped_meters=2)
    schedule(device(named), live, state="FAILED")
    Command.objects.update(expires_at=at(30))
    DispatchNotification.objects.create(received_at=at(0), body=b"{}", sha256="q", status="QUARANTINED")
    text = page("/")
    assert re.findall(r"due <time[^>]*>([^<]*)<", text) == ["Wed 26 Aug 23:00", "17:00"]
    assert "1 device did not take the schedule" in text
    assert 'href="/commands/?state=failed"' in text
    assert 'href="/meters/?ready=no"' in text
    assert 'href="/notifications/?status=quarantined"' in text


def test_a_refresh_answers_with_the_part_alone(page):
    assert "<html" in page("/")
    assert "<html" not in page("/", **{"hx-request": "true"})


def test_an_overlap_says_what_was_chosen_and_what_is_not_served(page):
    named = meter()
    to, asked = recipients(named), group()
    first = event(asked, to=to)
    second = event(asked, to=to, start=at(1), end=at(3), programs=["ELRP"])
    refused = [{"leap_event_id": second.leap_event_id, "reason": "The longest run is 2 h."}]
    overlap(device(named), first, second, not_served=refused)
    text = page("/overlaps/")
    assert "18:00–19:00 PDT" in text
    assert "Not fully served on all devices" in text
    assert "The longest run is 2 h." in text
    assert [text.count(word) for word in ("Comes first", "Not served on all devices", "is-dropped")] == [
        1,
        1,
        1,
    ]
    assert "Nothing is left unserved" not in page("/overlaps/?unserved=yes")


def test_touching_slices_of_the_same_events_are_one_overlap(page):
    named = meter()
    to, asked = recipients(named), group()
    first = event(asked, to=to, end=at(4))
    second = event(asked, to=to, start=at(1), end=at(2), programs=["ELRP"])
    third = event(asked, to=to, start=at(2), end=at(3), programs=["DSGS"])
    told = device(named)
    overlap(told, first, second)
    overlap(told, first, third)
    text = page("/overlaps/")
    assert "1 to come" in text
    assert "18:00–20:00 PDT" in text


def test_looking_at_changes_marks_nothing_as_seen(page, client):
    changed = event(group())
    revision(changed, number=2, kind="MODIFIED", energy_kw=[3600, 4000])
    text = page("/changes/")
    assert "<del>3,600 kW</del> <ins>4,000 kW</ins>" in text
    assert "1 since you last looked" in text
    assert not ChangesSeen.objects.exists()
    client.post("/changes/seen/")
    assert "nothing new since you last looked" in page("/changes/")
