"""Replays of stored revisions through the task: what comes out, and that nothing is lost on the way."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from dispatch import queries, replaying
from dispatch.domain.events import Window
from dispatch.domain.policies import NOTHING
from dispatch.domain.replaying import Known, Track, advance, finish, moments
from dispatch.domain.revisions import EventFields
from dispatch.models import DispatchEvent, EventRevision, Override
from dispatch.policies import assign_policy, save_policy
from dispatch.policy_models import ResponsePolicy
from dispatch.queue import REPLAY_POLICIES
from dispatch.replay_loading import load_past
from dispatch.replay_models import PolicyReplay
from dispatch.replaying import LEASE, ReplayRefused, request_replay, work_on_replays
from dispatch.terms import load_terms
from tests.builders import NOW, at, device, meter
from tests.dispatch.decided import change, event, plan

pytestmark = pytest.mark.django_db

ASKED = at(3 * 24 * 60)


def told(row: DispatchEvent, minutes: float, **changes) -> EventRevision:
    """A revision of the event as received at minutes from NOW."""
    values: dict[str, Any] = {
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "is_cancelled": False,
        "energy_kw": row.energy_kw,
        "nomination_kw": None,
        "priority_rank": row.priority_rank,
        "is_voluntary": row.is_voluntary,
        "cap": row.cap,
        "dispatch_event_types": (),
        "programs": ("CCA",),
        "test": "",
        "market_group_id": "",
        "recipients": row.recipients.digest,
    }
    fields = EventFields(**values | changes)
    return EventRevision.objects.create(
        event=row,
        number=row.revisions.count() + 1,
        received_at=at(minutes),
        source="WEBHOOK",
        kind="CREATED",
        fields=fields.as_content(),
        digest=fields.digest,
    )


@pytest.fixture
def policy() -> ResponsePolicy:
    return save_policy(
        policy_id=None, content={**NOTHING, "name": "Pack", "hours_a_day": Decimal(1)}, by="ana", now=NOW
    )


@pytest.fixture
def evening() -> DispatchEvent:
    """An award of two batteries from 21:00 to 23:00 UTC, told at 20:00 and raised at 22:00."""
    members = [meter(), meter()]
    for number, each in enumerate(members, start=1):
        device(each, external_id=f"pack-{number}")
    row = event("award", *members, start=60, end=180, kw="8", programs=["CCA"])
    told(row, 0)
    told(row, 120, energy_kw=Decimal(12))
    return row


def ask(policy: ResponsePolicy, **fields) -> PolicyReplay:
    values: dict[str, Any] = {
        "scope": "FLEET",
        "baseline": "IN_FORCE",
        "taking_late": False,
        "starts_at": at(-24 * 60),
        "ends_at": at(24 * 60),
        "by": "olga",
        "now": ASKED,
    }
    return request_replay(policy_id=policy.pk, **values | fields)


def work(*, seconds: float = 60, minutes: float = 0) -> None:
    work_on_replays(now=ASKED + timedelta(minutes=minutes), seconds=seconds)


def result(replay: PolicyReplay) -> Any:
    replay.refresh_from_db()
    assert replay.state == "DONE", replay.detail
    return replay.result


def test_stored_revisions_are_replayed_with_the_policy_and_without(policy, evening):
    replay = ask(policy)
    work()
    found = result(replay)
    assert (found["events"], found["devices"], found["asked_kwh"]) == (1, 2, 20.0)
    assert found["before"]["delivered_kwh"] == 20.0  # 8 kW for an hour, then 12 kW
    assert found["after"]["delivered_kwh"] == 8.0  # its hour was run before anybody knew of the raise
    assert (found["before"]["commitments_broken"], found["after"]["commitments_broken"]) == (0, 2)
    (day,) = found["days"]
    assert (day["date"], day["is_new_reason"]) == ("2026-07-14", True)
    assert day["reason"] == "Dropped: 1 h a day is used by CCA (rank 1). Policy Pack v1."
    assert [each["external_id"] for each in found["changed_devices"]] == ["pack-1", "pack-2"]
    assert [each["id"] for each in found["changed_events"]] == [evening.pk]


def test_a_replay_of_what_is_in_force_is_what_planning_did(policy):
    one = meter()
    battery = device(one)
    assign_policy(policy_id=policy.pk, scope="FLEET", target="", now=at(-1))
    award = event("award", one, start=60, end=180, kw="8", programs=["CCA"])
    told(award, 0)
    plan(0)
    change(award, energy_kw=Decimal(9))
    told(award, 80, energy_kw=Decimal(9))
    plan(80)
    change(award, is_cancelled=True)
    told(award, 95, is_cancelled=True)
    plan(95)
    told(event("late", one, start=100, end=240, kw="4", first_received_at=at(110)), 110)
    plan(110)
    ran = load_terms([battery], now=at(1000))[0][battery.pk].ran
    assert ran[:2] == (Window(at(60), at(95)), Window(at(110), at(130)))

    loaded = load_past(ask(policy), now=ASKED)
    tracks, known = [{}], Known(loaded.past)
    for moment in moments(loaded.past):
        advance(tracks, past=loaded.past, known=known, terms=loaded.terms[:1], moment=moment)
    track = finish(tracks[0], at=at(1000))[battery.pk]
    assert merged(track) == ran


def merged(track: Track) -> tuple[Window, ...]:
    """When a track ran, touching segments as one."""
    windows: list[Window] = []
    for each in track.done:
        if windows and windows[-1].end == each.start:
            windows[-1] = Window(windows[-1].start, each.end)
        else:
            windows.append(Window(each.start, each.end))
    return tuple(windows)


def test_the_past_has_no_say_in_the_present(policy, evening):
    work_on = ask(policy)
    DispatchEvent.objects.update(plan_requested_at=None)
    work()
    assert result(work_on)["events"] == 1
    assert not DispatchEvent.objects.filter(plan_requested_at__isnull=False).exists()


def test_overrides_count_in_both_as_they_were_known(policy, evening):
    Override.objects.create(
        scope="DEVICE",
        target="pack-1",
        action="HOLD",
        starts_at=at(90),
        ends_at=at(170),
        ended_at=at(150),
        created_at=at(90),
        created_by="otto",
    )
    replay = ask(policy, scope="DEVICE", target="pack-1")
    (spoken,) = load_past(replay, now=ASKED).past.spoken.values()
    assert [(each.known.start, each.ruling.window.end) for each in spoken] == [
        (at(90), at(170)),
        (at(150), at(150)),
    ]
    work()
    found = result(replay)
    assert found["before"]["device_hours"] == 1.0  # 21:00 to 21:30, and 22:30 to 23:00
    assert found["devices"] == 1
    assert found["reasons"][0]["reason"] == "Held by otto."


def test_a_policy_that_is_in_force_is_tried_on_whom_it_is_given_to(policy, evening):
    assign_policy(policy_id=policy.pk, scope="DEVICE", target="pack-2", now=NOW)
    replay = ask(policy, scope="GIVEN", baseline="NONE")
    work()
    found = result(replay)
    assert (replay.scope, found["devices"]) == ("GIVEN", 1)
    assert [each["external_id"] for each in found["changed_devices"]] == ["pack-2"]


def test_what_came_once_it_was_over_is_counted_and_may_be_taken_as_told_ahead(policy):
    one = meter()
    device(one)
    told(event("award", one, start=60, end=180, kw="8", first_received_at=at(600)), 600)
    honest, kind = ask(policy), ask(policy, taking_late=True)
    work()
    work()
    assert (result(honest)["late_events"], honest.result["before"]["delivered_kwh"]) == (1, 0.0)
    assert (result(kind)["late_events"], kind.result["before"]["delivered_kwh"]) == (1, 16.0)


def test_a_slice_that_dies_is_done_again_and_slices_come_to_the_same_result(policy, evening, monkeypatch):
    whole, cut = ask(policy), ask(policy)
    work()
    work(seconds=0)
    cut.refresh_from_db()
    assert (cut.state, cut.progress, cut.claimed_until) == ("RUNNING", 50, None)
    assert REPLAY_POLICIES in queries.waiting(now=replaying.timezone.now() + timedelta(seconds=2))

    def die(*_: object, **__: object) -> None:
        raise SystemExit  # how a worker's time limit ends a task

    with monkeypatch.context() as patched:
        patched.setattr(replaying, "advance", die)
        with pytest.raises(SystemExit):
            work(seconds=0)
    cut.refresh_from_db()
    assert cut.claimed_until == ASKED + LEASE
    work(seconds=0, minutes=1)  # still held
    assert PolicyReplay.objects.get(pk=cut.pk).state == "RUNNING"
    work(seconds=0, minutes=2)
    assert result(cut) == result(whole)
    work(minutes=3)
    assert REPLAY_POLICIES not in queries.waiting(now=at(10**5))


def test_what_breaks_off_again_and_again_is_given_up_with_a_sentence(policy, evening, monkeypatch):
    replay = ask(policy)
    monkeypatch.setattr(replaying, "advance", None)
    for minutes in range(4):
        work(minutes=minutes)
    replay.refresh_from_db()
    assert (replay.state, replay.detail) == ("FAILED", "It broke off 3 times; the log says why.")


def test_a_slice_that_lost_its_lease_writes_nothing(policy, evening):
    replay = ask(policy)
    taken = replaying._claim(now=ASKED)
    PolicyReplay.objects.filter(pk=replay.pk).update(claimed_until=ASKED + 2 * LEASE)
    with pytest.raises(replaying._LeaseLost):
        replaying._work(taken, seconds=60, now=ASKED)
    assert PolicyReplay.objects.get().result is None


def test_the_oldest_answers_go(policy, monkeypatch):
    monkeypatch.setattr(replaying, "KEPT", 2)
    for _ in range(3):
        ask(policy)
        work()
    assert PolicyReplay.objects.count() == 2


REFUSED = {
    "backwards": ({"starts_at": at(0), "ends_at": at(-1)}, "The days end before they begin."),
    "to come": ({"ends_at": ASKED + timedelta(minutes=1)}, "Only past days can be replayed."),
    "too long": ({"starts_at": at(-40 * 24 * 60)}, "A replay takes 31 days at most."),
    "nothing called so": ({"scope": "DEVICE", "target": "x"}, "No device is called “x”."),
    "no scope": ({"scope": "PROGRAM"}, "A policy is tried on a fleet"),
}


@pytest.mark.parametrize(("fields", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_replayed_is_refused_with_a_sentence(policy, fields, sentence):
    with pytest.raises(ReplayRefused, match=sentence):
        ask(policy, **fields)
    assert not PolicyReplay.objects.exists()


def test_too_much_and_too_many_are_refused(policy, evening, monkeypatch):
    monkeypatch.setattr(replaying, "MOST_REVISIONS", 1)
    with pytest.raises(ReplayRefused, match="hold 2 revisions, and a replay takes 1; choose fewer days"):
        ask(policy)
    monkeypatch.setattr(replaying, "MOST_REVISIONS", 10)
    monkeypatch.setattr(replaying, "MOST_OPEN", 1)
    ask(policy)
    with pytest.raises(ReplayRefused, match="1 replays are waiting already"):
        ask(policy)
