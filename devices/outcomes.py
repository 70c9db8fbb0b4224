"""Write what came of tries. Part of the stage `devices.commanding`.

The devices are locked first, so that nobody takes, replaces or closes their commands meanwhile. An attempt's
end is always written; a command moves only while that is for the try to say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Case, F, Value, When

from devices.claiming import Try
from devices.domain import breaker, retry, setpoints
from devices.drivers.base import Answer, Capabilities, DriverError, Result
from devices.failing import note_acknowledged, note_failed
from devices.models import (
    OPEN_COMMAND_STATES,
    AttemptOutcome,
    Command,
    CommandAttempt,
    CommandKind,
    CommandState,
    Device,
    DeviceSchedule,
    ScheduleState,
)
from devices.telemetry import DeviceReading, record_readings

Results = Sequence[tuple[Try, Result]]

CHANGED: Final = "Changed by someone else: {}"
NOT_PROVEN: Final = "Not proven: the device took it, but what it holds could not be read. {}"
NORMAL_BY_ITSELF: Final = "Not heard for {} s, so the device has gone back to normal by itself. {}"
SENT_AGAIN: Final = "Sent again: an older message may have reached the device after it."
_MOVED: Final = ("state", "next_attempt_at", "claimed_until", "finished_at", "detail")
_TOLD: Final = (*_MOVED, "renewed_at", "proven_at")
FEW: Final = 4
HEARD_COUNTS_AS: Final = 3


@transaction.atomic
def record(results: Results, *, abilities: Capabilities, now: datetime) -> None:
    """Write what came of tries of one driver."""
    devices = Device.objects.select_for_update(no_key=True)
    ids = [one.command.device_id for one, _ in results]
    busy_until = dict(devices.filter(pk__in=ids).order_by("pk").values_list("pk", "busy_until"))
    if abilities.holds_schedule:
        _note_presence(results, now=now)
        _record_schedules(results, now=now)
        return
    late = {one.command.device_id for one, _ in results if busy_until.get(one.command.device_id) != one.until}
    in_time = [(one, result) for one, result in results if one.command.device_id not in late]
    _note_presence(in_time, now=now)
    Device.objects.filter(pk__in=[one.command.device_id for one, _ in in_time]).update(busy_until=None)
    _record_set_points(in_time, abilities=abilities, now=now)
    for one, result in results:
        _end(one, result, now=now)
    _end_attempts([one for one, _ in results])
    _send_again(late, now=now)


def keep_measured(results: Results, *, now: datetime) -> None:
    """Keep what devices said of their power as they were asked, as readings like any other."""
    said = [
        DeviceReading(
            device_id=one.command.device_id,
            at=now,
            power_kw=result.measured.power_kw,
            state_of_charge_percent=result.measured.state_of_charge_percent,
        )
        for one, result in results
        if isinstance(result, Answer) and result.measured and result.measured.power_kw is not None
    ]
    if said:
        record_readings(said, now=now)


def note_answered(device_ids: Collection[int], *, now: datetime) -> None:
    """Note that devices spoke: their breakers close."""
    Device.objects.filter(pk__in=device_ids).update(
        is_online=True, last_seen_at=now, silent_tries=0, rests_until=None
    )


def _note_presence(results: Results, *, now: datetime) -> None:
    note_answered([one.command.device_id for one, result in results if _is_heard(result)], now=now)
    silent = [one.command.device_id for one, result in results if _is_silence(result)]
    if not silent:
        return
    open_from = When(
        silent_tries__gte=breaker.OPENS_AFTER - 1,
        then=Value(breaker.rests_until(silent_tries=breaker.OPENS_AFTER, now=now)),
    )
    Device.objects.filter(pk__in=silent).update(
        is_online=False, silent_tries=F("silent_tries") + 1, rests_until=Case(open_from)
    )


def _is_heard(result: Result) -> bool:
    return isinstance(result, Answer) or result.is_heard


def _is_silence(result: Result) -> bool:
    return _may_pass(result) and not _is_heard(result)


def _may_pass(result: Result) -> bool:
    return isinstance(result, DriverError) and not result.permanent


# Devices that hold a schedule: the device itself refuses what is older than what it has.


def _record_schedules(results: Results, *, now: datetime) -> None:
    answers = [(one, result) for one, result in results if isinstance(result, Answer) and result.is_accepted]
    accepted = [one for one, _ in answers]
    others = [
        (one, result) for one, result in results if isinstance(result, DriverError) or not result.is_accepted
    ]
    if accepted:
        acknowledge([one.command for one in accepted], detail="", now=now)
        CommandAttempt.objects.filter(pk__in=[one.attempt.pk for one in accepted if one.attempt]).update(
            outcome=AttemptOutcome.ACKNOWLEDGED, finished_at=now
        )
        _keep_read_back([(one.command, answer) for one, answer in answers], now=now)
    _record_others(others, now=now)


def _keep_read_back(accepted: Sequence[tuple[Command, Answer]], *, now: datetime) -> None:
    """Keep what devices that took a schedule were found to hold, or why that is not known."""
    told = [(command, answer) for command, answer in accepted if answer.proof or answer.detail]
    if not told:
        return
    for command, answer in told:
        command.detail, command.proof = answer.detail, answer.proof
        command.proven_at = now if answer.proof else None
    Command.objects.filter(state=CommandState.ACKNOWLEDGED).bulk_update(
        [command for command, _ in told], ["detail", "proof", "proven_at"]
    )


def acknowledge(commands: Sequence[Command], *, detail: str, now: datetime) -> None:
    """Close commands that their devices accepted, and let their schedules follow."""
    schedules = [command.schedule_id for command in commands]
    _schedules_acknowledged(schedules, now=now)
    Command.objects.filter(pk__in=[command.pk for command in commands], state__in=OPEN_COMMAND_STATES).update(
        state=CommandState.ACKNOWLEDGED,
        next_attempt_at=None,
        claimed_until=None,
        finished_at=now,
        detail=detail,
    )


def refuse(commands: Sequence[tuple[Command, str]], *, now: datetime) -> None:
    """Close commands that their devices refuse, each with the device's words; what stops them is tried on."""
    if not commands:
        return
    for command, detail in commands:
        _refused(command, Answer(is_accepted=False, detail=detail), now=now)
    _schedules_failed([command.schedule_id for command, _ in commands], now=now)
    Command.objects.filter(state__in=OPEN_COMMAND_STATES).bulk_update(
        [command for command, _ in commands], _MOVED
    )


