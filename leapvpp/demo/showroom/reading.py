"""What the pages of the scenarios show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from devices.models import Device, ScheduleSegment, SegmentMode
from dispatch.models import DispatchEvent
from dispatch.policy_models import ResponsePolicy
from dispatch.reading.device_lanes import DeviceLanes, read_lanes
from dispatch.reading.words import programs
from dispatch.terms import nearest_policies
from dispatch.unserved import undone_by
from leapvpp.demo.showroom.rooms import BY_KEY
from leapvpp.demo.showroom.scenarios import SCENARIOS, Scenario
from leapvpp.models import ResultState, ScenarioPlay

STRATEGIES: Final = {
    "A": "Respond to all",
    "B": "Limits",
    "C": "Storage",
    "D": "Voluntary events",
    "": "Holds and shares",
}
VERDICTS: Final = {
    ResultState.WAITING: ("plain", "Waits for its turn"),
    ResultState.PLAYING: ("warn", "Plays"),
    ResultState.PASSED: ("ok", "As expected"),
    ResultState.FAILED: ("bad", "Not as expected"),
    ResultState.SKIPPED: ("warn", "Broken off"),
}
OPEN: Final = (ResultState.WAITING, ResultState.PLAYING)
AROUND: Final = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Card:
    """A scenario with its latest play."""

    scenario: Scenario
    play: ScenarioPlay | None

    @property
    def is_open(self) -> bool:
        """Say whether it waits or plays."""
        return self.play is not None and self.play.state in OPEN

    @property
    def strategy(self) -> str:
        """Name its strategy, or what it is about."""
        letter = self.scenario.strategy
        words = STRATEGIES[letter]
        return f"Strategy {letter}, {words.lower()}" if letter else words

    @property
    def verdict(self) -> tuple[str, str]:
        """Return its look and its words."""
        return VERDICTS[ResultState(self.play.state)] if self.play else ("plain", "Not played yet")

    @property
    def passed(self) -> int:
        """Count the expectations that came true."""
        return sum(check["passed"] for check in self.play.checks) if self.play else 0

    @property
    def expectations(self) -> int:
        """Count what must come of it."""
        return sum(len(step.expected) for step in self.scenario.steps)


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step, whether it is done, and what came of its expectations."""

    says: str
    is_done: bool
    is_next: bool
    checks: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device of a scenario: its lanes on the day it was played for, and its reasons."""

    device: Device
    lanes: DeviceLanes
    policy: ResponsePolicy | None
    does: tuple[Any, ...]
    refusals: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One scenario with everything about its latest play."""

    card: Card
    steps: tuple[StepLine, ...]
    devices: tuple[DeviceView, ...]
    events: tuple[Any, ...]


def read_cards() -> tuple[Card, ...]:
    """Read every scenario with its latest play. One query."""
    newest: dict[str, ScenarioPlay] = {}
    for row in ScenarioPlay.objects.order_by("pk"):
        newest[row.scenario] = row
    return tuple(Card(scenario, newest.get(key)) for key, scenario in SCENARIOS.items())


def read_shown(scenario: Scenario, *, now: datetime) -> Shown:
    """Read one scenario; a constant number of queries a device."""
    play = ScenarioPlay.objects.filter(scenario=scenario.key).order_by("-pk").first()
    ids = play.event_ids if play else {}
    events = list(DispatchEvent.objects.filter(leap_event_id__in=ids.values()).order_by("starts_at", "pk"))
    names = [BY_KEY[key].external_id for key in scenario.rooms]
    found = Device.objects.filter(external_id__in=names).select_related("site").prefetch_related("meters")
    devices = {device.external_id: device for device in found}
    policies = nearest_policies(list(devices.values()), now=now)
    window = _window(scenario, events=events, now=now)
    return Shown(
        card=Card(scenario, play),
        steps=_steps(scenario, play),
        devices=tuple(
            _view(
                device,
                scenario,
                policy=policies.get(device.pk),
                window=window,
                mine={e.pk for e in events},
                now=now,
            )
            for device in (devices[name] for name in names if name in devices)
        ),
        events=tuple((event, programs(event.programs)) for event in events),
    )


def _steps(scenario: Scenario, play: ScenarioPlay | None) -> tuple[StepLine, ...]:
    done = play.steps_done if play else 0
    checks = play.checks if play else []
    is_playing = play is not None and play.state == ResultState.PLAYING
    return tuple(
        StepLine(
            says=step.says,
            is_done=number <= done,
            is_next=is_playing and number == done + 1,
            checks=tuple(check for check in checks if check["step"] == number),
        )
        for number, step in enumerate(scenario.steps, start=1)
    )


def _view(
    device: Device,
    scenario: Scenario,
    *,
    policy: ResponsePolicy | None,
    window: tuple[datetime, datetime],
    mine: Collection[int],
    now: datetime,
) -> DeviceView:
    start, end = window
    current = ScheduleSegment.objects.filter(device=device, schedule__superseded_at__isnull=True)
    does = current.filter(starts_at__lt=end, ends_at__gt=start).exclude(mode=SegmentMode.IDLE)
    return DeviceView(
        device=device,
        lanes=read_lanes(
            device, meters=list(device.meters.all()), now=now, zone=scenario.zone, window=window
        ),
        policy=policy,
        does=tuple(does.order_by("starts_at")),
        refusals=tuple(
            (undone, programs(undone.event.programs))
            for undone in undone_by(device.pk, since=start)
            if undone.event_id in mine
        ),
    )


def _window(
    scenario: Scenario, *, events: Sequence[DispatchEvent], now: datetime
) -> tuple[datetime, datetime]:
    """Return the hours around the calls of the play, else around those of the day it would be played for."""
    if events:
        first, last = min(event.starts_at for event in events), max(event.ends_at for event in events)
    else:
        day, calls = scenario.day(now=now), scenario.calls.values()
        first = min(scenario.moment(day, call.start) for call in calls)
        last = max(scenario.moment(day, call.end) for call in calls)
    return first - AROUND, last + AROUND
