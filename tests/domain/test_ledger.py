"""How far a command has come, and how loudly that is shown."""

from __future__ import annotations

import pytest

from devices.domain.ledger import Told, step_of, tone_of
from devices.domain.proving import Verdict
from tests.builders import NOW, at

RESTORE = {"is_restore": True, "is_provable": True, "due_at": NOW}

CASES = {
    "waits for its time": ({"state": "PENDING"}, "PLANNED plain"),
    "went out once": ({"state": "SENT", "tries": 1}, "SENT warn"),
    "goes out again and again": ({"state": "SENT", "tries": 3}, "RETRYING warn"),
    "an operator's retry waits": ({"state": "PENDING", "tries": 4}, "RETRYING warn"),
    "the device took it": ({"state": "ACKNOWLEDGED", "tries": 1}, "ACKNOWLEDGED plain"),
    "its power says so": ({"state": "ACKNOWLEDGED", "verdict": Verdict.PROVEN}, "VERIFIED ok"),
    "its power says otherwise": ({"state": "ACKNOWLEDGED", "verdict": Verdict.DEVIATES}, "DEVIATES bad"),
    "nothing is heard of its power": (
        {"state": "ACKNOWLEDGED", "verdict": Verdict.UNKNOWN},
        "ACKNOWLEDGED plain",
    ),
    "no answer for a minute": ({"state": "FAILED", "tries": 5}, "FAILED bad"),
    "the device says no": ({"state": "FAILED", "tries": 1, "is_refused": True}, "REJECTED bad"),
    "too late": ({"state": "EXPIRED", "tries": 9}, "EXPIRED bad"),
    "replaced": ({"state": "SUPERSEDED", "verdict": Verdict.PROVEN}, "SUPERSEDED plain"),
    "a restore that is not due": ({"state": "PENDING"} | RESTORE | {"due_at": at(1)}, "PLANNED plain"),
    "a restore that is due": ({"state": "PENDING"} | RESTORE, "PLANNED bad"),
    "a restore on its way": ({"state": "SENT", "tries": 1} | RESTORE, "SENT bad"),
    "a restore that was taken": ({"state": "ACKNOWLEDGED"} | RESTORE, "NOT_PROVEN bad"),
    "a restore ahead of its time": (
        {"state": "ACKNOWLEDGED"} | RESTORE | {"due_at": at(1)},
        "ACKNOWLEDGED plain",
    ),
    "a restore nothing can prove": (
        {"state": "ACKNOWLEDGED"} | RESTORE | {"is_provable": False},
        "ACKNOWLEDGED plain",
    ),
    "a restore of the day before": (
        {"state": "ACKNOWLEDGED"} | RESTORE | {"due_at": at(-24 * 60)},
        "ACKNOWLEDGED plain",
    ),
    "a restore that is proven": (
        {"state": "ACKNOWLEDGED"} | RESTORE | {"verdict": Verdict.PROVEN},
        "VERIFIED ok",
    ),
}


@pytest.mark.parametrize(("known", "expected"), CASES.values(), ids=CASES.keys())
def test_where_a_command_stands_and_how_loudly_it_says_so(known, expected):
    told = Told(**known)
    assert f"{step_of(told, now=NOW)} {tone_of(told, now=NOW)}" == expected