def _record_others(results: Results, *, now: datetime) -> None:
    """Write the tries that were refused, or to which nothing was answered.

    Whoever lost the lease in the meantime moves no command: another worker has it now.
    """
    if not results:
        return
    owned = _owned(results)
    for one, result in results:
        _conclude(one, result, now=now)
    mine = [(one.command, result) for one, result in results if one.command.pk in owned]
    _schedules_failed([command.schedule_id for command, result in mine if not _may_pass(result)], now=now)
    store([command for command, _ in mine], _MOVED)
    _end_attempts([one for one, _ in results])


def _owned(results: Results) -> set[int]:
    """Return the ids of the commands that are still those tries' to move."""
    commands = Command.objects.filter(pk__in=[one.command.pk for one, _ in results])
    stored = {pk: rest for pk, *rest in commands.values_list("pk", "state", "claimed_until")}
    return {
        one.command.pk for one, _ in results if stored.get(one.command.pk) == [one.command.state, one.until]
    }


def _conclude(one: Try, result: Result, *, now: datetime) -> None:
    """Set on the values what a try that was not accepted means for the command and the attempt."""
    command = one.command
    _end(one, result, now=now)
    if _may_pass(result):
        command.claimed_until = None
        command.detail = _words(result)
        command.next_attempt_at = _again(command, result, tries=command.attempt_count, now=now)
    else:
        _refused(command, result, now=now)


def _refused(command: Command, result: Result, *, now: datetime) -> None:
    """A device that is to stop is told again, whatever it said: nobody else makes it."""
    _fail(command, detail=_words(result), now=now)
    if command.kind == CommandKind.CLEAR or command.is_restoring:
        command.finished_at = None
        command.next_attempt_at = _again(command, result, tries=command.attempt_count, now=now)


