"""Who takes part, told to a Leap on a socket: what it does silently is noticed, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from leapvpp.leap.participation import IdlePeriod, LeapParticipation
from leapvpp.leap.simulator.meters import MeterQuery
from leapvpp.leap.simulator.server import LeapSimulator
from meters import idle_listing, participating
from meters.domain.participation import Asked, Days, Kind
from meters.idle_listing import Connected
from meters.models import Meter
from meters.participation_models import IdlePeriod as IdleRow
from meters.participation_models import ParticipationItem, ParticipationRequest
from meters.sync_models import MeterToRead
from tests.builders import meter

pytestmark = pytest.mark.django_db
KEY = "key-of-the-simulator"
TODAY = timezone.now().date()
FIRST, LAST = TODAY + timedelta(days=5), TODAY + timedelta(days=9)


class Killed(BaseException):
    """What a kill looks like from inside: nothing handles it."""


class Dying(LeapParticipation):
    """Dies once Leap has done what it was asked, before anybody hears of it."""

    def add_idle_periods(self, periods):
        super().add_idle_periods(periods)
        raise Killed

    def disenroll(self, requests):
        super().disenroll(requests)
        raise Killed


class Counting(LeapParticipation):
    """Counts what Leap is asked to do."""

    told: list[object] = []

    def add_idle_periods(self, periods):
        self.told.append(set(periods))
        super().add_idle_periods(periods)

    def disenroll(self, requests):
        self.told.append({each.meter_id for each in requests})
        super().disenroll(requests)


@pytest.fixture
def leap(settings) -> Iterator[LeapSimulator]:
    with LeapSimulator(api_key=KEY) as simulator:
        settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY = simulator.url, KEY
        Counting.told = []
        yield simulator


def fleet(leap: LeapSimulator, count: int, *, unknown: int = 0) -> list[Meter]:
    """Meters that Leap has, and some that it does not."""
    ids = leap.meters.fill(count, now=timezone.now())
    return [meter(meter_id=one, timezone="America/Los_Angeles") for one in ids] + [
        meter(timezone="America/Los_Angeles") for _ in range(unknown)
    ]


def ask(meters: list[Meter], kind: Kind = Kind.IDLE, *, first=FIRST, last=LAST) -> ParticipationRequest:
    days = Days(first, last if kind in {Kind.IDLE, Kind.END_IDLE} else None)
    asked = Asked(kind, days, reason="Moved.")
    return participating.store_request(asked=asked, meters=meters, gates={}, by="otto", now=timezone.now())


def through(kind: type[LeapParticipation]) -> Callable[[], object]:
    """Speak to Leap through a client of another kind."""

    @contextmanager
    def clients():
        with idle_listing.open_clients() as usual:
            told = kind(base_url=usual.told._transport.base_url, api_key=KEY)
            yield Connected(told=told, read=usual.read)

    return clients


def outcomes(request: ParticipationRequest) -> list[str]:
    return list(
        ParticipationItem.objects.filter(request=request).order_by("pk").values_list("outcome", flat=True)
    )


def state(request: ParticipationRequest) -> tuple[str, list[str]]:
    request.refresh_from_db()
    return request.state, outcomes(request)


def send(**arguments) -> None:
    participating.send_waiting(**arguments)


def lapse(request: ParticipationRequest) -> None:
    """Let the lease of a worker that died run out."""
    ParticipationRequest.objects.filter(pk=request.pk).update(claimed_until=timezone.now())


def held(leap: LeapSimulator, one: Meter) -> list[str]:
    for found in leap.meters.search(MeterQuery(), is_enrollment=True):
        if found["meter_id"] == one.meter_id:
            return [each["participation_preference"] for each in found["participation_preferences"]]
    return []


def test_who_leap_leaves_out_without_a_word_is_noticed_and_told(leap):
    one, two, unknown = fleet(leap, 2, unknown=1)
    request = ask([one, two, unknown])
    assert participating.waiting(now=timezone.now()) == (participating.CHANGE_PARTICIPATION,)

    send()

    assert state(request) == ("PARTLY", ["ACCEPTED", "ACCEPTED", "DROPPED"])
    assert "without a word" in ParticipationItem.objects.get(meter=unknown).detail
    rows = IdleRow.objects.order_by("meter_id").values_list("meter__meter_id", "starts_on", "ends_on")
    assert set(rows) == {(each.meter_id, FIRST, LAST) for each in (one, two)}
    assert MeterToRead.objects.count() == 3
    assert participating.waiting(now=timezone.now()) == ()
    call_command("sync_meters", stdout=StringIO())
    one.refresh_from_db()
    assert one.participation == "PARTICIPATE"  # its days are to come
    said = one.at_leap.enrollment["participation_preferences"]
    assert [each["participation_preference"] for each in said] == ["PARTICIPATE", "IDLE"]


def test_one_period_that_leap_refuses_refuses_all_and_nothing_is_half_done(leap):
    meters = fleet(leap, 2)
    request = ask(meters, Kind.DISENROLL, first=TODAY - timedelta(days=3))
    ParticipationItem.objects.update(
        expires_at=timezone.now() + timedelta(days=1)
    )  # as if checked by another clock

    send()

    assert state(request) == ("FAILED", ["REFUSED", "REFUSED"])
    assert "must be in the future" in request.detail
    assert [held(leap, each) for each in meters] == [["PARTICIPATE"]] * 2


def test_a_period_is_ended_by_its_exact_days_or_all_stay(leap):
    one, two = fleet(leap, 2)
    ask([one])
    send()
    mixed, exact = ask([one, two], Kind.END_IDLE), ask([one], Kind.END_IDLE)

    send()

    assert state(mixed) == ("FAILED", ["REFUSED", "REFUSED"])
    assert "Still idle" in ParticipationItem.objects.get(request=mixed, meter=one).detail
    assert "exactly these days" in ParticipationItem.objects.get(request=mixed, meter=two).detail
    assert state(exact) == ("DONE", ["ACCEPTED"])
    assert (held(leap, one), IdleRow.objects.count()) == (["PARTICIPATE"], 0)


@pytest.mark.parametrize("kind", [Kind.IDLE, Kind.DISENROLL])
def test_a_worker_that_dies_after_leap_did_it_does_it_once(leap, kind):
    meters = fleet(leap, 2)
    request = ask(meters, kind)
    with pytest.raises(Killed):
        send(clients=through(Dying))
    assert state(request) == ("SENDING", ["PENDING", "PENDING"])
    send(clients=through(Counting))
    assert request.may_have_arrived and Counting.told == []  # the lease of the dead worker still holds

    lapse(request)
    send(clients=through(Counting))

    assert state(request) == ("DONE", ["ACCEPTED", "ACCEPTED"])
    assert Counting.told == []
    assert [held(leap, each) for each in meters] == [["PARTICIPATE", kind.value]] * 2


def test_an_idle_period_that_never_arrived_is_sent_again_and_a_disenrollment_is_not(leap):
    one, two = fleet(leap, 2)
    rest, leave = ask([one]), ask([two], Kind.DISENROLL)
    ParticipationRequest.objects.update(state="SENDING", may_have_arrived=True, claimed_until=timezone.now())

    send(clients=through(Counting))

    assert state(rest) == ("DONE", ["ACCEPTED"])
    assert state(leave) == ("WAITING", ["PENDING"])
    assert "never answered" in leave.detail
    ParticipationRequest.objects.update(next_attempt_at=timezone.now(), attempts=participating.LOOKS)
    send(clients=through(Counting))
    assert state(leave) == ("UNCLEAR", ["UNCLEAR"])
    assert (Counting.told, held(leap, two)) == ([{one.meter_id}], ["PARTICIPATE"])


def test_while_leap_is_away_a_request_waits_and_ends_once_its_day_is_over(leap):
    one, two = fleet(leap, 2)
    early, late = ask([one], Kind.DISENROLL, first=TODAY + timedelta(days=2)), ask([two])
    leap.pusher.go_away(lasts=timedelta(hours=1))
    now = timezone.now()

    send()

    for request in (early, late):
        assert state(request) == ("WAITING", ["PENDING"])
        assert "503" in request.detail
        assert timedelta(seconds=20) < request.next_attempt_at - now < timedelta(minutes=1)
    ParticipationRequest.objects.update(may_have_arrived=False)
    in_three_days = now + timedelta(days=3)
    send(clock=lambda: in_three_days)
    assert state(early) == ("FAILED", ["EXPIRED"])
    assert state(late)[0] == "WAITING"
    assert participating.withdraw(request_id=early.pk, now=now) is False

    leap.pusher.go_away(lasts=timedelta(0))
    assert participating.withdraw(request_id=late.pk, now=now) is False  # Leap may have heard of it


def test_a_single_meter_that_leap_does_not_know_is_dropped_also_after_a_doubt(leap):
    request = ask(fleet(leap, 0, unknown=1))
    ParticipationRequest.objects.update(state="SENDING", may_have_arrived=True, claimed_until=timezone.now())

    send()

    assert state(request) == ("FAILED", ["DROPPED"])


def test_taking_part_again_takes_meters_one_by_one(leap):
    one, two, unknown = fleet(leap, 2, unknown=1)
    ask([one, two])
    send()
    request = ask([one, two, unknown], Kind.PARTICIPATE, first=FIRST)

    send()

    assert state(request) == ("PARTLY", ["ACCEPTED", "ACCEPTED", "DROPPED"])
    assert held(leap, one) == ["PARTICIPATE", "PARTICIPATE"]


def test_many_meters_take_turns_with_what_else_the_worker_does(leap, monkeypatch):
    monkeypatch.setattr(participating, "WORK_SECONDS", 0.0)
    request = ask(fleet(leap, 2), Kind.PARTICIPATE, first=FIRST)

    send()

    assert state(request) == ("WAITING", ["ACCEPTED", "PENDING"]) and request.attempts == 0
    assert participating.withdraw(request_id=request.pk, now=timezone.now()) is False  # Leap heard of one
    send()
    assert state(request) == ("DONE", ["ACCEPTED", "ACCEPTED"])


def test_what_somebody_changes_in_leaps_own_portal_is_read_within_the_hour(leap):
    (one,) = fleet(leap, 1)
    send()
    with LeapParticipation(base_url=leap.url, api_key=KEY) as somebody:
        somebody.add_idle_periods({one.meter_id: [IdlePeriod(start_date=FIRST, end_date=LAST)]})
    now = timezone.now()
    assert participating.waiting(now=now + timedelta(minutes=59)) == ()
    assert participating.waiting(now=now + timedelta(minutes=61)) != ()

    send(clock=lambda: now + timedelta(minutes=61))

    assert IdleRow.objects.get().starts_on == FIRST


def test_a_request_that_waits_can_be_withdrawn(leap):
    request = ask(fleet(leap, 1))
    assert participating.withdraw(request_id=request.pk, now=timezone.now()) is True
    assert state(request) == ("WITHDRAWN", ["WITHDRAWN"])
    send()
    assert IdleRow.objects.count() == 0
