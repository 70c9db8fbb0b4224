"""Stage: due commands → devices, one attempt row a try.

Reads and moves `Command`, writes `CommandAttempt`, and lets the schedule's state and whether the device
is online, or failing, follow. A command is claimed under a lease longer than any try: whoever dies while
trying leaves an attempt STARTED and a lease that lapses, and the next run takes both up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from devices import queue
from devices.domain import retry
from devices.domain.schedule import Segment, as_message
from devices.drivers import driver_named
from devices.drivers.base import Answer, Delivery, Driver, DriverError, Result
from devices.failing import note_acknowledged, note_failed
from devices.models import (
    OPEN_COMMAND_STATES,
    AttemptOutcome,
    Command,
    CommandAttempt,
    CommandState,
    Device,
    DeviceSchedule,
    ScheduleSegment,
    ScheduleState,
)
from devices.queries import LEASE, due_commands, lost_attempts, may_leave

logger = logging.getLogger(__name__)

RUN_SECONDS = 30
RESTORING_SECONDS = 15
FIRST_TRY_TO_STOP = Q(is_restoring=True, attempt_count=0)
BATCH_WITHOUT_DRIVER = 500
HEARD_LATE = "The device accepted it after the try had ended."


class RetryRefused(Exception):
    """The command cannot be tried again; the message says why."""


@dataclass(frozen=True, slots=True)
class _Try:
    """A claimed command with the attempt that was written for it."""

    command: Command
    attempt: CommandAttempt


def run_due_commands(*, now: datetime) -> int:
    """Send every command that is due, batch by batch, and return how many were tried.

    1. Close what others left behind: attempts of the dead, commands past their end.
    2. While devices wait to be stopped: claim a batch of those commands alone, deliver, record. After a
    quarter of a minute they only lead their driver's batches, so that a silent vendor delays no other.
    3. For each driver with something due: claim a batch, deliver it, record the answers.
    Ends after half a minute even if more is due, so that a worker's time limit is never met; what
    is left is woken again. Time passes within the run: later batches count from `now` too.
    """
    _close_lost_attempts(now=now)
    _expire(now=now)
    began = time.monotonic()
    tried = 0
    while (passed := time.monotonic() - began) < RUN_SECONDS:
        is_early = passed < RESTORING_SECONDS
        round_tried = _run_round(is_restoring_first=is_early, now=now + timedelta(seconds=passed))
        if not round_tried:
            break
        tried += round_tried
    return tried


def retry_command(*, command_id: int, now: datetime) -> None:
    """Try a command again at once, as an operator asks.

    Raises:
        RetryRefused: it was accepted, replaced, is past its end, or would start a device that is withheld.
        Command.DoesNotExist: no such command.
    """
    if not retry_commands(command_ids=[command_id], now=now):
        raise RetryRefused(_why_no_retry(Command.objects.select_related("schedule").get(pk=command_id)))


@transaction.atomic
def retry_commands(*, command_ids: Collection[int], now: datetime) -> int:
    """Try commands again at once, those of them that may be, and return how many. One statement."""
    current = DeviceSchedule.objects.filter(superseded_at__isnull=True)
    # Not by a join: the state must be looked at again after waiting for whoever supersedes a command.
    changed = Command.objects.filter(
        may_leave(now=now),
        pk__in=command_ids,
        state__in=OPEN_COMMAND_STATES,
        expires_at__gt=now,
        schedule__in=current,
    ).update(state=CommandState.PENDING, next_attempt_at=now, finished_at=None)
    if changed:
        queue.wake_commands()
    return changed


@transaction.atomic
def hear_answers(answers: Mapping[tuple[str, int], Answer], *, driver_name: str, now: datetime) -> int:
    """Write what devices of a driver answered by themselves: `{(external id, version): answer}`.

    The rules are those of an answer within a try: accepted, the open command is acknowledged; refused, it
    has failed. Only an answer to the current version counts, and only if that was sent: what a device says
    of an older one, or of one it cannot know, moves nothing. Returns how many commands were answered.
    """
    names = {external_id for external_id, _ in answers}
    devices = Device.objects.select_for_update(no_key=True).filter(driver=driver_name, external_id__in=names)
    heard = {
        device.pk: answers[key]
        for device in devices.order_by("pk")
        if (key := (device.external_id, device.schedule_version)) in answers
    }
    commands = Command.objects.filter(
        device_id__in=heard,
        state__in=OPEN_COMMAND_STATES,
        attempt_count__gt=0,
        schedule__version=F("device__schedule_version"),
    )
    found = [(command, heard[command.device_id]) for command in commands]
    for is_late, detail in ((False, ""), (True, HEARD_LATE)):
        accepted = [command for command, answer in found if answer.is_accepted]
        if some := [command for command in accepted if _is_between_tries(command, now=now) is is_late]:
            _acknowledge(some, detail=detail, now=now)
    _refuse([(command, answer.detail) for command, answer in found if not answer.is_accepted], now=now)
    return len(found)


def _is_between_tries(command: Command, *, now: datetime) -> bool:
    return command.claimed_until is None or command.claimed_until <= now


def _refuse(commands: Sequence[tuple[Command, str]], *, now: datetime) -> None:
    """Close commands that their devices refuse, each with the device's words."""
    if not commands:
        return
    for command, detail in commands:
        command.state = CommandState.FAILED
        command.next_attempt_at = command.claimed_until = None
        command.finished_at = now
        command.detail = detail
    schedules = [command.schedule_id for command, _ in commands]
    DeviceSchedule.objects.filter(pk__in=schedules).update(state=ScheduleState.FAILED)
    note_failed(schedules, now=now)
    Command.objects.filter(state__in=OPEN_COMMAND_STATES).bulk_update(
        [command for command, _ in commands],
        ["state", "next_attempt_at", "claimed_until", "finished_at", "detail"],
    )


