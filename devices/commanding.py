"""Stage: due commands → devices, one attempt row a try.

Reads and moves `Command`, writes `CommandAttempt`, and lets the schedule's state and whether the device
is online, or failing, follow. A command is claimed under a lease longer than any try (`devices.claiming`):
whoever dies while trying leaves an attempt STARTED and a lease that lapses, and the next run takes both up.
Drivers speak to devices side by side (`devices.lanes`); what came of it is written by `devices.outcomes`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Value, When

from devices import queue
from devices.claiming import claim, deliveries_for, lock_due
from devices.domain.reports import NEWEST_VERSION as NEWEST
from devices.drivers.base import Answer
from devices.failing import note_failed
from devices.lanes import Flow, Lane, Traffic
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
from devices.outcomes import (
    SENT_AGAIN,
    Results,
    acknowledge,
    keep_measured,
    note_answered,
    record,
    refuse,
    store,
)
from devices.queries import FIRST_TRY_TO_STOP, due_commands, lost_attempts, may_be_tried, may_leave

logger = logging.getLogger(__name__)

RUN_SECONDS: Final = 30
WORKER_SECONDS: Final = 55
RESTORING_SECONDS: Final = 15
EXPIRED_AT_ONCE: Final = 500
COMES_BACK_AFTER: Final = timedelta(seconds=5)
TOLD_AT_ONCE: Final = 5
TOLD_AGAIN_AFTER: Final = timedelta(seconds=30)
LOOKS_AGAIN_AFTER_SECONDS: Final = 0.2
HEARD_LATE: Final = "The device accepted it after the try had ended."
_IS_SILENT = Q(device__silent_tries__gt=0)
WHICH: Final = {
    Flow.STOPS: FIRST_TRY_TO_STOP & ~_IS_SILENT,
    Flow.USUAL: ~_IS_SILENT,
    Flow.SILENT: _IS_SILENT,
}


class RetryRefused(Exception):
    """The command cannot be tried again; the message says why."""


def run_due_commands(*, now: datetime) -> int:
    """Send every command that is due, each driver's beside the others', and return how many were tried.

    1. Close what others left behind: attempts of the dead, commands past their end.
    2. Send what is due, until nothing is due and nothing on its way; while that lasts, what becomes due is
    sent too. What stops devices leaves first.
    3. Record answers as they come, and send more in their place.
    Begins nothing after half a minute even if more is due, and no try that may last beyond a worker's time
    limit; what is left is woken again. Time passes within the run: later commands count from `now` too.
    """
    _close_lost_attempts(now=now)
    while _expire(now=now) == EXPIRED_AT_ONCE:
        pass
    return _Run(began_at=now).finish()


class _Run:
    """One run of what is due: all that touches the database, in one thread."""

    def __init__(self, *, began_at: datetime) -> None:
        self._began_at = began_at
        self._began = time.monotonic()
        self._traffic = Traffic()
        self._tried = 0
        self._due: dict[tuple[str, Flow], int] = {}
        self._looked_at = -LOOKS_AGAIN_AFTER_SECONDS

    def finish(self) -> int:
        """Send and record until there is nothing to do; return how many commands were tried."""
        while True:
            started = self._start_due() if self._passed < RUN_SECONDS else 0
            if not started and not self._traffic.is_under_way:
                return self._tried
            arrived = self._traffic.arrived(within_seconds=0 if started else LOOKS_AGAIN_AFTER_SECONDS)
            for lane, results in arrived.items():
                self._record(lane, results)

    @property
    def _passed(self) -> float:
        return time.monotonic() - self._began

    @property
    def _now(self) -> datetime:
        return self._began_at + timedelta(seconds=self._passed)

    def _record(self, lane: Lane, results: Results) -> None:
        record(results, abilities=lane.abilities, now=self._now)
        keep_measured(results, now=self._now)

    def _start_due(self) -> int:
        """Start what is due and return how much that was."""
        is_old = self._passed - self._looked_at >= LOOKS_AGAIN_AFTER_SECONDS
        if is_old:
            self._look()
        started = self._start_known()
        if started or is_old or self._traffic.is_under_way:
            return started
        self._look()  # before it is said that nothing is left
        return self._start_known()

    def _start_known(self) -> int:
        """Start what is known to be due; for a quarter of a minute, what stops devices alone if any."""
        if self._passed < RESTORING_SECONDS and (started := self._start_all(Flow.STOPS)):
            return started
        return self._start_all(Flow.USUAL) + self._start_all(Flow.SILENT)

    def _start_all(self, flow: Flow) -> int:
        names = [name for (name, kind), count in self._due.items() if kind is flow and count]
        return sum(self._start(name, flow) for name in names)

    def _look(self) -> None:
        """Count what is due; while answers come in often, that is known well enough from what was started."""
        self._looked_at = self._passed
        due = due_commands(now=self._now).filter(may_be_tried(now=self._now)).order_by()
        counts = {flow.value: Count("pk", filter=which) for flow, which in WHICH.items()}
        rows = due.values("device__driver").annotate(**counts).values_list("device__driver", *counts)
        self._due = {
            (name, flow): count for name, *each in rows for flow, count in zip(WHICH, each, strict=True)
        }

    def _start(self, driver_name: str, flow: Flow) -> int:
        """Claim what a lane has room for, and send it on its way."""
        lane = self._traffic.lane(driver_name)
        limit = lane.free(flow)
        is_too_late = self._passed + lane.lease.total_seconds() > WORKER_SECONDS
        if limit <= 0 or is_too_late or not lane.is_worth_filling(flow):
            return 0
        now = self._now
        tries = claim(
            WHICH[flow],
            driver_name=driver_name,
            abilities=lane.abilities,
            lease=lane.lease,
            limit=limit,
            now=now,
        )
        left = self._due[driver_name, flow] - len(tries)
        self._due[driver_name, flow] = left if len(tries) == limit else 0
        if not tries:
            return 0
        deliveries = deliveries_for(tries, abilities=lane.abilities, now=now)
        self._tried += len(tries)
        if lane.is_inline:
            results = [(tries[position], result) for position, result in lane.carry_inline(deliveries)]
            self._record(lane, results)
        else:
            self._traffic.send(lane, flow, tries, deliveries)
        logger.info("Commands tried: %s by %s", len(tries), driver_name)
        return len(tries)


def retry_command(*, command_id: int, now: datetime) -> None:
    """Try a command again at once, as an operator asks.

    Raises:
        RetryRefused: it was accepted, replaced, is past its end or not due yet, or would start a
            device that is withheld.
        Command.DoesNotExist: no such command.
    """
    if not retry_commands(command_ids=[command_id], now=now):
        command = Command.objects.select_related("schedule").get(pk=command_id)
        raise RetryRefused(_why_no_retry(command, now=now))


@transaction.atomic
def retry_commands(*, command_ids: Collection[int], now: datetime) -> int:
    """Try commands again at once, those of them that may be, and return how many. Two statements."""
    current = DeviceSchedule.objects.filter(superseded_at__isnull=True)
    # Not by a join: the state must be looked at again after waiting for whoever supersedes a command.
    wanted = Command.objects.filter(
        may_leave(now=now),
        pk__in=command_ids,
        state__in=OPEN_COMMAND_STATES,
        due_at__lte=now,
        expires_at__gt=now,
        schedule__in=current,
    )
    Device.objects.filter(pk__in=wanted.values("device")).update(rests_until=None)
    changed = wanted.update(state=CommandState.PENDING, next_attempt_at=now, finished_at=None)
    if changed:
        queue.wake_commands()
    return changed


@transaction.atomic
def hear_answers(answers: Mapping[tuple[str, int], Answer], *, driver_name: str, now: datetime) -> int:
    """Write what devices of a driver answered by themselves: `{(external id, version): answer}`.

    The rules are those of an answer within a try: accepted, the open command is acknowledged; refused, it
    has failed. Only an answer to the current version counts, and only if that was sent: what a device says
    of an older one, or of one it cannot know, moves nothing. But one whose last word is that it took an older
    version follows that now, as after a restart, and is told the newest again. Returns how many commands
    were answered.
    """
    taken = {name: version for (name, version), answer in answers.items() if answer.is_accepted}
    names = {external_id for external_id, _ in answers}
    rows = Device.objects.select_for_update(no_key=True).filter(driver=driver_name, external_id__in=names)
    devices = list(rows.order_by("pk"))
    heard = {
        device.pk: answers[key]
        for device in devices
        if (key := (device.external_id, device.schedule_version)) in answers
    }
    _tell_again(
        [each.pk for each in devices if taken.get(each.external_id, NEWEST) < each.schedule_version], now=now
    )
    commands = Command.objects.filter(
        device_id__in=heard,
        state__in=OPEN_COMMAND_STATES,
        attempt_count__gt=0,
        schedule__version=F("device__schedule_version"),
    )
    found = [(command, heard[command.device_id]) for command in commands]
    note_answered(list(heard), now=now)
    for is_late, detail in ((False, ""), (True, HEARD_LATE)):
        accepted = [command for command, answer in found if answer.is_accepted]
        if some := [command for command in accepted if _is_between_tries(command, now=now) is is_late]:
            acknowledge(some, detail=detail, now=now)
    refuse([(command, answer.detail) for command, answer in found if not answer.is_accepted], now=now)
    return len(found)


def _tell_again(device_ids: Collection[int], *, now: datetime) -> None:
    """Make due once more what devices took before they took something older; not for ever at once."""
    if not device_ids:
        return
    current = Command.objects.filter(
        device_id__in=device_ids,
        state=CommandState.ACKNOWLEDGED,
        schedule__version=F("device__schedule_version"),
        due_at__lte=now,
        expires_at__gt=now,
    )
    few = When(attempt_count__lt=TOLD_AT_ONCE, then=Value(now))
    if current.update(
        state=CommandState.PENDING,
        next_attempt_at=Case(few, default=Value(now + TOLD_AGAIN_AFTER)),
        finished_at=None,
        detail=SENT_AGAIN,
    ):
        queue.wake_commands()


def try_at_once(device_ids: Collection[int], *, now: datetime) -> int:
    """Make due what waits for devices that have come back, and return how much. Two statements.

    One that was tried just before waits a little even so: a device that comes and goes all day is not tried
    all day. Call inside a transaction that holds the devices.
    """
    Device.objects.filter(pk__in=device_ids, rests_until__isnull=False).update(rests_until=None)
    soon = now + COMES_BACK_AFTER
    waiting = Command.objects.filter(
        Q(claimed_until__isnull=True) | Q(claimed_until__lte=now),
        device_id__in=device_ids,
        state__in=OPEN_COMMAND_STATES,
        due_at__lte=now,
        next_attempt_at__gt=soon,
    )
    tried = CommandAttempt.objects.filter(command=OuterRef("pk"), started_at__gt=now - COMES_BACK_AFTER)
    changed = waiting.update(next_attempt_at=Case(When(Exists(tried), then=Value(soon)), default=Value(now)))
    if changed:
        queue.wake_commands()
    return changed


def _is_between_tries(command: Command, *, now: datetime) -> bool:
    return command.claimed_until is None or command.claimed_until <= now


def _why_no_retry(command: Command, *, now: datetime) -> str:
    if command.state == CommandState.ACKNOWLEDGED:
        return "The device has accepted this command."
    if command.state == CommandState.SUPERSEDED or command.schedule.superseded_at:
        return "A newer schedule took this command's place."
    if command.due_at > now:
        return f"This command is due at {command.due_at:%H:%M:%S}Z, and leaves then by itself."
    if command.device.withheld.exists():
        return "This device is kept still until its new schedule is made, within seconds."
    return "This command is past its end."


def _close_lost_attempts(*, now: datetime) -> None:
    lost_attempts(now=now).update(
        outcome=AttemptOutcome.LOST,
        finished_at=now,
        detail="Whoever tried stopped before the answer was written.",
    )


@transaction.atomic
def _expire(*, now: datetime) -> int:
    """Close commands that are past their end, keeping the reason of the last try; return how many there were.

    What was accepted stays so, and is renewed no more. No more than a portion: a fleet whose broker was away
    expires all at once, and must not take longer than a worker may work.
    """
    commands = lock_due(Q(), now=now, limit=EXPIRED_AT_ONCE, expires_at__lte=now)
    lost = [command for command in commands if command.state in OPEN_COMMAND_STATES]
    for command in commands:
        command.next_attempt_at = command.claimed_until = None
    for command in lost:
        command.detail = _why_expired(command)
        command.state = CommandState.EXPIRED
        command.finished_at = now
    schedules = DeviceSchedule.objects.filter(pk__in=[command.schedule_id for command in lost])
    if lost:
        schedules.update(state=ScheduleState.FAILED)
        note_failed([command.schedule_id for command in lost if command.attempt_count], now=now)
    store(commands, ["state", "next_attempt_at", "claimed_until", "finished_at", "detail"])
    return len(commands)


def _why_expired(command: Command) -> str:
    if not command.attempt_count:
        void = f"{command.expires_at:%H:%M:%S}Z"
        return f"Too late to be worth sending: it was void at {void}, and could not be sent in time."
    if command.kind == CommandKind.CLEAR:
        return f"Not proven to be back to normal, and tried no more. {command.detail}"
    return f"Past its end before the device accepted it. {command.detail}"
