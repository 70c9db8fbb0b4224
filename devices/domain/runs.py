"""Which proofs begin, go on and end, as segments come into effect and leave it.

A proof of a run belongs to what the device is told, not to the version that says so: planning the same anew
does not start it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from devices.domain.schedule import Mode


@dataclass(frozen=True, slots=True)
class InEffect:
    """The segment that a device follows now. `told_at`: when the version that says so was made."""

    starts_at: datetime
    ends_at: datetime
    over_at: datetime
    begins_at: datetime
    mode: Mode
    target_kw: Decimal | None
    ramp_seconds: int | None
    version: int
    told_at: datetime


@dataclass(frozen=True, slots=True)
class OpenProof:
    """A proof that is still looked at: of a run, or (`is_normal`) of the return from it, which has no end."""

    key: int
    is_normal: bool
    version: int
    mode: Mode
    target_kw: Decimal | None
    ends_at: datetime | None
    over_at: datetime | None
    baseline_kw: Decimal | None


@dataclass(frozen=True, slots=True)
class RunBegins:
    """A run to prove from `since` on. `continues`: of the run it follows at once, whose baseline holds on."""

    device_id: int
    segment: InEffect
    since: datetime
    continues: OpenProof | None


@dataclass(frozen=True, slots=True)
class NormalBegins:
    """A device that is to be as usual from `since` on, after a run."""

    device_id: int
    after: OpenProof
    since: datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write. `longer` and `ended` are keys of proofs; `overtaken` ones will never be known."""

    runs: tuple[RunBegins, ...]
    normals: tuple[NormalBegins, ...]
    longer: Mapping[int, InEffect]
    ended: tuple[int, ...]
    overtaken: tuple[int, ...]


def changes(
    in_effect: Mapping[int, InEffect],
    open_proofs: Mapping[int, OpenProof],
    *,
    stopped_at: Mapping[int, datetime],
    now: datetime,
) -> Changes:
    """Compare what devices follow at `now` with what is being proven, both by device.

    `stopped_at`: when the version was made that devices with nothing in effect follow, where there is one.

    1. The same mode and target as before: the proof goes on, perhaps to another end.
    2. Others: the proof ends and the next run's begins, from when it came into effect.
    3. Nothing any more: the run's proof ends and that of the return to normal begins, where the run was
    to be over, or when the device was told to stop.
    """
    runs: list[RunBegins] = []
    normals: list[NormalBegins] = []
    longer: dict[int, InEffect] = {}
    ended: list[int] = []
    overtaken: list[int] = []
    for device_id, segment in in_effect.items():
        proof = open_proofs.get(device_id)
        if proof and not proof.is_normal and _is_same(segment, proof):
            if (segment.ends_at, segment.over_at) != (proof.ends_at, proof.over_at):
                longer[proof.key] = segment
            continue
        if proof:
            (overtaken if proof.is_normal else ended).append(proof.key)
        continues = proof if proof and not proof.is_normal else None
        runs.append(RunBegins(device_id, segment, max(segment.starts_at, segment.told_at), continues))
    for device_id, proof in open_proofs.items():
        if device_id not in in_effect and not proof.is_normal:
            ended.append(proof.key)
            normals.append(
                NormalBegins(device_id, proof, _over_at(proof, stopped_at.get(device_id), now=now))
            )
    return Changes(tuple(runs), tuple(normals), longer, tuple(ended), tuple(overtaken))


def _is_same(segment: InEffect, proof: OpenProof) -> bool:
    return (segment.mode, segment.target_kw) == (proof.mode, proof.target_kw)


def _over_at(proof: OpenProof, stopped_at: datetime | None, *, now: datetime) -> datetime:
    """Return when a run was over: as it was to be, unless a newer version cut it short."""
    if proof.ends_at is None or proof.ends_at > now:
        return stopped_at or now
    return proof.over_at or proof.ends_at