def _why_no_retry(command: Command) -> str:
    if command.state == CommandState.ACKNOWLEDGED:
        return "The device has accepted this command."
    if command.state == CommandState.SUPERSEDED or command.schedule.superseded_at:
        return "A newer schedule took this command's place."
    if command.device.withheld.exists():
        return "This device is kept still until its new schedule is made, within seconds."
    return "This command is past its end."


def _run_round(*, is_restoring_first: bool, now: datetime) -> int:
    """Run one batch for every driver that has something due, and return the number of tries."""
    if is_restoring_first:
        tried = _run_batches(FIRST_TRY_TO_STOP, now=now)
        if tried:
            return tried
    return _run_batches(Q(), now=now)


def _run_batches(which: Q, *, now: datetime) -> int:
    names = due_commands(now=now).filter(which).values_list("device__driver", flat=True).distinct()
    return sum(_run_batch(which, driver_name=name, now=now) for name in names.order_by())


def _run_batch(which: Q, *, driver_name: str, now: datetime) -> int:
    began = time.monotonic()
    driver: Driver | DriverError
    try:
        driver = driver_named(driver_name)
    except DriverError as error:
        driver = error
    limit = BATCH_WITHOUT_DRIVER if isinstance(driver, DriverError) else driver.concurrency
    tries = _claim(which, driver_name=driver_name, limit=limit, now=now)
    if not tries:
        return 0
    if isinstance(driver, DriverError):
        _record([(one, driver) for one in tries], now=now)
        return len(tries)
    for results in driver.deliver_all(_deliveries([one.command for one in tries])):
        at = now + timedelta(seconds=time.monotonic() - began)
        _record([(tries[position], result) for position, result in results], now=at)
    logger.info("Commands tried: %s by %s", len(tries), driver_name)
    return len(tries)


@transaction.atomic
def _claim(which: Q, *, driver_name: str, limit: int, now: datetime) -> list[_Try]:
    """Take up to `limit` due commands under a lease and write their attempts.

    Only commands of the version that is current in this transaction are taken, and none that would start a
    device which is withheld. Devices that were silent before come last, so that they hold up no batch of the
    others.
    """
    commands = _lock_due(
        which & may_leave(now=now),
        now=now,
        limit=limit,
        expires_at__gt=now,
        device__driver=driver_name,
        schedule__version=F("device__schedule_version"),
    )
    if not commands:
        return []
    _write_claim(commands, now=now)
    attempts = CommandAttempt.objects.bulk_create(
        CommandAttempt(command=command, started_at=now) for command in commands
    )
    return [_Try(command, attempt) for command, attempt in zip(commands, attempts, strict=True)]


def _lock_due(which: Q, *, now: datetime, limit: int | None, **conditions: object) -> list[Command]:
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


def _write_claim(commands: Sequence[Command], *, now: datetime) -> None:
    """Write the lease, and that the commands are on their way: SENT, or FAILED after a minute's silence."""
    by_state: dict[str, list[Command]] = {}
    for command in commands:
        is_failed = command.state == CommandState.FAILED or (
            command.state == CommandState.SENT and retry.is_silence_over(attempts_made=command.attempt_count)
        )
        command.state = CommandState.FAILED if is_failed else CommandState.SENT
        command.attempt_count += 1
        command.claimed_until = now + LEASE
        by_state.setdefault(command.state, []).append(command)
    for state, some in by_state.items():
        schedules = [command.schedule_id for command in some]
        DeviceSchedule.objects.filter(pk__in=schedules).update(state=state)
        if state == CommandState.FAILED:
            note_failed(schedules, now=now)
        Command.objects.filter(pk__in=[command.pk for command in some]).update(
            state=state, claimed_until=now + LEASE, attempt_count=F("attempt_count") + 1
        )


def _deliveries(commands: Sequence[Command]) -> list[Delivery]:
    """Return the messages of the commands, with their schedules' segments."""
    segments: dict[int, list[Segment]] = {}
    rows = ScheduleSegment.objects.filter(schedule_id__in=[command.schedule_id for command in commands])
    for row in rows.order_by("schedule_id", "starts_at"):
        segments.setdefault(row.schedule_id, []).append(row.to_value())
    return [
        Delivery(
            message=as_message(
                device=command.device.external_id,
                version=command.schedule.version,
                issued_at=command.created_at,
                expires_at=command.expires_at,
                segments=segments.get(command.schedule_id, []),
            ),
            device=command.device,
        )
        for command in commands
    ]


