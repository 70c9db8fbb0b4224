"""Scenario files: what Leap asks and changes, and when, as a short TOML text.

Times are offsets such as ``1h30m`` or ``-5m`` from the start of the play. ``docs/leap-simulator.md``
explains every field.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid5
from zoneinfo import ZoneInfo

import msgspec

from leapvpp.leap.simulator.acts import METER_ACTIONS, MeterAction, OnMeters, check
from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.pusher import Faults
from leapvpp.leap.simulator.words import NAMESPACE, parse_offset, recipient_id
from leapvpp.leap.values import Level, Timeslot

T = TypeVar("T")
SCENARIO_FOLDER = Path(__file__).parent / "scenarios"
FLEET_FOLDER = SCENARIO_FOLDER / "fleet"

Action = Literal["issue", "update", "end_early", "cancel", "reinstate", "repeat", "integration_test", "away"]


class ScenarioError(ValueError):
    """A scenario file that cannot be played, with the reason."""


class EventSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event as a scenario words it; ``meter`` makes it meter level, ``group`` group level."""

    name: str
    start: str
    end: str
    programs: tuple[str, ...]
    priority: int
    meter: str | None = None
    group: str | None = None
    meters: tuple[str, ...] = ()
    energy_kw: float | Literal["maximum"] = "maximum"
    nomination_kw: float | None = None
    cap: str = "up-to-nomination"
    voluntary: bool = False
    types: tuple[str, ...] = ("standard",)
    communication_test: bool = False

    def __post_init__(self) -> None:
        if (self.meter is None) == (self.group is None):
            raise ValueError(f"event {self.name}: give either a meter or a group")
        if parse_offset(self.start) >= parse_offset(self.end):
            raise ValueError(f"event {self.name}: it must end after it starts")

    @property
    def level(self) -> Level:
        return Level.GROUP if self.group else Level.METER


