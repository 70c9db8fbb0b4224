"""Take due commands under a lease, and say what is sent for them. Part of the stage `devices.commanding`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from devices.domain import retry
from devices.domain.schedule import Segment, as_message
from devices.domain.setpoints import has_lapsed, lapses_at, lasts_until
from devices.drivers import driver_named
from devices.drivers.base import Capabilities, Delivery, DriverError, SetPoint
from devices.failing import note_failed
from devices.models import (
    Command,
    CommandAttempt,
    CommandKind,
    CommandState,
    Device,
    DeviceSchedule,
    ScheduleSegment,
    ScheduleState,
)
from devices.queries import due_commands, may_be_tried, may_leave
from meters.among import Ids

WRITES_LAST: Final = timedelta(seconds=2)
"""How long before its lease ends a try must have begun to write, so that a write ends within the lease."""


@dataclass(frozen=True, slots=True)
class Try:
    """A claimed command, until when it is ours, and the attempt written for it; a renewal has none."""

    command: Command
    until: datetime
    attempt: CommandAttempt | None


@transaction.atomic
def claim(
    which: Q, *, driver_name: str, abilities: Capabilities, lease: timedelta, limit: int, now: datetime
) -> list[Try]:
    """Take up to `limit` due commands of a driver under a lease and write their attempts.

    Only commands of the version that is current in this transaction are taken, and none that would start a
    device which is withheld. Devices that were silent before come last. A device that holds no schedule is
    taken itself too, so that it is told one thing at a time.
    """
    # What was made for another driver of the device waits for its new plan.
    is_meant = Q() if abilities.holds_schedule else ~Q(kind=CommandKind.SCHEDULE)
    commands = lock_due(
        which & is_meant & may_leave(now=now) & may_be_tried(now=now),
        now=now,
        limit=limit,
        expires_at__gt=now,
        device__driver=driver_name,
        schedule__version=F("device__schedule_version"),
    )
    if not commands:
        return []
    until = now + lease
    if not abilities.holds_schedule:
        commands = list({command.device_id: command for command in reversed(commands)}.values())[::-1]
        Device.objects.filter(pk__in=[command.device_id for command in commands]).update(busy_until=until)
    tried = [command for command in commands if not is_renewal(command, abilities=abilities, now=now)]
    _write_claim(commands, tried=tried, until=until, now=now)
    attempts = CommandAttempt.objects.bulk_create(
        CommandAttempt(command=command, started_at=now) for command in tried
    )
    by_command = {attempt.command_id: attempt for attempt in attempts}
    return [Try(command, until, by_command.get(command.pk)) for command in commands]


@transaction.atomic
def release_claims(*, now: datetime) -> int:
    """Let what others hold be tried again at once, where devices know versions; return how much that was.

    For workers that start, as after the death of all before them: the dead hold nothing, and what somebody
    alive holds too is told twice without effect. What somebody writes at this moment is passed over: to wait
    for it without its device would be against the order of locks. Devices without a schedule stay with
    whoever speaks to them until the lease is over.
    """
    held = Command.objects.filter(next_attempt_at__isnull=False, claimed_until__gt=now)
    names = held.order_by().values_list("device__driver", flat=True).distinct()
    knowing = [name for name in names if _knows_versions(name)]
    rows = held.filter(device__driver__in=knowing).select_for_update(
        skip_locked=True, no_key=True, of=("self",)
    )
    keys = Ids(rows.values_list("pk", flat=True))
    return Command.objects.filter(pk__among=keys).update(claimed_until=now)


def _knows_versions(driver_name: str) -> bool:
    try:
        return driver_named(driver_name).capabilities.holds_schedule
    except DriverError:
        return False


def lock_due(which: Q, *, now: datetime, limit: int | None, **conditions: object) -> list[Command]:
    """Return due commands nobody else is busy with, held to the end of the transaction.

    PostgreSQL skips the rows of others; SQLite's immediate transaction is alone anyway. The device
    is held as well: whoever writes takes device, schedule, command in this order, or would deadlock.
    """
    rows = (
        due_commands(now=now)
        .filter(which, **conditions)
        .select_related("device", "schedule")
        .select_for_update(skip_locked=True, no_key=True, of=("self", "device"))
    )
    return list(rows.order_by("attempt_count", "-is_restoring", "next_attempt_at", "pk")[:limit])


def is_renewal(command: Command, *, abilities: Capabilities, now: datetime) -> bool:
    """Say whether a device still follows the value that it is told again."""
    if command.state != CommandState.ACKNOWLEDGED or command.kind != CommandKind.SETPOINT:
        return False
    told_at = command.renewed_at or command.finished_at
    return not has_lapsed(told_at=told_at, lease_seconds=abilities.lease_seconds, now=now)


def _write_claim(
    commands: Sequence[Command], *, tried: Sequence[Command], until: datetime, now: datetime
) -> None:
    """Write the lease, and that the commands are on their way: SENT, or FAILED after a minute's silence.

    A renewal stays accepted while it is renewed.
    """
    for command in commands:
        command.claimed_until = until
    by_state: dict[str, list[Command]] = {}
    for command in tried:
        is_failed = command.state == CommandState.FAILED or (
            command.state == CommandState.SENT and retry.is_silence_over(attempts_made=command.attempt_count)
        )
        command.state = CommandState.FAILED if is_failed else CommandState.SENT
        command.attempt_count += 1
        by_state.setdefault(command.state, []).append(command)
    for state, some in by_state.items():
        schedules = [command.schedule_id for command in some]
        DeviceSchedule.objects.filter(pk__in=schedules).update(state=ScheduleState(state))
        if state == CommandState.FAILED:
            note_failed(schedules, now=now)
        Command.objects.filter(pk__in=[command.pk for command in some]).update(
            state=state, claimed_until=until, attempt_count=F("attempt_count") + 1
        )
    if len(tried) < len(commands):
        renewed = {command.pk for command in commands} - {command.pk for command in tried}
        Command.objects.filter(pk__in=renewed).update(claimed_until=until)


def deliveries_for(tries: Sequence[Try], *, abilities: Capabilities, now: datetime) -> list[Delivery]:
    """Return the messages of the commands, with their schedules' segments."""
    commands = [one.command for one in tries]
    segments: dict[int, list[Segment]] = {}
    rows = ScheduleSegment.objects.filter(schedule_id__in=[command.schedule_id for command in commands])
    for row in rows.order_by("schedule_id", "starts_at"):
        segments.setdefault(row.schedule_id, []).append(row.to_value())
    return [
        Delivery(
            message=as_message(
                device=one.command.device.external_id,
                version=one.command.schedule.version,
                issued_at=one.command.created_at,
                expires_at=one.command.expires_at,
                segments=segments.get(one.command.schedule_id, []),
            ),
            device=one.command.device,
            set_point=None
            if abilities.holds_schedule
            else _set_point(one, segments.get(one.command.schedule_id, []), abilities=abilities, now=now),
            not_after=one.until - WRITES_LAST,
        )
        for one in tries
    ]


def _set_point(one: Try, segments: Sequence[Segment], *, abilities: Capabilities, now: datetime) -> SetPoint:
    """Return the value of the command's segment, or the return to normal where it names none."""
    command = one.command
    told = next((each for each in segments if each.start == command.starts_at), None)
    return SetPoint(
        version=command.schedule.version,
        mode=told.mode if told else None,
        target_kw=told.target_kw if told else None,
        lapses_at=lapses_at(
            lease_seconds=abilities.lease_seconds,
            ends_at=command.expires_at,
            run_ends_at=lasts_until(segments, ends_at=command.expires_at) if told else command.expires_at,
            now=now,
        ),
        is_renewal=one.attempt is None,
    )
