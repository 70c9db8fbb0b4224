"""Of which required actions people are reminded, when, and in which words.

One message a day at most, about what has come within 14, 7 or 2 days of its deadline since the last one.
Power is kW, times are UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final

from devices.domain.wording import clock, kw, one_line
from meters.domain.action_words import advice_on
from meters.domain.actions import Group, Key, digest_of, rank, reminded_days

REMINDED_FROM: Final = time(14)
"""UTC; the morning of a working day all over North America, so that nobody is woken."""
MOST_LINES: Final = 10
LONGEST_SUBJECT: Final = 200
LONGEST_LINE: Final = 600

Owners = Mapping[str, int]
"""How many actions of a group somebody has, by name; "" for nobody."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """A group of which people are reminded as its deadline is within `days` days."""

    group: Group
    deadline_at: datetime
    digest: str
    days: int


def is_time(*, latest: datetime | None, now: datetime) -> bool:
    """Say whether today's message may be written: not before the morning, and once a day."""
    today = now.astimezone(UTC)
    is_written = latest is not None and latest.astimezone(UTC).date() >= today.date()
    return today.time() >= REMINDED_FROM and not is_written


def due_reminders(
    groups: Sequence[Group], *, sent: Collection[tuple[str, int]], now: datetime
) -> tuple[Reminder, ...]:
    """Return what people were not reminded of yet so near its deadline, in the order of the work list.

    `sent`: of which groups, by their digest, within how many days.
    """
    found = []
    for one in rank(groups, now=now):
        deadline_at = one.group.key.deadline_at
        if deadline_at is None or (days := reminded_days(deadline_at, now=now)) is None:
            continue
        digest = digest_of(one.group.key)
        if (digest, days) not in sent:
            found.append(Reminder(one.group, deadline_at, digest, days))
    return tuple(found)


def subject_of(reminders: Sequence[Reminder]) -> str:
    """Return the head of a message."""
    first = min(one.deadline_at for one in reminders)
    if len(reminders) == 1:
        group = reminders[0].group
        what = f"{advice_on(group.key.action_type).title}, {_meters(group)}"
        return one_line(f"Required action due by {_day(first)}: {what}", longest=LONGEST_SUBJECT)
    return f"{len(reminders):,} required actions due, the first by {_day(first)}"


def text_of(reminders: Sequence[Reminder], owners: Mapping[Key, Owners]) -> str:
    """Return a message: the first groups with who has them, and how many more there are."""
    lines = [_line(one, owners.get(one.group.key, {})) for one in reminders[:MOST_LINES]]
    more = len(reminders) - len(lines)
    ends = [f"and {more:,} more."] if more else []
    return "\n".join([subject_of(reminders), *lines, *ends, "See Required actions in the portal."])


def _line(one: Reminder, owners: Owners) -> str:
    group, key = one.group, one.group.key
    by = f"By {_day(one.deadline_at)} {clock(one.deadline_at)}"
    what = f"{advice_on(key.action_type).title} for {key.program} {key.delivery_period}".strip()
    line = f"{by}: {what}: {_meters(group)}, {_power(group)}. {_whose(owners)}"
    return one_line(line, longest=LONGEST_LINE)


def _meters(group: Group) -> str:
    return f"{group.meters:,} meter{'' if group.meters == 1 else 's'}"


def _power(group: Group) -> str:
    if group.unknown == group.meters:
        return "power not known"
    if group.alone_kw == group.total_kw:
        return kw(group.total_kw)
    return f"{kw(group.alone_kw)} by this alone, {kw(group.total_kw)} with what else they wait for"


def _whose(owners: Owners) -> str:
    """Say who has them, the most first.

    >>> _whose({"": 2, "Ada Lane": 40})
    'Owners: Ada Lane 40, nobody 2.'
    """
    named = sorted(owners.items(), key=lambda one: (-one[1], one[0]))
    if not any(name for name, _ in named):
        return "Owner: nobody."
    shown = [f"{name or 'nobody'} {count:,}" for name, count in named]
    return f"Owners: {', '.join(shown)}."


def _day(moment: datetime) -> str:
    local = moment.astimezone(UTC)
    return f"{local:%a} {local.day} {local:%b}"