class Step(OnMeters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens at one moment: ``do`` to ``events``, with what changes in ``set``, or to ``meters``."""

    at: str
    do: Action | MeterAction
    events: tuple[str, ...] = ()
    changes: dict[str, object] = msgspec.field(name="set", default_factory=dict)
    lost: bool = False
    twice: bool = False
    late: str = "0s"

    def __post_init__(self) -> None:
        for offset in (self.at, self.late, self.lasts):
            parse_offset(offset)
        if bool(self.changes) != (self.do in {"update", "end_early"}):
            raise ValueError(f"step at {self.at}: 'set' belongs to update and end_early, and only there")
        if self.do == "end_early" and set(self.changes) != {"end"}:
            raise ValueError(f"step at {self.at}: end_early sets the end and nothing else")
        if self.is_about_meters:
            check(self.do, self)
        if bool(self.events) == (self.do == "away" or self.is_about_meters):
            raise ValueError(f"step at {self.at}: name the events it is about, and only if it is about any")

    @property
    def is_about_meters(self) -> bool:
        return self.do in METER_ACTIONS


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One story of events and steps. ``anchor`` may place the events on a night of clock change.

    ``unconfirmed`` names the events that a receiver of the notifications alone cannot be sure of.
    """

    title: str
    story: str
    steps: tuple[Step, ...]
    events: tuple[EventSpec, ...] = ()
    anchor: Literal["start", "clock-change"] = "start"
    timezone: str = "UTC"
    faults: Faults = Faults()
    unconfirmed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = [event.name for event in self.events]
        if len(set(known)) != len(known):
            raise ValueError("two events have the same name")
        used = {name for step in self.steps for name in step.events}.union(self.unconfirmed)
        if unknown := used.difference(known):
            raise ValueError(f"it names unknown events: {', '.join(sorted(unknown))}")
        moments = [parse_offset(step.at) for step in self.steps]
        if not moments or moments != sorted(moments):
            raise ValueError("there must be steps, in the order of their times")
        ZoneInfo(self.timezone)

    @property
    def length(self) -> timedelta:
        """The time from the start to the last step."""
        return parse_offset(self.steps[-1].at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Turns offsets into moments; all are divided by ``speed``.

    Events on a night of clock change stay on that night, unscaled.
    """

    start: datetime
    speed: float
    night: datetime | None = None

    def step_time(self, offset: str) -> datetime:
        return self.start + parse_offset(offset) / self.speed

    def event_time(self, offset: str) -> datetime:
        if self.night is not None:
            return self.night + parse_offset(offset)
        moment = self.step_time(offset).astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Play:
    """One play of a scenario: keeps the state of its events while steps change them."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        start: datetime,
        speed: float = 1.0,
        recipients: Mapping[str, str] | None = None,
    ) -> None:
        """``recipients`` gives Leap's ids to the scenario's names of meters and groups."""
        night = None
        if scenario.anchor == "clock-change":
            night = next_clock_change(zone=ZoneInfo(scenario.timezone), after=start)
        self.timeline = Timeline(start=start, speed=speed, night=night)
        self.scenario = scenario
        self._recipients = dict(recipients or {})
        self._specs = {event.name: event for event in scenario.events}
        self._cancelled: set[str] = set()

    def event_id(self, name: str) -> str:
        """Return the event's Leap id: the same for the same scenario and start."""
        return str(uuid5(NAMESPACE, f"{self.scenario.title}|{name}|{self.timeline.start.isoformat()}"))

    def recipient_id(self, name: str) -> str:
        """Return Leap's id of a meter or group of the scenario."""
        return self._recipients.get(name) or recipient_id(name)

    def on_meters(self, step: Step) -> Step:
        """Return a step about meters with Leap's ids for the names that were given ids."""
        return msgspec.structs.replace(
            step,
            meters=tuple(self._recipients.get(name, name) for name in step.meters),
            group=self._recipients.get(step.group, step.group),
        )

    def apply(self, step: Step) -> tuple[LedgerEvent, ...]:
        """Change the step's events and return them as they now are."""
        for name in step.events:
            if step.changes:
                fields = msgspec.structs.asdict(self._specs[name]) | step.changes
                self._specs[name] = _convert(fields, EventSpec)
            if step.do == "cancel":
                self._cancelled.add(name)
            elif step.do == "reinstate":
                self._cancelled.discard(name)
        return tuple(self._as_event(name) for name in step.events)

    def _as_event(self, name: str) -> LedgerEvent:
        spec = self._specs[name]
        recipient = spec.group or spec.meter or ""
        meters = spec.meters if spec.group else (recipient,)
        timeslot = Timeslot(
            meter_event_id=self.event_id(name) if spec.level is Level.METER else None,
            market_group_event_id=self.event_id(name) if spec.level is Level.GROUP else None,
            start_time=self.timeline.event_time(spec.start),
            end_time=self.timeline.event_time(spec.end),
            cancelled=name in self._cancelled,
            energy_kw=None if spec.energy_kw == "maximum" else Decimal(str(spec.energy_kw)),
            nomination_kw=None if spec.nomination_kw is None else Decimal(str(spec.nomination_kw)),
            performance_compensation_cap=spec.cap,
            priority=spec.priority,
            is_voluntary=spec.voluntary,
            dispatch_event_types=spec.types,
            programs=spec.programs,
            communication_test=spec.communication_test,
        )
        return LedgerEvent(
            level=spec.level,
            recipient_id=self.recipient_id(recipient),
            meter_ids=tuple(self.recipient_id(meter) for meter in meters),
            partner_references=meters,
            timeslot=timeslot,
        )


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises ``ScenarioError`` that names the file and what is wrong."""
    try:
        return _convert(tomllib.loads(path.read_text(encoding="utf-8")), Scenario)
    except (ScenarioError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: {error}") from error


def find_scenario(name: str) -> Scenario:
    """Load a scenario by the name of a file that comes with the simulator, or by path."""
    known = scenario_paths() | fleet_paths()
    path = known.get(name) or Path(name)
    if not path.is_file():
        raise ScenarioError(f"no scenario {name!r}; there are: {', '.join(known)}")
    return load_scenario(path)


def scenario_paths() -> dict[str, Path]:
    """Return the scenarios of dispatches that come with the simulator, by name."""
    return {path.stem: path for path in sorted(SCENARIO_FOLDER.glob("*.toml"))}


def fleet_paths() -> dict[str, Path]:
    """Return the scenarios about meters that come with the simulator, by name."""
    return {path.stem: path for path in sorted(FLEET_FOLDER.glob("*.toml"))}


def next_clock_change(*, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the UTC moment of the local midnight before the zone's next change of clocks.

    Raises ``ScenarioError`` for a zone that changes none within 400 days.
    """
    first = after.astimezone(zone).date() + timedelta(days=1)
    for day in (first + timedelta(days=number) for number in range(400)):
        midnight = _midnight(day, zone=zone)
        if midnight.utcoffset() != _midnight(day + timedelta(days=1), zone=zone).utcoffset():
            return midnight.astimezone(UTC)
    raise ScenarioError(f"the clocks of {zone.key} do not change")


def _midnight(day: date, *, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


def _convert(content: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise ScenarioError(str(error)) from error
