"""What may be done to the simulator's meters by a scenario's step or by hand, in the same words.

A meter is named by Leap's id or its partner reference, a group by its id, its name, or a new name.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from leapvpp.leap.simulator.fleet import ACTIONS, action, made
from leapvpp.leap.simulator.meters import Meter, MeterBook
from leapvpp.leap.simulator.words import parse_offset, recipient_id

MeterAction = Literal[
    "create",
    "regroup",
    "archive",
    "idle",
    "participate",
    "disenroll",
    "require",
    "clear_actions",
    "status",
    "remove",
]
METER_ACTIONS: frozenset[str] = frozenset(get_args(MeterAction))
GLOBAL_STATUSES = ("ACTIVE", "ELIGIBLE", "INELIGIBLE", "NOT_PARTICIPATING", "PENDING")


class ActError(ValueError):
    """Something that cannot be done to these meters, with the reason."""


class OnMeters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which meters, and what else there is to say.

    ``lasts``: of idle, how long; without an end if 0s. ``deadline``: of require, how long from now.
    ``count``: of create, how many without a name.
    """

    meters: tuple[str, ...] = ()
    group: str = ""
    program: str = ""
    status: str = ""
    action: str = "NO_MISSING_FIELDS"
    deadline: str = "14d"
    lasts: str = "0s"
    count: int = 0


class Act(OnMeters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One act by hand."""

    do: MeterAction


def check(do: str, told: OnMeters) -> None:
    """Raise ``ValueError`` for words that make no sense whatever meters there are."""
    for offset in (told.deadline, told.lasts):
        parse_offset(offset)
    if not told.meters and not (do == "create" and told.count):
        raise ValueError(f"{do}: name the meters it is about")
    if not 0 <= told.count <= 100_000:
        raise ValueError("count is between 0 and 100000")
    if do == "regroup" and not told.group:
        raise ValueError("regroup: name the group")
    if do == "status" and told.status not in GLOBAL_STATUSES:
        raise ValueError(f"status: it is one of {', '.join(GLOBAL_STATUSES)}")


def perform(book: MeterBook, do: str, told: OnMeters, *, now: datetime) -> tuple[str, ...]:
    """Do it and return the ids of the meters it was done to. Raises ``ActError``; then nothing was done."""
    try:
        check(do, told)
        if do == "create":
            return _create(book, told, now=now)
        meter_ids = tuple(dict.fromkeys(book.find(name) for name in told.meters))
        _ACTS[do](book, meter_ids, told, now)
    except KeyError as error:
        raise ActError(f"Leap has no meter {error.args[0]!r}") from error
    except ValueError as error:
        raise ActError(str(error)) from error
    return meter_ids


def _create(book: MeterBook, told: OnMeters, *, now: datetime) -> tuple[str, ...]:
    """Add meters by name and by number, in a group of one of their programs if one is named."""
    group = book.group(told.group) if told.group else None
    program = told.program or (min(group.programs) if group and group.programs else "")
    numbers = book.take_numbers(len(told.meters) + told.count)
    meters = [
        made(number, now=now, program=program, is_plain=place < len(told.meters))
        for place, number in enumerate(numbers)
    ]
    for name, meter in zip(told.meters, meters, strict=False):
        meter.update(meter_id=recipient_id(name), partner_reference=name)
    if group:
        for meter in meters:
            current, *others = meter["program_enrollment"]
            meter["program_enrollment"] = [{**current, **group.fields}, *others]
    book.put(*meters, now=now)
    return tuple(str(meter["meter_id"]) for meter in meters)


def _regroup(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    group = book.group(told.group)
    book.regroup(meter_ids, market_group_id=group.market_group_id, name=group.name, now=now)


def _archive(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    book.edit(meter_ids, lambda _: {"is_archived": True}, now=now)


def _idle(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    lasts = parse_offset(told.lasts)
    book.prefer(meter_ids, "IDLE", since=now, until=now + lasts if lasts else None, now=now)


def _participate(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    book.prefer(meter_ids, "PARTICIPATE", since=now, now=now)


def _disenroll(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    book.prefer(meter_ids, "DISENROLL", since=now, now=now)


def _require(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    """Ask for something before the latest period of a program, for which the meter is ineligible then."""
    code, description = ACTIONS.get(told.action, ("SERV_0002", told.action.replace("_", " ").capitalize()))

    def required(meter: Meter) -> Mapping[str, object]:
        programs = meter["program_enrollment"]
        period = programs[_latest(programs, program=told.program)]
        wanted = action(
            period["program_identifier"],
            period["delivery_period"],
            deadline=now + parse_offset(told.deadline),
            action_type=told.action,
            code=code,
            description=description,
        )
        actions = meter["required_actions"]
        others = [each for each in actions.get("partner", ()) if not _is_same(each, wanted)]
        return {
            "required_actions": {**actions, "partner": [*others, wanted]},
            "program_enrollment": [
                {**each, "enrollment_status": "INELIGIBLE"} if each is period else each for each in programs
            ],
        }

    book.edit(meter_ids, required, now=now)


def _clear_actions(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    """Have nothing more to be done by the partner; the periods in question become eligible."""

    def cleared(meter: Meter) -> Mapping[str, object]:
        actions = meter["required_actions"].get("partner", ())
        done = {
            (each["program_identifier"], each["delivery_period"])
            for each in actions
            if told.program in {"", each["program_identifier"]}
        }
        return {
            "required_actions": {
                **meter["required_actions"],
                "partner": [each for each in actions if _period_of(each) not in done],
            },
            "program_enrollment": [
                {**each, "enrollment_status": "ELIGIBLE"}
                if _period_of(each) in done and each["enrollment_status"] == "INELIGIBLE"
                else each
                for each in meter["program_enrollment"]
            ],
        }

    book.edit(meter_ids, cleared, now=now)


def _status(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    book.edit(meter_ids, lambda _: {"global_enrollment_status": told.status}, now=now)


def _remove(book: MeterBook, meter_ids: tuple[str, ...], told: OnMeters, now: datetime) -> None:
    book.remove(*meter_ids)


_ACTS: Mapping[str, Callable[[MeterBook, tuple[str, ...], OnMeters, datetime], None]] = {
    "regroup": _regroup,
    "archive": _archive,
    "idle": _idle,
    "participate": _participate,
    "disenroll": _disenroll,
    "require": _require,
    "clear_actions": _clear_actions,
    "status": _status,
    "remove": _remove,
}


def _latest(programs: list[dict[str, Any]], *, program: str) -> int:
    """Return the place of a program's latest period. Raises ``ValueError`` when the meter is not in it."""
    found = [
        (each["delivery_period_start_date_time"], place)
        for place, each in enumerate(programs)
        if program in {"", each["program_identifier"]}
    ]
    if not found:
        raise ValueError(f"one of the meters is not in {program or 'any program'}")
    return max(found)[1]


def _period_of(said: Mapping[str, Any]) -> tuple[str, str]:
    return said["program_identifier"], said["delivery_period"]


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _period_of(one) == _period_of(other) and one["action_type"] == other["action_type"]