def _fail(command: Command, *, detail: str, now: datetime) -> None:
    command.state = CommandState.FAILED
    command.next_attempt_at = command.claimed_until = None
    command.finished_at = now
    command.detail = detail


def _again(command: Command, result: Result, *, tries: int, now: datetime) -> datetime:
    return retry.next_attempt_at(
        key=command.key,
        attempts_made=max(1, tries),
        now=now,
        expires_at=command.expires_at,
        pause_seconds=result.pause_seconds if isinstance(result, DriverError) else 0,
        is_patient=command.kind == CommandKind.CLEAR,
    )


def _words(result: Result) -> str:
    return result.detail if isinstance(result, Answer) else str(result)


# Devices that hold no schedule: whoever has the device's lease speaks for it, and nobody else.


def _record_set_points(results: Results, *, abilities: Capabilities, now: datetime) -> None:
    owned = _owned(results)
    mine = [(one, result) for one, result in results if one.command.pk in owned]
    was = {one.command.pk: (one.command.state, one.command.proof) for one, _ in mine}
    for one, result in mine:
        one.command.claimed_until = None
        if one.command.kind == CommandKind.CLEAR:
            _judge_normal(one.command, result, abilities=abilities, now=now)
        elif isinstance(result, Answer) and result.is_accepted:
            _judge_taken(one, result, abilities=abilities, now=now)
        else:
            _judge_not_taken(one, result, abilities=abilities, now=now)
    moved = [one.command for one, _ in mine]
    # A renewal confirms what stands; only what changes is told to the schedule.
    turned = [command for command in moved if command.state != was[command.pk][0]]
    _schedules_acknowledged(
        [one.schedule_id for one in turned if one.state == CommandState.ACKNOWLEDGED], now=now
    )
    _schedules_failed([one.schedule_id for one in turned if one.state == CommandState.FAILED], now=now)
    store(moved, _TOLD)
    store([command for command in moved if command.proof != was[command.pk][1]], ["proof"])
    _note_failed_renewals([(one, result) for one, result in mine if one.attempt is None], now=now)


def _judge_taken(one: Try, answer: Answer, *, abilities: Capabilities, now: datetime) -> None:
    command = one.command
    if one.attempt is None:
        command.renewed_at = now
    else:
        command.finished_at, command.renewed_at, command.detail = now, None, ""
    command.state = CommandState.ACKNOWLEDGED
    command.next_attempt_at = setpoints.renewed_at(
        lease_seconds=abilities.lease_seconds, ends_at=command.expires_at, now=now
    )
    if answer.proof:
        command.proof, command.proven_at = answer.proof, now
    if answer.found_changed:
        command.detail = CHANGED.format(answer.found_changed)


def _judge_not_taken(one: Try, result: Result, *, abilities: Capabilities, now: datetime) -> None:
    """A value that was not taken is tried again until its end, unless the device says no.

    While it is renewed it stays accepted for as long as it lasts on the device.
    """
    command = one.command
    if not _may_pass(result):
        _fail(command, detail=_words(result), now=now)
        return
    command.next_attempt_at = _again(command, result, tries=_tries_in_a_row(one, result), now=now)
    command.detail = _words(result)
    told_at = command.renewed_at or command.finished_at
    lease = abilities.lease_seconds
    if told_at and setpoints.has_lapsed(told_at=told_at, lease_seconds=lease, now=now):
        command.state = CommandState.FAILED
        command.detail = NORMAL_BY_ITSELF.format(lease, result)


def _tries_in_a_row(one: Try, result: Result) -> int:
    """Return how many tries have failed; those of a renewal count from the one that was answered last.

    Those that a device answered with what may pass are not counted, and are made as far apart as a third.
    """
    if one.attempt:
        return one.command.attempt_count
    return HEARD_COUNTS_AS if _is_heard(result) else one.command.device.silent_tries + 1


