"""Whom Leap calls for a group beside who is in it here."""

from __future__ import annotations

import pytest

from dispatch.domain.groups_in_step import (
    Difference,
    Step,
    Stint,
    difference_of,
    members_at,
    step_for,
    to_read,
)
from tests.builders import at

SUMMER = Stint("CCA", at(-600), at(60))
WINTER = Stint("CCA", at(60), at(6000))
OTHER = Stint("ELRP", at(-600), None)
BY_HAND = Stint("", at(-600), None)
GROUP = {SUMMER: {"a", "b"}, WINTER: {"b", "c"}, OTHER: {"b", "d"}, BY_HAND: {"h"}}

MEMBERS = {
    "of the program, and who a person put there": (GROUP, 0, ["CCA"], "abh"),
    "of another program": (GROUP, 0, ["ELRP"], "bdh"),
    "of both, each once": (GROUP, 0, ["CCA", "ELRP"], "abdh"),
    "the last moment of a delivery period": (GROUP, 59.99, ["CCA"], "abh"),
    "the first moment of the next": (GROUP, 60, ["CCA"], "bch"),
    "before anybody was in it": (GROUP, -601, ["CCA"], ""),
    "a program that only a person's membership covers": (GROUP, 0, ["NEW"], "h"),
    "a program of which no membership knows": ({SUMMER: {"a"}, OTHER: {"d"}}, 0, ["CAISO-CCA"], "ad"),
    "no program": ({SUMMER: {"a"}}, 0, [], "a"),
}


@pytest.mark.parametrize(("group", "minute", "called", "found"), MEMBERS.values(), ids=MEMBERS.keys())
def test_members_are_those_at_the_start_for_its_programs(group, minute, called, found):
    assert members_at(group, at=at(minute), called=called) == frozenset(found)


DIFFERENCES = {
    "in step": ("ab", "ba", False, None),
    "nobody called, nobody held": ("", "", True, None),
    "called and not ours": ("abc", "b", False, Difference(3, 1, ("a", "c"), ())),
    "ours and not called": ("b", "abc", False, Difference(1, 3, (), ("a", "c"))),
    "both": ("ab", "bc", False, Difference(2, 2, ("a",), ("c",))),
    "nobody of ours then": ("ab", "", False, Difference(2, 0, ("a", "b"), ())),
    "a group we know nothing of": ("ab", "", True, Difference(2, 0, is_group_unknown=True)),
}


@pytest.mark.parametrize(
    ("called", "members", "is_unknown", "found"), DIFFERENCES.values(), ids=DIFFERENCES.keys()
)
def test_difference_names_both_sides(called, members, is_unknown, found):
    assert difference_of(called, members, is_group_unknown=is_unknown) == found


def test_differences_are_told_apart_by_their_digests():
    found = [found for *_, found in DIFFERENCES.values() if found]
    assert len({each.digest for each in found}) == len(found)


STEPS = [
    # found now, standing, what to do
    (None, None, Step.LEAVE),
    ("x", None, Step.RAISE),
    ("x", "x", Step.LEAVE),
    ("y", "x", Step.RAISE),
    (None, "x", Step.SETTLE),
]


@pytest.mark.parametrize(("found", "standing", "step"), STEPS)
def test_a_difference_is_raised_once_and_settled_when_it_is_gone(found, standing, step):
    assert step_for(found=found, standing=standing) is step


def test_leap_is_asked_about_those_that_differ_or_of_an_unknown_group_about_everybody():
    assert to_read(Difference(2, 2, ("a",), ("c",)), called="ab") == ("a", "c")
    assert to_read(Difference(2, 0, is_group_unknown=True), called="ab") == ("a", "b")
