"""Stage: what devices were told and what they say → whether they do it.

Reads current schedules, readings and what drivers read back; writes `Proof` alone. Devices that never said
what they take, and whose driver cannot ask them, have no proofs. Nobody wakes this for a reading: rows say
when they are looked at next, and beginnings and ends of runs are looked for a few times a minute.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from devices.bulk import update_rows
from devices.domain import proving as domain
from devices.domain.delivered import Measured, baseline_kw, baseline_window
from devices.domain.intervals import Energy
from devices.domain.proving import Asked, Judgement, ReadBack, Said, Verdict
from devices.domain.runs import Changes, InEffect, NormalBegins, OpenProof, RunBegins, changes
from devices.domain.schedule import Mode
from devices.drivers import driver_named
from devices.drivers.base import DriverError
from devices.models import (
    Command,
    CommandKind,
    CommandState,
    DeviceKind,
    DeviceSchedule,
    ScheduleSegment,
    SegmentMode,
)
from devices.outcomes import CHANGED
from devices.proof_models import Proof, ProofKind, ProofState
from devices.telemetry_models import PowerInterval, Reading
from devices.watching import RUNS, claim_look
from meters.among import Ids

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = timedelta(seconds=10)
"""How often beginnings and ends are looked for; settling takes minutes, so this delays no verdict."""
BATCH: Final = 1_000
_JUDGED: Final = ["state", "how", "detail", "measured_kw", "is_changed_by_others", "proven_at"]


def prove(*, now: datetime) -> int:
    """Look at what is due, and return how many proofs were judged.

    1. Begin and end proofs as runs begin and end, a few times a minute.
    2. Judge those whose time has come, batch by batch.
    """
    follow_runs(now=now)
    judged = 0
    while count := _judge_batch(now=now):
        judged += count
        if count < BATCH:
            break
    return judged


def follow_runs(*, now: datetime) -> Changes | None:
    """Begin and end proofs by what devices are to do now; None if that was looked at just before.

    What there is to do is read outside of the transaction that writes: on SQLite that would hold up everybody
    else. Whoever looks too slowly and meets the next look writes nothing twice.
    """
    if not claim_look(RUNS, again_at=now + LOOK_EVERY, now=now):
        return None
    in_effect, open_proofs = _in_effect(now=now), _open_proofs()
    stopped = [key for key, proof in open_proofs.items() if not proof.is_normal and key not in in_effect]
    found = changes(in_effect, open_proofs, stopped_at=_told_at(stopped), now=now)
    if found.runs or found.normals or found.longer:
        _write(found, usual_kw=_usual_kw(found.runs), now=now)
        logger.info("Proofs begun: %s runs, %s returns", len(found.runs), len(found.normals))
    return found


@transaction.atomic
def _write(found: Changes, *, usual_kw: Mapping[int, Decimal], now: datetime) -> None:
    _close(found.ended, detail="The run ended before it counted.")
    _close(found.overtaken, detail="The next run began before it was proven.")
    _lengthen(found.longer)
    Proof.objects.bulk_create(
        [
            *(_run(each, usual_kw=usual_kw.get(each.device_id), now=now) for each in found.runs),
            *(_normal(each, now=now) for each in found.normals),
        ],
        batch_size=500,
        ignore_conflicts=True,
    )


def can_prove() -> Q:
    """Keep devices that ever said what they take, or whose driver can ask what they hold."""
    return Q(device__power_at__isnull=False) | Q(device__driver__in=_drivers_that_read_back())


def _drivers_that_read_back() -> list[str]:
    found = []
    for name in settings.DEVICE_DRIVERS:
        try:
            if driver_named(name).capabilities.reads_back:
                found.append(name)
        except DriverError:  # not installed: commands say so
            continue
    return found


def _in_effect(*, now: datetime) -> dict[int, InEffect]:
    rows = ScheduleSegment.objects.filter(
        can_prove(), schedule__superseded_at__isnull=True, starts_at__lte=now, ends_at__gt=now
    ).exclude(mode=SegmentMode.IDLE)
    return {
        row.device_id: InEffect(
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            over_at=row.recover_until or row.ends_at,
            begins_at=row.precondition_from or row.starts_at,
            mode=Mode(row.mode),
            target_kw=row.target_kw,
            ramp_seconds=row.ramp_seconds,
            version=row.schedule.version,
            told_at=row.schedule.created_at,
        )
        for row in rows.select_related("schedule")
    }


def _open_proofs() -> dict[int, OpenProof]:
    return {
        row.device_id: OpenProof(
            key=row.pk,
            is_normal=row.kind == ProofKind.NORMAL,
            version=row.version,
            mode=Mode(row.mode),
            target_kw=row.target_kw,
            ends_at=row.ends_at,
            over_at=row.over_at,
            baseline_kw=row.baseline_kw,
        )
        for row in Proof.objects.filter(is_open=True)
    }


def _told_at(device_ids: Collection[int]) -> dict[int, datetime]:
    """Return when the current versions of devices were made."""
    rows = DeviceSchedule.objects.filter(device_id__among=Ids(device_ids), superseded_at__isnull=True)
    return dict(rows.values_list("device_id", "created_at"))


def _close(keys: Collection[int], *, detail: str) -> None:
    """End proofs; what was not known by now never will be."""
    rows = Proof.objects.filter(pk__among=Ids(keys))
    rows.filter(state=ProofState.AWAITED).update(state=ProofState.UNKNOWN, detail=detail)
    rows.update(is_open=False, next_look_at=None)


def _lengthen(longer: Mapping[int, InEffect]) -> None:
    by_ends: defaultdict[tuple[datetime, datetime], list[int]] = defaultdict(list)
    for key, segment in longer.items():
        by_ends[segment.ends_at, segment.over_at].append(key)
    for (ends_at, over_at), keys in by_ends.items():
        Proof.objects.filter(pk__among=Ids(keys)).update(ends_at=ends_at, over_at=over_at)


def _usual_kw(runs: Iterable[RunBegins]) -> dict[int, Decimal]:
    """Return the usual power of devices before they began, by device, where enough of it was measured.

    One that goes from run to run without rest keeps what it was before the first of them.
    """
    found: dict[int, Decimal] = {}
    begins: dict[int, datetime] = {}
    for each in runs:
        if each.continues is None:
            begins[each.device_id] = each.segment.begins_at
        elif each.continues.baseline_kw is not None:
            found[each.device_id] = each.continues.baseline_kw
    if not begins:
        return found
    earliest, _ = baseline_window(min(begins.values()))
    rows = PowerInterval.objects.filter(
        device_id__among=Ids(begins), minutes=1, starts_at__gte=earliest, starts_at__lt=max(begins.values())
    )
    measured: defaultdict[int, list[Measured]] = defaultdict(list)
    for device_id, start, *energy in rows.values_list(
        "device_id", "starts_at", "watt_milliseconds", "covered_milliseconds"
    ):
        measured[device_id].append(Measured(start, start + timedelta(minutes=1), Energy(*energy)))
    for device_id, intervals in measured.items():
        usual_kw = baseline_kw(intervals, begins_at=begins[device_id])
        if usual_kw is not None:
            found[device_id] = usual_kw
    return found


def _run(begun: RunBegins, *, usual_kw: Decimal | None, now: datetime) -> Proof:
    segment = begun.segment
    return Proof(
        device_id=begun.device_id,
        kind=ProofKind.RUN,
        version=segment.version,
        mode=segment.mode.value,
        target_kw=segment.target_kw,
        since=begun.since,
        settles_at=domain.settles_at(since=begun.since, ramp_seconds=segment.ramp_seconds),
        ends_at=segment.ends_at,
        over_at=segment.over_at,
        baseline_kw=usual_kw,
        next_look_at=now,
    )


def _normal(begun: NormalBegins, *, now: datetime) -> Proof:
    after = begun.after
    return Proof(
        device_id=begun.device_id,
        kind=ProofKind.NORMAL,
        version=after.version,
        mode=after.mode.value,
        target_kw=after.target_kw,
        since=begun.since,
        settles_at=domain.settles_at(since=begun.since, ramp_seconds=None),
        ends_at=None,
        over_at=None,
        baseline_kw=after.baseline_kw,
        next_look_at=now,
    )


@dataclass(frozen=True, slots=True)
class _Heard:
    """What devices said lately and what they were found to hold, by device.

    `changed`: where the driver found that somebody else had changed it; it has been put right since.
    """

    said: Mapping[int, Sequence[Said]]
    read_back: Mapping[tuple[int, bool], ReadBack]
    changed: Collection[int]


@transaction.atomic
def _judge_batch(*, now: datetime) -> int:
    """Judge the proofs that are due, at most a batch, in a constant number of statements."""
    rows = Proof.objects.filter(_still_told(now=now), is_open=True, next_look_at__lte=now)
    rows = rows.select_related("device")
    rows = rows.select_for_update(skip_locked=True, no_key=True, of=("self",))
    proofs = list(rows.order_by("next_look_at", "pk")[:BATCH])
    if not proofs:
        return 0
    heard = _hear(proofs, now=now)
    moved: list[Sequence[object]] = []
    looks: defaultdict[datetime | None, list[int]] = defaultdict(list)
    for proof in proofs:
        asked = _asked(proof)
        found = domain.judge(
            asked,
            said=_of_its_time(proof, heard.said.get(proof.device_id, ())),
            last_said_at=proof.device.power_at,
            read_back=heard.read_back.get((proof.device_id, asked.is_normal)),
            now=now,
        )
        is_changed = not asked.is_normal and proof.device_id in heard.changed
        if _move(proof, found, is_changed=is_changed, now=now):
            moved.append([*(getattr(proof, name) for name in _JUDGED), proof.pk])
        looks[domain.next_look_at(asked, found.verdict, now=now)].append(proof.pk)
    update_rows(Proof, _JUDGED, moved)
    for next_look_at, keys in looks.items():
        Proof.objects.filter(pk__among=Ids(keys)).update(next_look_at=next_look_at, judged_at=now)
    done = [proof.pk for proof in proofs if _is_done(proof)]
    Proof.objects.filter(pk__among=Ids(done)).update(is_open=False)
    return len(proofs)


def _of_its_time(proof: Proof, said: Sequence[Said]) -> Sequence[Said]:
    """Leave out what a device says of the time after a run, as one does whose clock is ahead."""
    return [each for each in said if proof.ends_at is None or each.at < proof.ends_at]


def _still_told(*, now: datetime) -> Q:
    """Keep proofs of what devices are to do at `now`, and of returns to normal.

    A run that has just ended, or is another by now, stays open until it is looked for; what the device does
    since then says nothing of it.
    """
    told = ScheduleSegment.objects.filter(
        device=OuterRef("device"), schedule__superseded_at__isnull=True, starts_at__lte=now, ends_at__gt=now
    ).exclude(mode=SegmentMode.IDLE)
    same = told.filter(mode=OuterRef("mode"))
    figure = same.filter(target_kw=OuterRef("target_kw"))
    most = same.filter(target_kw__isnull=True)
    return Q(kind=ProofKind.NORMAL) | Q(Exists(figure)) | Q(Exists(most), target_kw__isnull=True)


def _is_done(proof: Proof) -> bool:
    return proof.kind == ProofKind.NORMAL and proof.state == ProofState.PROVEN


def _asked(proof: Proof) -> Asked:
    return Asked(
        is_normal=proof.kind == ProofKind.NORMAL,
        mode=Mode(proof.mode),
        target_kw=proof.target_kw,
        rated_kw=proof.device.rated_power_kw,
        since=proof.since,
        settles_at=proof.settles_at,
        baseline_kw=proof.baseline_kw,
        may_be_empty=proof.device.kind == DeviceKind.EV_CHARGER,
    )


def _hear(proofs: Sequence[Proof], *, now: datetime) -> _Heard:
    """Read what the devices said in the last minutes, and what was read back since they were told."""
    ids = Ids({proof.device_id for proof in proofs})
    said: defaultdict[int, list[Said]] = defaultdict(list)
    earliest_said = now - domain.SILENT_AFTER - domain.CYCLES_WITHIN
    rows = Reading.objects.filter(device_id__among=ids, at__gt=earliest_said)
    for device_id, at, power_kw, mode in rows.order_by("device_id", "at").values_list(
        "device_id", "at", "power_kw", "mode"
    ):
        said[device_id].append(Said(at, power_kw, mode))
    earliest = min(proof.since for proof in proofs)
    told = Command.objects.filter(device_id__among=ids, schedule__superseded_at__isnull=True)
    told = told.filter(state=CommandState.ACKNOWLEDGED)
    commands = told.filter(proven_at__gte=earliest)
    read_back = {
        (device_id, kind == CommandKind.CLEAR): ReadBack(proven_at, proof)
        for device_id, kind, proven_at, proof in commands.order_by("proven_at").values_list(
            "device_id", "kind", "proven_at", "proof"
        )
        if proven_at
    }
    changed = told.filter(detail__startswith=CHANGED.format(""), due_at__lte=now, expires_at__gt=now)
    return _Heard(said, read_back, frozenset(changed.values_list("device_id", flat=True)))


def _move(proof: Proof, found: Judgement, *, is_changed: bool, now: datetime) -> bool:
    """Set on the row what was found; False if it is as before, or the power moved too little to matter."""
    how = found.how.value if found.how else ""
    is_same = (proof.state, proof.how, proof.is_changed_by_others) == (found.verdict.value, how, is_changed)
    if is_same and not _moved(proof, found):
        return False
    proof.state, proof.how = found.verdict.value, how
    proof.detail, proof.measured_kw = found.sentence, found.measured_kw
    proof.is_changed_by_others = is_changed
    if found.verdict is Verdict.PROVEN and proof.proven_at is None:
        proof.proven_at = now
    return True


def _moved(proof: Proof, found: Judgement) -> bool:
    if proof.measured_kw is None or found.measured_kw is None:
        return proof.detail != found.sentence
    near = domain.tolerance(proof.device.rated_power_kw if proof.target_kw is None else proof.target_kw) / 2
    return abs(proof.measured_kw - found.measured_kw) >= near
