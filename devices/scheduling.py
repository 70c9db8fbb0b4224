"""Stage: desired schedules → stored versions and the commands that carry them.

Reads the current version of each device; writes `DeviceSchedule`, `ScheduleSegment`, `Command`,
`Withheld` and `Device.schedule_version`. Called by planning, inside its transaction.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from django.db.models import Case, F, Q, TextField, Value, When

from devices import queue
from devices.bulk import insert_rows, insert_segments
from devices.domain.commands import Held, instruction_for
from devices.domain.schedule import DesiredSchedule, Segment, check_schedule, content_digest, remaining
from devices.domain.setpoints import errands_for
from devices.drivers import capabilities_of
from devices.models import (
    OPEN_COMMAND_STATES,
    Command,
    CommandKind,
    CommandState,
    Device,
    DeviceSchedule,
    ScheduleSegment,
    ScheduleState,
    Withheld,
)
from meters.among import Ids

logger = logging.getLogger(__name__)

BATCH = 10_000
REPLACED = "A newer schedule took its place."
AT_ONCE = 10_000  # SQLite takes 32,766 parameters
_COMMAND_COLUMNS = (
    "device_id",
    "schedule_id",
    "key",
    "kind",
    "starts_at",
    "due_at",
    "next_attempt_at",
    "expires_at",
    "is_restoring",
)
NO_POLICIES: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Replaced:
    """The ids of the devices that got a new version, in order."""

    changed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A desired schedule, for all the devices that share it: as stored, what remains, its digest."""

    stored: DesiredSchedule
    remaining: DesiredSchedule
    digest: str


def replace_schedules(
    *, desired: Mapping[int, DesiredSchedule], policies: Mapping[int, str] = NO_POLICIES, now: datetime
) -> Replaced:
    """Give each device a new version where what remains to be done differs from what it has.

    `desired` maps device ids to their whole schedule, `policies` to the policy and version it was made under,
    where there is one. A device that has nothing to do and nothing
    desired gets no version; one whose schedule is emptied gets a command that clears it. Open
    commands of older versions are superseded. A constant number of statements per ten thousand
    devices; call inside a transaction, with devices that exist.

    Raises:
        InvalidSchedule: segments out of order, overlapping, empty or without a time zone.
    """
    wanted = _prepare(desired, now=now)
    device_ids = sorted(desired)
    changed: list[int] = []
    for first in range(0, len(device_ids), BATCH):
        batch = {device_id: wanted[device_id] for device_id in device_ids[first : first + BATCH]}
        changed += _replace_batch(batch, policies=policies, now=now)
    if changed:
        queue.wake_commands()
        logger.info("Schedules replaced for %s of %s devices", len(changed), len(device_ids))
    return Replaced(changed=tuple(changed))


def withhold(*, device_ids: Iterable[int], now: datetime) -> None:
    """Let no command start these devices until they are planned anew, whatever waits or is planned meanwhile.

    Call in the transaction that stores what they must be planned for. It changes no row of theirs, so it
    waits for nobody. What is on its way already is followed by the next version, which wins.
    """
    insert_rows(Withheld, ("device_id",), ((device_id,) for device_id in device_ids), since=now)


def withheld() -> dict[int, int]:
    """Return the devices that are withheld, by the row that says so."""
    return dict(Withheld.objects.values_list("pk", "device_id"))


def release(row_ids: Collection[int]) -> None:
    """Take away rows of `withheld` that were read before what the devices are planned for was read."""
    ordered = sorted(row_ids)
    for first in range(0, len(ordered), AT_ONCE):
        Withheld.objects.filter(pk__among=Ids(ordered[first : first + AT_ONCE])).delete()


def _prepare(desired: Mapping[int, DesiredSchedule], *, now: datetime) -> dict[int, _Wanted]:
    """Check and prepare each distinct schedule once; many devices share one."""
    prepared: dict[int, _Wanted] = {}
    for segments in desired.values():
        if id(segments) not in prepared:
            check_schedule(segments)
            stored = tuple(segment for segment in segments if segment.over_at > now)
            prepared[id(segments)] = _Wanted(stored, remaining(stored, now=now), content_digest(stored))
    return {device_id: prepared[id(segments)] for device_id, segments in desired.items()}


def _replace_batch(
    desired: Mapping[int, _Wanted], *, policies: Mapping[int, str], now: datetime
) -> list[int]:
    """Compare, then bump versions, supersede the old and store the new.

    The devices' rows are taken first and in order: whoever writes takes device, schedule, command
    in this order, or would deadlock.
    """
    held, moved = _held(list(desired), now=now)
    nothing = Held(remaining=(), unanswered_until=None)
    wanted = {
        device_id: each
        for device_id, each in desired.items()
        if each.remaining != held.get(device_id, nothing).remaining or (each.remaining and device_id in moved)
    }
    if not wanted:
        return []
    devices = Device.objects.filter(pk__among=Ids(wanted))
    locked = devices.select_for_update(no_key=True).order_by("pk")
    rows = list(locked.values_list("pk", "schedule_version", "driver"))
    versions = {device_id: version + 1 for device_id, version, _ in rows}
    drivers = {device_id: name for device_id, _, name in rows}
    holders = {name for name in set(drivers.values()) if capabilities_of(name).holds_schedule}
    devices.update(schedule_version=F("schedule_version") + 1)
    _supersede(list(wanted), now=now)
    schedules = _store_schedules(wanted, versions=versions, drivers=drivers, policies=policies, now=now)
    commands = (
        (pk, schedules[pk], f"{pk}:{versions[pk]}:{name}", *columns)
        for pk, each in wanted.items()
        for name, *columns in (
            _errands(each, held.get(pk, nothing), now=now)
            if drivers[pk] not in holders
            else _instruction(each, held.get(pk, nothing), now=now)
        )
    )
    _store_commands(commands, now=now)
    return list(wanted)