def _judge_normal(command: Command, result: Result, *, abilities: Capabilities, now: datetime) -> None:
    """Back to normal is told until the device was seen to be, or took it where it cannot be asked."""
    if isinstance(result, Answer) and result.is_accepted and (result.proof or not abilities.reads_back):
        command.state = CommandState.ACKNOWLEDGED
        command.next_attempt_at = None
        command.finished_at = now
        command.detail = CHANGED.format(result.found_changed) if result.found_changed else ""
        if result.proof:
            command.proof, command.proven_at = result.proof, now
        return
    is_taken = isinstance(result, Answer) and result.is_accepted
    if not is_taken and not _may_pass(result):
        command.state = CommandState.FAILED
    command.detail = NOT_PROVEN.format(_words(result)).strip() if is_taken else _words(result)
    command.next_attempt_at = _again(command, result, tries=command.attempt_count, now=now)


def _note_failed_renewals(results: Results, *, now: datetime) -> None:
    """Write attempts of the renewals that came to nothing; of those that did there is nothing to tell."""
    failed = [
        (one, result) for one, result in results if isinstance(result, DriverError) or not result.is_accepted
    ]
    if not failed:
        return
    CommandAttempt.objects.bulk_create(
        CommandAttempt(
            command=one.command,
            started_at=now,
            finished_at=now,
            outcome=_outcome(result),
            detail=_words(result),
        )
        for one, result in failed
    )
    Command.objects.filter(pk__in=[one.command.pk for one, _ in failed]).update(
        attempt_count=F("attempt_count") + 1
    )


def _send_again(device_ids: Collection[int], *, now: datetime) -> None:
    """Make due what devices are to do now, as a message that was late may have undone it.

    Whoever is sending it at this moment may have been overtaken as well, so that does not count.
    """
    if not device_ids:
        return
    current = Command.objects.filter(
        device_id__in=device_ids,
        schedule__version=F("device__schedule_version"),
        due_at__lte=now,
        expires_at__gt=now,
    )
    current = current.exclude(state=CommandState.FAILED, next_attempt_at__isnull=True)
    current.exclude(state__in=[CommandState.SUPERSEDED, CommandState.EXPIRED]).update(
        state=CommandState.PENDING,
        next_attempt_at=now,
        claimed_until=None,
        finished_at=None,
        renewed_at=None,
        detail=SENT_AGAIN,
    )


# What follows from a command's state.


def _schedules_acknowledged(schedule_ids: Collection[int], *, now: datetime) -> None:
    if schedule_ids:
        DeviceSchedule.objects.filter(pk__in=schedule_ids).update(
            state=ScheduleState.ACKNOWLEDGED, acknowledged_at=now
        )
        note_acknowledged(schedule_ids, now=now)


def _schedules_failed(schedule_ids: Collection[int], *, now: datetime) -> None:
    if schedule_ids:
        DeviceSchedule.objects.filter(pk__in=schedule_ids).update(state=ScheduleState.FAILED)
        note_failed(schedule_ids, now=now)


def _end(one: Try, result: Result, *, now: datetime) -> None:
    if one.attempt:
        one.attempt.finished_at = now
        one.attempt.detail = _words(result)
        one.attempt.outcome = _outcome(result)


def _outcome(result: Result) -> AttemptOutcome:
    if isinstance(result, DriverError):
        return AttemptOutcome.ERROR
    return AttemptOutcome.ACKNOWLEDGED if result.is_accepted else AttemptOutcome.REJECTED


def _end_attempts(tries: Sequence[Try]) -> None:
    store([one.attempt for one in tries if one.attempt], ["outcome", "finished_at", "detail"])


def store(rows: Sequence[Command] | Sequence[CommandAttempt], fields: Sequence[str]) -> None:
    """Write fields of rows: most share all they have, and one statement for those costs far less."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for row in rows:
        alike.setdefault(tuple(getattr(row, field) for field in fields), []).append(row.pk)
    if len(alike) > FEW:
        type(rows[0])._default_manager.bulk_update(rows, fields)  # type: ignore[arg-type]
        return
    for values, keys in alike.items():
        type(rows[0])._default_manager.filter(pk__in=keys).update(**dict(zip(fields, values, strict=True)))
