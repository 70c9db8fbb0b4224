"""Connections: what Leap says of customers is kept once, in a constant number of statements."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from meters.connecting import (
    ConnectEvent,
    LinkRefused,
    Wish,
    keep_references,
    make_links,
    meters_by_refid,
    note_connect_event,
    note_connect_events,
)
from meters.onboarding_models import Connection, ConnectionStep, MeterReference
from tests.builders import NOW, at, meter

pytestmark = pytest.mark.django_db


def event(reference: str, status: str, *, key: str = "", utility: str = "", minute: int = 0) -> ConnectEvent:
    return ConnectEvent(
        partner_reference=reference,
        kind="AUTHORIZATION" if utility else "SESSION",
        status=status,
        utility_name=utility,
        webhook_event_id=key,
        received_at=at(minute),
    )


def test_a_customer_is_followed_from_the_link_and_one_not_made_here_is_known_all_the_same():
    make_links([Wish(reference="home-1", customer_name="The Smiths")], made_by="otto", now=NOW)

    note_connect_events([event("home-1", "CREATED", key="a"), event("walk-in", "CREATED", key="b")])
    for _ in range(2):  # Leap repeats itself
        assert note_connect_event(
            partner_reference="home-1",
            kind="AUTHORIZATION",
            status="FAILED",
            utility_name="SCE",
            webhook_event_id="c",
            received_at=at(9),
        )

    ours, walk_in = Connection.objects.order_by("pk")
    assert (ours.standing, ours.utility_name, ours.standing_since) == ("FAILED", "SCE", at(9))
    assert (ours.made_by, walk_in.made_at, walk_in.standing) == ("otto", None, "OPENED")
    assert ConnectionStep.objects.filter(connection=ours).count() == 2


def test_events_that_name_nobody_are_left_out():
    assert (
        note_connect_events([event("", "CREATED"), event("x\0y", "CREATED"), event("x" * 257, "A")]) == set()
    )
    assert Connection.objects.count() == 0


def test_many_events_cost_as_many_statements_as_one():
    def statements(count: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            note_connect_events([event(f"{count}-home-{one}", "CREATED") for one in range(count)])
        return len(captured)

    assert statements(1) == statements(40)


def test_meters_are_found_by_every_refid_whichever_was_known_first():
    named, authorized, other = meter(partner_reference="home-1"), meter(), meter()
    bodies = {authorized.pk: {"connection_references": ["home-1", "home-2", 7, ""]}, other.pk: {}}
    keep_references(bodies)
    keep_references(bodies)

    assert meters_by_refid(["home-1"])["home-1"] == [named, authorized]
    keep_references({authorized.pk: {"connection_references": ["home-2"]}})
    assert meters_by_refid(["home-1"])["home-1"] == [named]
    assert list(MeterReference.objects.values_list("reference", flat=True)) == ["home-2"]


@pytest.mark.parametrize(
    ("references", "sentence"),
    [(["ab"], "3 to 256 characters"), (["home/1"], "none of /"), (["home-1", "home-1"], "row 3 already")],
)
def test_links_are_made_all_or_none(references, sentence):
    with pytest.raises(LinkRefused, match=sentence):
        make_links([Wish(reference=one) for one in ["good-one", *references]], made_by="otto", now=NOW)
    assert Connection.objects.count() == 0


def test_a_link_made_again_keeps_its_steps_and_adopts_what_leap_named():
    note_connect_events([event("home-1", "CREATED")])
    assert make_links([Wish(reference="home-1", region="NYISO")], made_by="otto", now=NOW) == (0, 1)
    assert make_links([Wish(reference="home-1")], made_by="anna", now=NOW) == (0, 1)
    found = Connection.objects.get()
    assert (found.standing, found.transmission_region, found.made_by) == ("OPENED", "NYISO", "otto")