def _store_commands(commands: Iterable[Sequence[object]], *, now: datetime) -> None:
    insert_rows(
        Command,
        _COMMAND_COLUMNS,
        commands,
        created_at=now,
        state=CommandState.PENDING,
        attempt_count=0,
        detail="",
        proof="",
    )


def _held(device_ids: Sequence[int], *, now: datetime) -> tuple[dict[int, Held], set[int]]:
    """Return what each device with a current schedule may still be following, and who got another driver.

    Schedules with the same digest say the same, so the segments of one of them are read for all.
    """
    current = DeviceSchedule.objects.filter(device_id__among=Ids(device_ids), superseded_at__isnull=True)
    rows = list(current.values_list("pk", "device_id", "digest", "driver", "device__driver"))
    left = _remaining_by_digest({digest: pk for pk, _, digest, *_ in rows}, now=now)
    # A value that nobody confirmed is among the segments; one that is not due yet nobody was told.
    unanswered = (
        Command.objects.filter(schedule__in=current, due_at__lte=now)
        .exclude(Q(kind=CommandKind.SETPOINT) | Q(state=CommandState.ACKNOWLEDGED))
        .values_list("device_id", "expires_at")
    )
    until = dict(unanswered.order_by("expires_at"))
    held = {
        device_id: Held(remaining=left[digest], unanswered_until=until.get(device_id))
        for _, device_id, digest, *_ in rows
    }
    return held, {device_id for _, device_id, _, was, driver in rows if was not in {"", driver}}


def _remaining_by_digest(schedules: Mapping[str, int], *, now: datetime) -> dict[str, DesiredSchedule]:
    """Return what remains of each schedule, one of every digest."""
    segments: defaultdict[int, list[Segment]] = defaultdict(list)
    rows = ScheduleSegment.objects.filter(
        Q(ends_at__gt=now) | Q(recover_until__gt=now), schedule_id__among=Ids(schedules.values())
    )
    for row in rows.order_by("schedule_id", "starts_at"):
        segments[row.schedule_id].append(row.to_value())
    return {digest: remaining(segments[pk], now=now) for digest, pk in schedules.items()}


def _supersede(device_ids: Sequence[int], *, now: datetime) -> None:
    """Close the current versions and whatever of them was still to be sent or renewed, or was refused."""
    DeviceSchedule.objects.filter(device_id__among=Ids(device_ids), superseded_at__isnull=True).update(
        superseded_at=now
    )
    is_open = Q(state__in=OPEN_COMMAND_STATES)
    is_renewed = Q(state=CommandState.ACKNOWLEDGED, next_attempt_at__isnull=False)
    commands = Command.objects.filter(is_open | is_renewed, device_id__among=Ids(device_ids))
    # What was accepted stays accepted; without its claim, whoever renews it now moves it no more.
    commands.update(
        state=Case(When(is_open, then=Value(CommandState.SUPERSEDED)), default=F("state")),
        detail=Case(When(is_open, then=Value(REPLACED, TextField())), default=F("detail")),
        next_attempt_at=None,
        claimed_until=None,
        finished_at=Case(When(is_open, then=Value(now)), default=F("finished_at")),
    )


def _store_schedules(
    desired: Mapping[int, _Wanted],
    *,
    versions: Mapping[int, int],
    drivers: Mapping[int, str],
    policies: Mapping[int, str],
    now: datetime,
) -> dict[int, int]:
    """Store a version per device with its segments, and return its key by device id."""
    insert_rows(
        DeviceSchedule,
        ("device_id", "version", "digest", "policy", "driver"),
        (
            (device_id, versions[device_id], each.digest, policies.get(device_id, ""), drivers[device_id])
            for device_id, each in desired.items()
        ),
        created_at=now,
        state=ScheduleState.PENDING,
    )
    current = DeviceSchedule.objects.filter(device_id__among=Ids(desired), superseded_at__isnull=True)
    keys = dict(current.values_list("device_id", "pk"))
    insert_segments((keys[device_id], device_id, each.stored) for device_id, each in desired.items())
    return keys


def _instruction(wanted: _Wanted, held: Held, *, now: datetime) -> Iterator[tuple[object, ...]]:
    """Yield what the key of the one command that carries a version ends in, and its columns."""
    told = instruction_for(desired=wanted.remaining, held=held, now=now)
    kind = CommandKind.CLEAR if told.is_clear else CommandKind.SCHEDULE
    yield (kind, kind, None, now, now, told.expires_at, told.is_restoring)


def _errands(wanted: _Wanted, held: Held, *, now: datetime) -> Iterator[tuple[object, ...]]:
    """Yield the same of the commands to a device that holds no schedule."""
    for told in errands_for(desired=wanted.stored, held=held, now=now):
        kind = CommandKind.SETPOINT if told.starts_at else CommandKind.CLEAR
        yield (
            told.name,
            kind,
            told.starts_at,
            told.due_at,
            told.due_at,
            told.expires_at,
            told.is_restoring,
        )
