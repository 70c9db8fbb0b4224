"""Which causes a meter has, and in which order."""

from __future__ import annotations

import pytest

from dispatch.domain.standing import BLOCKING, CAUSES, Code, Facts, How, causes_of, is_blocked

CASES = {
    "ready": (Facts(), ()),
    "all is wrong": (
        Facts(is_archived=True, is_idle=True, has_device=False, is_able=False, is_gone=True, is_active=False),
        (Code.ARCHIVED, Code.IDLE, Code.NO_DEVICE, Code.NOT_LISTED, Code.NOT_ACTIVE),
    ),
    "disenrolled": (Facts(is_disenrolled=True), (Code.DISENROLLED,)),
    "no device, so nothing is offline": (
        Facts(has_device=False, offline=How.ALL, is_able=False),
        (Code.NO_DEVICE,),
    ),
    "all offline, some failing": (
        Facts(offline=How.ALL, failing=How.SOME, is_able=False),
        (Code.OFFLINE,),
    ),
    "held and dark": (Facts(held=How.ALL, dark=How.ALL, is_able=False), (Code.HELD, Code.BLACKOUT)),
    "one offline, the other can": (Facts(offline=How.SOME), (Code.PARTLY_OFFLINE,)),
    "one offline, the other failing": (
        Facts(offline=How.SOME, failing=How.SOME, is_able=False),
        (Code.NONE_ABLE, Code.PARTLY_OFFLINE, Code.PARTLY_FAILING),
    ),
    "only worth knowing": (
        Facts(is_gone=True, is_active=False, is_forced=True, is_armed=True, is_out_of_step=True),
        (Code.OUT_OF_STEP, Code.NOT_LISTED, Code.NOT_ACTIVE, Code.FORCED, Code.ARMED),
    ),
}


@pytest.mark.parametrize(("facts", "causes"), CASES.values(), ids=CASES.keys())
def test_a_meter_has_its_causes_the_gravest_first(facts, causes):
    assert causes_of(facts) == causes
    assert is_blocked(causes) is any(code in BLOCKING for code in causes)


def test_every_code_is_told():
    assert list(CAUSES) == list(Code)
