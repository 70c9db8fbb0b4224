"""What Leap says of a customer's journey through Leap Connect → where the customer stands.

Leap's events carry neither a time nor a number, so the only order is that in which they arrived; what can be
told without it is told without it. Source: Leap, "Track Connection Status" and "Customer Re-engagement".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SESSION: Final = "SESSION"
AUTHORIZATION: Final = "AUTHORIZATION"
SESSION_ENDS_AFTER: Final = timedelta(hours=24)
"""An idle session of Leap Connect expires after that."""
REFERENCE: Final = re.compile(r"[^/\\?\]\[{}!#$%^&*()<>|\x00-\x1f]{3,256}")
"""Leap's pattern of a refId, without control characters, which no address carries."""
REFERENCE_RULE: Final = "3 to 256 characters, none of / \\ ? [ ] { } ! # $ % ^ & * ( ) < > |"


class Standing(StrEnum):
    """Where a customer stands, before a meter appears."""

    SENT = "SENT"
    OPENED = "OPENED"
    AUTHORIZING = "AUTHORIZING"
    FAILED = "FAILED"
    LEFT = "LEFT"
    COMPLETED = "COMPLETED"
    AUTHORIZED = "AUTHORIZED"


@dataclass(frozen=True, slots=True)
class Step:
    """One event. `kind`: SESSION or AUTHORIZATION; `status`: Leap's word; `utility_name`: "" of a session."""

    kind: str
    status: str
    utility_name: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Story:
    """What became of all steps: where the customer stands, since when, and at which utility."""

    standing: Standing
    utility_name: str
    since: datetime | None
    heard_at: datetime | None
    sessions: int
    authorized: tuple[str, ...]


@dataclass(slots=True)
class _Session:
    """The steps of one visit. What was said of a utility is counted, which needs no order."""

    is_created: bool = False
    steps: list[Step] = field(default_factory=list)

    def has(self, status: str) -> Step | None:
        """Return the last step of the session itself with this status."""
        found = [one for one in self.steps if one.kind == SESSION and one.status == status]
        return found[-1] if found else None

    def at_utilities(self, status: str) -> list[Step]:
        return [one for one in self.steps if one.kind == AUTHORIZATION and one.status == status]


def follow(steps: Sequence[Step]) -> Story:
    """Return where a customer stands after these steps, given in the order in which they were received.

    A session begins with CREATED, unless what came before it had not had its own yet: then it was late.
    """
    if not steps:
        return Story(Standing.SENT, "", None, None, 0, ())
    sessions = [_Session()]
    for one in steps:
        if one.kind == SESSION and one.status == "CREATED":
            if sessions[-1].is_created:
                sessions.append(_Session())
            sessions[-1].is_created = True
        sessions[-1].steps.append(one)
    done = [one for each in sessions for one in each.at_utilities("COMPLETED")]
    standing, decisive = _standing(sessions[-1], authorized=done[-1] if done else None)
    return Story(
        standing=standing,
        utility_name=decisive.utility_name,
        since=decisive.received_at,
        heard_at=max(one.received_at for one in steps),
        sessions=len(sessions),
        authorized=tuple(sorted({one.utility_name for one in done})),
    )


def _standing(session: _Session, *, authorized: Step | None) -> tuple[Standing, Step]:
    """Return where the last session leaves the customer, and the step that says so."""
    is_over = session.has("COMPLETED") or session.has("CLOSED")
    ended = Counter(
        one.utility_name for each in ("COMPLETED", "FAILED") for one in session.at_utilities(each)
    )
    begun = Counter(one.utility_name for one in session.at_utilities("INITIATED"))
    trying = [
        one for one in session.at_utilities("INITIATED") if begun[one.utility_name] > ended[one.utility_name]
    ]
    if trying and not is_over:
        return Standing.AUTHORIZING, trying[-1]
    if authorized is not None:
        return Standing.AUTHORIZED, authorized
    if failed := session.at_utilities("FAILED"):
        return Standing.FAILED, failed[-1]
    if completed := session.has("COMPLETED"):
        return Standing.COMPLETED, completed
    if closed := session.has("CLOSED"):
        return Standing.LEFT, closed
    return Standing.OPENED, session.steps[-1]


def stands_now(standing: str, *, heard_at: datetime | None, now: datetime) -> str:
    """Return the standing as of now: who does nothing for a day has left, whether Leap says so or not."""
    is_open = standing in {Standing.OPENED, Standing.AUTHORIZING}
    if is_open and heard_at is not None and heard_at + SESSION_ENDS_AFTER <= now:
        return Standing.LEFT
    return standing


BANDS: Final = (
    (timedelta(minutes=5), "not yet: the customer may still be at it"),
    (timedelta(hours=1), "remind within the hour"),
    (timedelta(days=1), "remind today"),
    (timedelta(days=3), "remind within three days"),
)
"""Until how long after abandonment a reminder of that kind is due. Source: Leap, "Customer Re-engagement"."""
REMINDED: Final = frozenset({Standing.LEFT, Standing.FAILED})


def reminder(standing: str, *, since: datetime | None, now: datetime) -> str:
    """Say whether to remind a customer who left early or failed; "" where there is nothing to remind of."""
    if standing not in REMINDED or since is None:
        return ""
    age = now - since
    return next((words for limit, words in BANDS if age < limit), "over three days ago: usual marketing")


def link_of(base: str, *, reference: str, region: str = "", utilities: str = "") -> str:
    """Return the customer's own address of Leap Connect from the partner's.

    The form of 2025 takes `transmissionRegion`; the older ones, by path, `requestedUtilities` (empty: all).

    >>> link_of("https://connect.leap.energy?account=a&variant=b", reference="home 1", region="CAISO")
    'https://connect.leap.energy?account=a&variant=b&transmissionRegion=CAISO&refId=home+1'
    """
    parts = urlsplit(base)
    is_new = (parts.hostname or "").startswith("connect.")
    ours = {"refId"} | ({"transmissionRegion"} if is_new and region else set())
    query = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in ours
    ]
    if is_new and region:
        query.append(("transmissionRegion", region))
    if not is_new and utilities:
        query = [pair for pair in query if pair[0] != "requestedUtilities"]
        query.append(("requestedUtilities", utilities))
    query.append(("refId", reference))
    return urlunsplit(parts._replace(query=urlencode(query)))
