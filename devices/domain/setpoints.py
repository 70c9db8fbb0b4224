"""What a device that holds no schedule is told of one: a value at each begin, and normal at each end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from devices.domain.commands import RESTORING_FOR, Held
from devices.domain.schedule import Mode, Segment, as_z, touching

RENEWALS_PER_LEASE: Final = 3


@dataclass(frozen=True, slots=True)
class Errand:
    """What a device is told at `due_at`, and what is worth telling until `expires_at`.

    `starts_at`: the beginning of the segment whose value it is; None for the return to normal. `name` tells
    the errands of one schedule apart. `is_restoring`: it stops a device that may run.
    """

    name: str
    starts_at: datetime | None
    due_at: datetime
    expires_at: datetime
    is_restoring: bool


def errands_for(*, desired: Sequence[Segment], held: Held, now: datetime) -> tuple[Errand, ...]:
    """Return what a device without a schedule of its own is told of `desired`, in order of time.

    Segments under way are told at once, for what remains of them. Where a run (segments that touch) ends
    the device is told to be normal, and again and again for a day, or until the next run begins; at once
    where it may do something now and is to do nothing, and where nothing is left to do at all.
    No two of them are worth telling at the same time. Such a device neither prepares nor recovers, and takes
    its power without a ramp.
    """
    runs = touching([segment for segment in desired if segment.end > now])
    begins = [run[0].start for run in runs]
    told: list[Errand] = []
    may_move = _may_move(held, now=now)
    if not runs or (may_move and begins[0] > now):
        told.append(_normal("CLEAR", at=now, before=begins, is_restoring=may_move))
    for run in runs:
        told += [
            Errand(
                name=f"SETPOINT:{as_z(segment.start)}",
                starts_at=segment.start,
                due_at=max(segment.start, now),
                expires_at=segment.end,
                is_restoring=False,
            )
            for segment in run
        ]
        end = run[-1].end
        later = [begin for begin in begins if begin > end]
        told.append(_normal(f"CLEAR:{as_z(end)}", at=end, before=later, is_restoring=True))
    return tuple(told)


def _normal(name: str, *, at: datetime, before: Sequence[datetime], is_restoring: bool) -> Errand:
    return Errand(
        name=name,
        starts_at=None,
        due_at=at,
        expires_at=min([at + RESTORING_FOR, *before]),
        is_restoring=is_restoring,
    )


def _may_move(held: Held, *, now: datetime) -> bool:
    """Say whether the device may follow a value now; one that has it idle is a value as well."""
    is_unsure = held.unanswered_until is not None and now < held.unanswered_until
    return is_unsure or any(each.start <= now < each.end for each in held.remaining)


def lasts_until(segments: Sequence[Segment], *, ends_at: datetime) -> datetime:
    """Return until when a value whose segment ends then may last: to the end of what touches it and does
    something, so that the device does not go to normal and back before it is told the next value."""
    for segment in segments:
        if segment.start == ends_at and segment.mode is not Mode.IDLE:
            ends_at = segment.end
    return ends_at


def lapses_at(
    *, lease_seconds: int | None, ends_at: datetime, run_ends_at: datetime, now: datetime
) -> datetime:
    """Return when a value that is told now lapses by itself: at its run's end, or with the lease.

    Without a lease it lapses with its own segment: a portal that is gone by then tells no other value.
    """
    if lease_seconds is None:
        return ends_at
    return min(now + timedelta(seconds=lease_seconds), run_ends_at)


def renewed_at(*, lease_seconds: int | None, ends_at: datetime, now: datetime) -> datetime | None:
    """Return when a value that was told now is told again; None if its segment is over by then.

    A value of which less than the lease is left is renewed as well: more may follow that touches it.
    """
    if lease_seconds is None:
        return None
    again = now + timedelta(seconds=lease_seconds / RENEWALS_PER_LEASE)
    return again if again < ends_at else None


def has_lapsed(*, told_at: datetime | None, lease_seconds: int | None, now: datetime) -> bool:
    """Say whether a value that was last told then has lapsed on the device."""
    if told_at is None:
        return True
    return lease_seconds is not None and now >= told_at + timedelta(seconds=lease_seconds)
