"""The line between a driver and the central system that holds the chargers' connections.

A unix socket of this machine. The central system sends a number used once, the driver answers with its
HMAC, and then orders and outcomes go as JSON, one a line, answered in any order.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Final

import msgspec
from django.conf import settings

from devices.domain.charging import Window

LONGEST_LINE: Final = 256 * 1024
LONGEST_PATH: Final = 107
PURPOSE: Final = b"leapvpp OCPP control"


class Order(msgspec.Struct, frozen=True):
    """What one charger is to hold; no limits: back to normal.

    `seconds`: how long the charger may take. `not_after`: seconds since 1970 from which on whoever ordered
    has given up, so that nothing is written any more.
    """

    number: int
    charger: str
    version: int
    limits: list[Window]
    rated_kw: float
    purpose: str
    stack_level: int
    unit: str
    volts: int
    phases: int
    seconds: float
    not_after: float


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of an order: accepted, refused (`detail` says why), or no answer (`failure` says why).

    `is_heard`: the charger did say something, if nothing of use.
    """

    number: int
    is_accepted: bool = False
    detail: str = ""
    proof: str = ""
    failure: str = ""
    is_heard: bool = False


class Greeting(msgspec.Struct, frozen=True):
    """A number used once; `mac` answers it, in hexadecimal."""

    nonce: str = ""
    mac: str = ""


def answer_to(nonce: str) -> str:
    """Return what only those who know SECRET_KEY can answer to a number used once."""
    key = hmac.digest(settings.SECRET_KEY.encode(), PURPOSE, hashlib.sha256)
    return hmac.new(key, nonce.encode(), hashlib.sha256).hexdigest()


def why_no_path(path: Path) -> str:
    """Return why the system cannot have a socket there, "" if it can."""
    if len(bytes(path)) <= LONGEST_PATH:
        return ""
    return f"OCPP_CONTROL is longer than {LONGEST_PATH} bytes. Set it to a shorter path."
