"""What about a device needs a person, and what is raised and cleared."""

from __future__ import annotations

from typing import Any

import pytest

from devices.domain.alerts import Doubtful, Facts, Held, Kind, Line, subject_of, text_of, turns, wrong_now
from devices.domain.proving import Verdict
from tests.builders import at

ONE = 1


def facts(*doubtful: Doubtful, **known) -> Facts:
    """Nothing is wrong but what is named."""
    return Facts(**{"failing": {}, "offline": {}, "doubtful": doubtful, "unrestored": {}} | known)


def doubt(verdict: str = "DEVIATES", **fields) -> Doubtful:
    """A proof since minute 0 that is not proven."""
    values: dict[str, Any] = {"is_normal": False, "found_changed": "", "was_proven": False} | fields
    return Doubtful(
        device_id=ONE, verdict=Verdict(verdict), sentence="Gives 3.1 of 4.5 kW.", since=at(0), **values
    )


CASES = [
    ("nothing", facts(), {}),
    ("a failure with its words", facts(failing={ONE: "No answer."}), {Kind.FAILED: "No answer."}),
    ("a failure without", facts(failing={ONE: ""}), {Kind.FAILED: "It refused, or does not answer."}),
    (
        "offline before its run",
        facts(offline={ONE: at(25)}),
        {Kind.OFFLINE_BEFORE_EVENT: "Offline; its run begins at 20:25 UTC."},
    ),
    (
        "offline in its run",
        facts(offline={ONE: at(5)}),
        {Kind.OFFLINE_BEFORE_EVENT: "Offline; its run began at 20:05 UTC."},
    ),
    ("offline as it failed", facts(offline={ONE: at(5)}, failing={ONE: "No."}), {Kind.FAILED: "No."}),
    ("offline long before", facts(offline={ONE: at(26)}), {}),
    ("awaited", facts(doubt("AWAITED")), {}),
    ("another power", facts(doubt()), {Kind.UNVERIFIED: "Gives 3.1 of 4.5 kW."}),
    ("silent", facts(doubt("UNKNOWN")), {Kind.UNVERIFIED: "Gives 3.1 of 4.5 kW."}),
    (
        "silent as it is offline",
        facts(doubt("UNKNOWN"), offline={ONE: at(5)}),
        {Kind.OFFLINE_BEFORE_EVENT: ...},
    ),
    ("another power as it failed", facts(doubt(), failing={ONE: "No."}), {Kind.FAILED: "No."}),
    (
        "proven, and then another",
        facts(doubt(was_proven=True)),
        {Kind.CHANGED_BY_OTHERS: "It did what it was told, and does not any more. Gives 3.1 of 4.5 kW."},
    ),
    ("proven, and then silent", facts(doubt("UNKNOWN", was_proven=True)), {Kind.UNVERIFIED: ...}),
    (
        "found changed",
        facts(doubt("PROVEN", was_proven=True, found_changed="Changed by someone else: 1 kW.")),
        {Kind.CHANGED_BY_OTHERS: "Changed by someone else: 1 kW. Gives 3.1 of 4.5 kW."},
    ),
    (
        "not restored",
        facts(doubt(is_normal=True)),
        {Kind.NOT_RESTORED: "Gives 3.1 of 4.5 kW. It was to be as usual from 20:00 UTC on."},
    ),
    (
        "not restored as far as can be known yet",
        facts(doubt("AWAITED", is_normal=True)),
        {},
    ),
    (
        "a stop that is not taken",
        facts(unrestored={ONE: (at(0), "No answer.")}),
        {
            Kind.NOT_RESTORED: "Told to go back to normal since 20:00 UTC, and did not accept it. No answer.",
        },
    ),
    ("a stop of just now", facts(unrestored={ONE: (at(6), "")}), {}),
]


@pytest.mark.parametrize(("known", "wrong"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_wrong_is_named_once_and_in_words(known, wrong):
    found = wrong_now(known, now=at(10))
    assert {key: ... if wrong.get(key[1]) is ... else text for key, text in found.items()} == {
        (ONE, kind): text for kind, text in wrong.items()
    }


def test_a_return_to_normal_has_five_minutes():
    assert not wrong_now(facts(doubt(is_normal=True)), now=at(4.9))


def test_alerts_are_raised_once_reworded_and_cleared():
    held = {(1, Kind.FAILED): Held(11, "No."), (2, Kind.FAILED): Held(12, "No.")}
    found = turns({(1, Kind.FAILED): "Never.", (3, Kind.FAILED): "No."}, held)
    assert found.raised == {(3, Kind.FAILED): "No."}
    assert found.cleared == (12,)
    assert found.reworded == {11: "Never."}
    assert turns({(1, Kind.FAILED): "No."}, {(1, Kind.FAILED): Held(11, "No.")}).reworded == {}


def test_a_herd_is_one_message_that_names_the_first_and_counts_the_rest():
    lines = [Line(f"Battery {n}", "Gives\r\nnothing.") for n in range(1000)]
    text = text_of("Not verified", lines).splitlines()
    assert text[0] == subject_of("Not verified", lines) == "Not verified: 1000 devices"
    assert text[1] == "Battery 0: Gives nothing."
    assert text[-2:] == ["and 980 more.", "See Alerts in the portal."]