@transaction.atomic
def _record(results: Sequence[tuple[_Try, Result]], *, now: datetime) -> None:
    """Write what came of a batch of tries.

    An attempt's end is always written. The command moves only while it is open: one that a newer
    schedule superseded in the meantime stays so.
    """
    device_ids = [one.command.device_id for one, _ in results]
    list(Device.objects.select_for_update(no_key=True).filter(pk__in=device_ids).order_by("pk").values("pk"))
    accepted: list[_Try] = []
    others: list[tuple[_Try, Answer | DriverError]] = []
    for one, result in results:
        if isinstance(result, Answer) and result.is_accepted:
            accepted.append(one)
        else:
            others.append((one, result))
    answered = [one.command.device_id for one, result in results if isinstance(result, Answer)]
    Device.objects.filter(pk__in=answered).update(is_online=True, last_seen_at=now)
    _record_accepted(accepted, now=now)
    _record_others(others, now=now)


def _record_accepted(tries: Sequence[_Try], *, now: datetime) -> None:
    if not tries:
        return
    _acknowledge([one.command for one in tries], detail="", now=now)
    CommandAttempt.objects.filter(pk__in=[one.attempt.pk for one in tries]).update(
        outcome=AttemptOutcome.ACKNOWLEDGED, finished_at=now
    )


def _acknowledge(commands: Sequence[Command], *, detail: str, now: datetime) -> None:
    schedules = [command.schedule_id for command in commands]
    DeviceSchedule.objects.filter(pk__in=schedules).update(
        state=ScheduleState.ACKNOWLEDGED, acknowledged_at=now
    )
    note_acknowledged(schedules, now=now)
    Command.objects.filter(pk__in=[command.pk for command in commands], state__in=OPEN_COMMAND_STATES).update(
        state=CommandState.ACKNOWLEDGED,
        next_attempt_at=None,
        claimed_until=None,
        finished_at=now,
        detail=detail,
    )


def _record_others(results: Sequence[tuple[_Try, Result]], *, now: datetime) -> None:
    """Write the tries that were refused, or to which nothing was answered.

    Whoever lost the lease in the meantime moves no command: another worker has it now.
    """
    if not results:
        return
    lease = results[0][0].command.claimed_until
    for one, result in results:
        _conclude(one, result, now=now)
    silent = [one.command.device_id for one, result in results if _is_silence(result)]
    Device.objects.filter(pk__in=silent).update(is_online=False)
    finished = [one.command.schedule_id for one, _ in results if one.command.finished_at]
    DeviceSchedule.objects.filter(pk__in=finished).update(state=ScheduleState.FAILED)
    note_failed(finished, now=now)
    Command.objects.filter(state__in=OPEN_COMMAND_STATES, claimed_until=lease).bulk_update(
        [one.command for one, _ in results],
        ["state", "next_attempt_at", "claimed_until", "finished_at", "detail"],
    )
    CommandAttempt.objects.bulk_update(
        [one.attempt for one, _ in results], ["outcome", "finished_at", "detail"]
    )


def _is_silence(result: Result) -> bool:
    return isinstance(result, DriverError) and not result.permanent


def _conclude(one: _Try, result: Result, *, now: datetime) -> None:
    """Set on the values what a try that was not accepted means for the command and the attempt."""
    command, attempt = one.command, one.attempt
    command.claimed_until = None
    attempt.finished_at = now
    attempt.detail = command.detail = result.detail if isinstance(result, Answer) else str(result)
    attempt.outcome = AttemptOutcome.REJECTED if isinstance(result, Answer) else AttemptOutcome.ERROR
    if isinstance(result, DriverError) and not result.permanent:
        command.next_attempt_at = retry.next_attempt_at(
            key=command.key,
            attempts_made=command.attempt_count,
            now=now,
            expires_at=command.expires_at,
            pause_seconds=result.pause_seconds,
        )
    else:
        command.state = CommandState.FAILED
        command.next_attempt_at = None
        command.finished_at = now


def _close_lost_attempts(*, now: datetime) -> None:
    lost_attempts(now=now).update(
        outcome=AttemptOutcome.LOST,
        finished_at=now,
        detail="Whoever tried stopped before the answer was written.",
    )


@transaction.atomic
def _expire(*, now: datetime) -> None:
    """Close the commands that are past their end, keeping the reason of the last try."""
    commands = _lock_due(Q(), now=now, limit=None, expires_at__lte=now)
    if not commands:
        return
    DeviceSchedule.objects.filter(pk__in=[command.schedule_id for command in commands]).update(
        state=ScheduleState.FAILED
    )
    note_failed([command.schedule_id for command in commands if command.attempt_count], now=now)
    for command in commands:
        last = command.detail or "It could not be sent in time."
        command.detail = f"Past its end before the device accepted it. {last}"
        command.state = CommandState.EXPIRED
        command.next_attempt_at = None
        command.finished_at = now
    Command.objects.bulk_update(commands, ["state", "next_attempt_at", "finished_at", "detail"])
