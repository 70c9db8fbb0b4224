"""Which proof belongs to which command: read by pages and the API, written by `devices.proving`."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Expression, F, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, JSONObject

from devices.models import Command, CommandKind
from devices.proof_models import Proof, ProofKind


def with_proofs(commands: QuerySet[Command]) -> QuerySet[Any]:
    """Add `proven`: state, how and words of the newest proof of what each command told, or null.

    That is the proof of a run that began while the command counted, or of a return to normal for one that
    clears. What a command itself read back is in its own columns.
    """
    return commands.annotate(proven=_newest(JSONObject(state="state", how="how", detail="detail")))


def with_proof_ids(commands: QuerySet[Command]) -> QuerySet[Any]:
    """Add `proof_id`: that of the newest proof of what each command told, as above, or null."""
    return commands.annotate(proof_id=_newest(F("pk")))


def _newest(what: Expression | F) -> Case:
    over_at = Coalesce(OuterRef("schedule__superseded_at"), OuterRef("expires_at"))
    proofs = Proof.objects.filter(device=OuterRef("device"), since__lt=over_at).order_by("-since", "-pk")
    told_from = Coalesce(OuterRef("starts_at"), OuterRef("created_at"))
    runs = proofs.filter(kind=ProofKind.RUN, ends_at__gt=told_from)
    normals = proofs.filter(kind=ProofKind.NORMAL, since__gte=OuterRef("due_at"))
    is_clear = When(kind=CommandKind.CLEAR, then=Subquery(normals.values(found=what)[:1]))
    # A schedule's run may have begun under an older version; what a set-point tells begins with its segment.
    return Case(is_clear, default=Subquery(runs.values(found=what)[:1]))
