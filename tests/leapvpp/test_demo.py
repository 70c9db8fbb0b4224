"""The demo: a portfolio that is the same each time, and a day worth looking at whatever the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from devices.models import Device, SimulatedDevice
from leapvpp.demo import prepare
from leapvpp.demo.accounts import NotADemo
from leapvpp.demo.at_leap import remember
from leapvpp.demo.day import events_of, next_dispatch, the_day
from leapvpp.demo.feeding import read_recipients
from leapvpp.demo.seeding import seed_demo
from leapvpp.leap.simulator.meters import MeterBook, MeterQuery
from leapvpp.leap.simulator.server import LeapSimulator
from meters.domain.connecting import Standing
from meters.enrollment_models import Enrollment, RequiredAction
from meters.models import MarketGroup, Meter
from meters.onboarding_models import Connection, MeterJob
from meters.sync_models import MeterSync

NOW = datetime(2026, 7, 14, 20, 17, tzinfo=UTC)


@pytest.fixture
def environment(settings, tmp_path, monkeypatch):
    settings.STATE_DIR = tmp_path
    monkeypatch.setenv("LEAP_API_KEY", "")
    monkeypatch.setenv("LEAP_API_BASE_URL", "")


@pytest.mark.django_db
def test_the_portfolio_is_what_it_says_and_made_once(environment):
    user, password = prepare(now=NOW)

    assert Meter.objects.count() == 132
    assert MarketGroup.objects.count() == 15
    assert {region for (region,) in Meter.objects.values_list("transmission_region").distinct()} == {
        "CAISO",
        "NYISO",
        "ERCOT",
        "ISONE",
        "PJM",
    }
    assert Meter.objects.filter(devices__isnull=True).count() == 1
    assert Meter.objects.filter(participation="IDLE").count() == 1
    assert Meter.objects.filter(archived_at__isnull=False).count() == 1
    assert Device.objects.filter(meters__transmission_region="ERCOT").exists()
    assert SimulatedDevice.objects.exclude(fault="").count() == 11
    assert User.objects.get(username=user).check_password(password)
    assert set(Connection.objects.values_list("standing", flat=True)) == {*Standing} - {"OPENED", "COMPLETED"}
    assert MeterJob.objects.get().problems_count == 0

    assert prepare(now=NOW) == (user, password)
    assert Meter.objects.count() == 132


@pytest.mark.django_db
def test_the_first_sync_finds_newcomers_and_nothing_else_as_the_demos_leap_knows_what_it_told(
    environment, settings
):
    now = timezone.now()
    prepare(now=now)
    assert RequiredAction.objects.filter(deadline_at__gt=now).count() >= 10
    assert Enrollment.objects.filter(starts_at__gt=now, status="INELIGIBLE").count() >= 10
    with LeapSimulator(api_key="of-the-demo") as leap:
        remember(leap.meters, now=now)
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = leap.url, "of-the-demo"
        call_command("sync_meters", "--full", stdout=StringIO())
        first = MeterSync.objects.latest("pk")
        assert (first.meters, first.appeared, first.changed, first.vanished) == (140, 8, 0, 0)
        assert first.unreadable == 0
        assert Meter.objects.get(name="Tibbetts Arena").participation == "IDLE"

    again = MeterBook()
    remember(again, now=now)
    assert len(again.search(MeterQuery(), is_enrollment=True)) == 140


@pytest.mark.django_db
def test_a_demo_that_stood_still_for_long_begins_its_seasons_anew(environment):
    prepare(now=NOW)
    later = NOW + timedelta(days=800)
    book = MeterBook()
    remember(book, now=later)
    enrollments = book.search(MeterQuery(partner_references=("SITE-0001",)), is_enrollment=True)[0]
    groups = {each["market_group_name"] for each in enrollments["program_enrollment"]}
    assert groups == {"CCA Bay Area", "ELRP emergency"}
    assert all(
        each["delivery_period_end_date_time"] > later.isoformat()
        for each in enrollments["program_enrollment"]
    )


@pytest.mark.django_db
def test_the_demo_leaves_a_portal_in_use_alone(environment):
    User.objects.create_user("somebody")

    with pytest.raises(NotADemo):
        prepare(now=NOW)

    assert not Meter.objects.exists()


@pytest.mark.django_db
def test_a_visitor_who_adds_a_user_does_not_lock_the_demo(environment):
    signed_in = prepare(now=NOW)
    User.objects.create_user("a visitor")

    assert prepare(now=NOW) == signed_in


@pytest.mark.django_db
@pytest.mark.parametrize("hour", [0, 6, 13, 23])
def test_at_any_hour_something_is_over_live_and_to_come(hour):
    now = NOW.replace(hour=hour)
    seed_demo(now=now)
    recipients = read_recipients(now=now)
    current, changed = {}, set()
    for step in the_day(now):
        for event in events_of(step, recipients, told_at=now):
            if event.event_id in current:
                changed.add(event.event_id)
            current[event.event_id] = event.timeslot

    slots = [slot for slot in current.values() if not slot.cancelled]
    assert sum(slot.end_time <= now for slot in slots) >= 4
    assert sum(slot.start_time <= now < slot.end_time for slot in slots) >= 4
    assert sum(slot.start_time > now for slot in slots) >= 6
    assert sum(slot.cancelled for slot in current.values()) == 1
    assert len(changed) == 5


@pytest.mark.django_db
def test_what_comes_every_few_minutes_is_new_each_time():
    seed_demo(now=NOW)
    recipients = read_recipients(now=NOW)

    told = [
        event
        for number in range(8)
        for event in events_of(
            next_dispatch(NOW + timedelta(minutes=4 * number), number=number),
            recipients,
            told_at=NOW + timedelta(minutes=4 * number),
        )
    ]

    assert len({event.event_id for event in told}) == 8
    assert all(event.timeslot.start_time > NOW for event in told)
