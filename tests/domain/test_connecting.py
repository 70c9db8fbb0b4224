"""Where a customer stands after Leap's events, which come in any order and without a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from meters.domain.connecting import AUTHORIZATION, SESSION, Step, follow, link_of, reminder, stands_now
from tests.builders import at

STORIES = {
    "nothing heard": ("", "SENT", ""),
    "the first screen": ("created", "OPENED", ""),
    "the next screen": ("created updated", "OPENED", ""),
    "left early": ("created updated closed", "LEFT", ""),
    "a late step does not bring back who left": ("created closed updated", "LEFT", ""),
    "completed without a utility, as in Texas": ("created updated completed", "COMPLETED", ""),
    "a late step does not undo it": ("created completed updated", "COMPLETED", ""),
    "closed after completed is completed": ("created completed closed", "COMPLETED", ""),
    "a first screen that came late is of the same session": ("completed created", "COMPLETED", ""),
    "a second first screen is a new session": ("created completed created", "OPENED", ""),
    "at the utility's login": ("created PGE:initiated", "AUTHORIZING", "PGE"),
    "failed there": ("created PGE:initiated PGE:failed", "FAILED", "PGE"),
    "failed, with the login told late": ("created PGE:failed PGE:initiated", "FAILED", "PGE"),
    "failed, and tries again": ("created PGE:initiated PGE:failed PGE:initiated", "AUTHORIZING", "PGE"),
    "failed there and left": ("created SCE:initiated SCE:failed closed", "FAILED", "SCE"),
    "left at the login": ("created SCE:initiated closed", "LEFT", ""),
    "authorized": ("created PGE:initiated PGE:completed", "AUTHORIZED", "PGE"),
    "authorized, told backwards": ("PGE:completed PGE:initiated created", "AUTHORIZED", "PGE"),
    "authorized at one, failed at another": (
        "created PGE:initiated PGE:completed SCE:initiated SCE:failed completed",
        "AUTHORIZED",
        "PGE",
    ),
    "authorized, and came back to look": (
        "created PGE:completed completed created closed",
        "AUTHORIZED",
        "PGE",
    ),
    "authorized, and is at another now": (
        "created PGE:completed created SCE:initiated",
        "AUTHORIZING",
        "SCE",
    ),
    "a word unknown to us": ("created PAUSED", "OPENED", ""),
}


def told(story: str) -> list[Step]:
    steps = []
    for minute, word in enumerate(story.split()):
        utility, _, status = word.rpartition(":")
        kind = AUTHORIZATION if utility else SESSION
        steps.append(Step(kind, status.upper(), utility, at(minute)))
    return steps


@pytest.mark.parametrize(("story", "standing", "utility"), STORIES.values(), ids=STORIES.keys())
def test_where_a_customer_stands(story, standing, utility):
    found = follow(told(story))
    assert (found.standing, found.utility_name) == (standing, utility)


def test_sessions_and_utilities_are_counted():
    found = follow(told("created SCE:completed completed created PGE:completed"))
    assert (found.sessions, found.authorized, found.heard_at) == (2, ("PGE", "SCE"), at(4))
    assert found.since == at(4)


@pytest.mark.parametrize(
    ("standing", "minutes", "words"),
    [
        ("LEFT", 3, "not yet: the customer may still be at it"),
        ("LEFT", 5, "remind within the hour"),
        ("FAILED", 60, "remind today"),
        ("LEFT", 24 * 60, "remind within three days"),
        ("LEFT", 72 * 60, "over three days ago: usual marketing"),
        ("AUTHORIZED", 60, ""),
        ("SENT", 60, ""),
    ],
)
def test_when_to_remind(standing, minutes, words):
    assert reminder(standing, since=at(0), now=at(minutes)) == words


def test_who_does_nothing_for_a_day_has_left():
    assert stands_now("OPENED", heard_at=at(0), now=at(24 * 60 - 1)) == "OPENED"
    assert stands_now("AUTHORIZING", heard_at=at(0), now=at(24 * 60)) == "LEFT"
    assert stands_now("AUTHORIZED", heard_at=at(0), now=at(0) + timedelta(days=9)) == "AUTHORIZED"


@pytest.mark.parametrize(
    ("base", "fields", "link"),
    [
        (
            "https://connect.leap.energy?account=a&variant=b",
            {"region": "CAISO", "utilities": "PGE"},
            "https://connect.leap.energy?account=a&variant=b&transmissionRegion=CAISO&refId=home-1",
        ),
        (
            "https://connect.leap.energy/?transmissionRegion=NYISO&refId=sample",
            {},
            "https://connect.leap.energy/?transmissionRegion=NYISO&refId=home-1",
        ),
        (
            "https://onboarding.leap.energy/acme/homes/",
            {"region": "CAISO", "utilities": "PGE"},
            "https://onboarding.leap.energy/acme/homes/?requestedUtilities=PGE&refId=home-1",
        ),
        (
            "https://www.addleap.com/acme/pge/getting-started",
            {},
            "https://www.addleap.com/acme/pge/getting-started?refId=home-1",
        ),
    ],
)
def test_a_link_is_the_partners_with_the_customers_refid(base, fields, link):
    assert link_of(base, reference="home-1", **fields) == link
