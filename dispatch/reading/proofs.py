"""What proves that devices do what they were told: their proofs, else what they were found to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from devices.domain.proving import Verdict
from devices.models import Command
from devices.proof_models import Proof, ProofKind, ProofState


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one command's effect, and since when; `text` in words."""

    verdict: Verdict | None = None
    at: datetime | None = None
    text: str = ""


NOTHING = Evidence()


def read_evidence(commands: Sequence[Any]) -> Mapping[int, Evidence]:
    """Return what is known of the effect of commands of `proof_queries.with_proof_ids`. One query."""
    proofs = Proof.objects.in_bulk({command.proof_id for command in commands} - {None})
    return {command.pk: _evidence(command, proofs.get(command.proof_id)) for command in commands}


def _evidence(command: Command, proof: Proof | None) -> Evidence:
    """Take the proof of what a command told, else what was read back for it."""
    if proof:
        at = proof.proven_at if proof.state == ProofState.PROVEN else proof.judged_at
        return Evidence(Verdict(proof.state), at, proof.detail)
    if command.proven_at:
        return Evidence(Verdict.PROVEN, command.proven_at, command.proof)
    return NOTHING


def latest_run_state(device: str, *, start: datetime, end: datetime) -> Subquery:
    """Select the state of a device's latest proof of a run within `[start, end)`; `device` names its id."""
    proofs: QuerySet[Proof] = Proof.objects.filter(
        device_id=OuterRef(device), kind=ProofKind.RUN, since__lt=end, ends_at__gt=start
    )
    return Subquery(proofs.order_by("-since", "-id").values("state")[:1])


def devices_running(*states: ProofState) -> QuerySet[Any]:
    """Select the ids of the devices whose run is looked at now, in these states or in any."""
    proofs = Proof.objects.filter(is_open=True, kind=ProofKind.RUN)
    return (proofs.filter(state__in=states) if states else proofs).values("device_id")
