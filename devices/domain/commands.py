"""Which command carries a changed schedule to its device, and until when it is worth sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from devices.domain.schedule import Segment


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
    """`is_clear`: nothing is left to do, the device goes back to normal. Void from `expires_at`."""

    is_clear: bool
    expires_at: datetime


def instruction_for(*, desired: Sequence[Segment], held: Held) -> Instruction:
    """Return the command for `desired`, which is what remains and differs from what is held.

    It is worth sending until the last segment is over, of the new schedule or of any the device may
    still follow, recovery included: after that the device is back to normal by itself.
    """
    ends = [segment.over_at for segment in (*desired, *held.remaining)]
    if held.unanswered_until is not None:
        ends.append(held.unanswered_until)
    return Instruction(is_clear=not desired, expires_at=max(ends))
