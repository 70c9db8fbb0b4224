"""What proves that devices do what they were told: by what they were found to hold when they were asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from devices.domain.ledger import Proven
from devices.models import Command


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one command's effect, and since when; `text` in words."""

    proven: Proven = Proven.NOTHING
    at: datetime | None = None
    text: str = ""


NOTHING = Evidence()


def read_evidence(commands: Iterable[Command]) -> Mapping[int, Evidence]:
    """Return what is known of the effect of commands, by command."""
    return {
        command.pk: Evidence(Proven.PROVEN, command.proven_at, command.proof)
        for command in commands
        if command.proven_at
    }
