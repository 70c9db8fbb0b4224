"""Which command carries a changed schedule to its device, and until when it is worth sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from devices.domain.schedule import Mode, Segment

RESTORING_FOR: Final = timedelta(hours=24)
"""For how long a device that may run, and is not to, is told to be normal if it does not confirm it."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the device may still be following when its schedule changes.

    `remaining`: of the version it replaces. `unanswered_until`: expiry of that version's command
    if the device never accepted it, else None; the device may then follow an even older version.
    """

    remaining: Sequence[Segment]
    unanswered_until: datetime | None


@dataclass(frozen=True, slots=True)
class Instruction:
    """`is_clear`: nothing is left to do, the device goes back to normal. Void from `expires_at`.

    `is_restoring`: the device may run, prepare or recover now and is not to run, so this goes before what
    starts devices.
    """

    is_clear: bool
    expires_at: datetime
    is_restoring: bool


def instruction_for(*, desired: Sequence[Segment], held: Held, now: datetime) -> Instruction:
    """Return the command for `desired`, which is what remains at `now` and differs from what is held.

    It is worth sending until the last segment is over, of the new schedule or of any the device may
    still follow, recovery included: after that the device is back to normal by itself. What sends a device
    that may run back to normal is worth sending for a day, as nobody has seen it go back.
    """
    ends = [segment.over_at for segment in (*desired, *held.remaining)]
    if held.unanswered_until is not None:
        ends.append(held.unanswered_until)
    is_unsure = held.unanswered_until is not None and now < held.unanswered_until
    may_move = is_unsure or any(
        each.begins_at <= now < each.over_at and each.mode is not Mode.IDLE for each in held.remaining
    )
    is_restoring = may_move and not runs(desired, now=now)
    if is_restoring and not desired:
        ends.append(now + RESTORING_FOR)
    return Instruction(is_clear=not desired, expires_at=max(ends), is_restoring=is_restoring)


def runs(segments: Sequence[Segment], *, now: datetime) -> bool:
    """Say whether a device that follows the segments does anything at `now`."""
    return any(each.start <= now < each.end and each.mode is not Mode.IDLE for each in segments)
