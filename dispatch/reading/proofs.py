"""What proves that devices do what they were told: their proofs, else what they were found to hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import OuterRef, Q, QuerySet, Subquery

from devices.domain.ledger import Proven
from devices.models import Command, CommandKind
from devices.proof_models import Proof, ProofKind, ProofState

NEAR: Final = timedelta(minutes=1)
"""By how much the proof of a return may begin before its command was due."""
FAR: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one command's effect, and since when; `text` in words."""

    proven: Proven = Proven.NOTHING
    at: datetime | None = None
    text: str = ""


NOTHING = Evidence()


def read_evidence(commands: Sequence[Any]) -> Mapping[int, Evidence]:
    """Return what is known of the effect of commands that come with their schedules. One query."""
    if not commands:
        return {}
    first = min(command.created_at for command in commands)
    rows = Proof.objects.filter(device_id__in={command.device_id for command in commands}).filter(
        Q(since__gte=first) | Q(ends_at__gt=first) | Q(is_open=True)
    )
    by_device: defaultdict[int, list[Proof]] = defaultdict(list)
    for proof in rows.order_by("-since", "-id"):
        by_device[proof.device_id].append(proof)
    return {command.pk: _evidence(command, by_device[command.device_id]) for command in commands}


def _evidence(command: Command, proofs: Sequence[Proof]) -> Evidence:
    """Take the latest proof of a run, the first of a return to normal, else what was read back."""
    mine = [proof for proof in proofs if _is_of(proof, command)]
    if mine:
        found = mine[-1] if command.kind == CommandKind.CLEAR else mine[0]
        at = found.judged_at if found.state != ProofState.PROVEN else found.proven_at
        return Evidence(Proven(found.state), at, found.detail)
    if command.proven_at:
        return Evidence(Proven.PROVEN, command.proven_at, command.proof)
    return NOTHING


def _is_of(proof: Proof, command: Command) -> bool:
    """Say whether a proof may be of a command's effect.

    A run goes on under a later version of the same, and the return from it begins after its recovery.
    """
    is_clear = command.kind == CommandKind.CLEAR
    if is_clear is not (proof.kind == ProofKind.NORMAL):
        return False
    if is_clear:
        return command.due_at - NEAR <= proof.since < command.expires_at
    begins = command.starts_at or command.created_at
    ends = min(command.expires_at, command.schedule.superseded_at or FAR)
    return proof.since < ends and (proof.ends_at or FAR) > begins


def latest_run_state(device: str, *, start: datetime, end: datetime) -> Subquery:
    """Select the state of a device's latest proof of a run within `[start, end)`; `device` names its id."""
    proofs: QuerySet[Proof] = Proof.objects.filter(
        device_id=OuterRef(device), kind=ProofKind.RUN, since__lt=end, ends_at__gt=start
    )
    return Subquery(proofs.order_by("-since", "-id").values("state")[:1])


def open_run_state(device: str) -> Subquery:
    """Select the state of the run that a device is in now, if it is looked at; `device` names its id."""
    proofs = Proof.objects.filter(device_id=OuterRef(device), is_open=True, kind=ProofKind.RUN)
    return Subquery(proofs.values("state")[:1])
