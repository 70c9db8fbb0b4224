"""What is played in the showroom, as data: what Leap asks, in which steps, and what must come of it.

Times are of the day it is played for, on the clock of the scenario's site; kW of the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from leapvpp.demo.day import CCA, CSRP, DLRP, ELRP, SCR, Terms
from leapvpp.demo.showroom.rooms import BY_KEY, GROUP

SOONEST: Final = timedelta(hours=2)
"""How long before its first call a scenario is played at the latest: longer than any policy's notice."""


@dataclass(frozen=True, slots=True)
class Call:
    """An event: to a room or the group, `[start, end)`; `share` of the nomination, None is the maximum."""

    to: str
    terms: Terms
    start: str
    end: str
    share: str | None = "1"


@dataclass(frozen=True, slots=True)
class Does:
    """A device does exactly this: (start, end, kW); kW None is the maximum."""

    room: str
    pieces: tuple[tuple[str, str, str | None], ...]
    says: str


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason of what a device does at a time holds these words."""

    room: str
    at: str
    words: tuple[str, ...]
    says: str


@dataclass(frozen=True, slots=True)
class Undone:
    """A device leaves a call undone in this window, for a reason with these words."""

    room: str
    call: str
    start: str
    end: str
    words: tuple[str, ...]
    says: str


@dataclass(frozen=True, slots=True)
class Short:
    """A call to the group cannot be met by so many kW."""

    call: str
    kw: str
    says: str


Expected = Does | Reason | Undone | Short


@dataclass(frozen=True, slots=True)
class Step:
    """What happens, in one notification or by one press: calls told or cancelled, or a device held."""

    says: str
    tell: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    hold: str = ""
    why: str = ""
    expected: tuple[Expected, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One card. `strategy`: Leap's letter, empty where it is about none.

    `charges`: percent that its batteries say before it begins.
    """

    key: str
    strategy: str
    title: str
    sentence: str
    rooms: tuple[str, ...]
    calls: Mapping[str, Call]
    steps: tuple[Step, ...]
    charges: Mapping[str, int] = field(default_factory=dict)
    try_this: str = ""

    @property
    def zone(self) -> ZoneInfo:
        """Return the clock of its sites."""
        return ZoneInfo(BY_KEY[self.rooms[0]].zone)

    def day(self, *, now: datetime) -> date:
        """Return the day it is played for: today while its first call is far enough ahead, else tomorrow."""
        today = now.astimezone(self.zone).date()
        first = min(call.start for call in self.calls.values())
        is_today = self.moment(today, first) - now >= SOONEST
        return today if is_today else today + timedelta(days=1)

    def moment(self, day: date, clock: str) -> datetime:
        """Return a time of day of the site's clock."""
        return datetime.combine(day, time.fromisoformat(clock), tzinfo=self.zone)


EXPORTS: Final = "grid-exports-allowed"
CAPPED: Final = replace(CCA, cap="up-to-nomination")
EXPORTING: Final = replace(CCA, cap=EXPORTS)

_ALL: Final = (
    Scenario(
        "answer-everything",
        "A",
        "One battery, two programs",
        "A CCA award and an ELRP emergency want the same battery; the same kilowatts serve both.",
        ("open-battery",),
        {
            "award 17": Call("open-battery", CCA, "17:00", "18:00", "0.8"),
            "award 18": Call("open-battery", CCA, "18:00", "19:00", "0.5"),
            "emergency": Call("open-battery", ELRP, "17:00", "21:00", None),
        },
        (
            Step(
                "Leap awards two hours of CCA.",
                tell=("award 17", "award 18"),
                expected=(
                    Does(
                        "open-battery",
                        (("17:00", "18:00", "64"), ("18:00", "19:00", "40")),
                        "Each hour is met with its own power.",
                    ),
                ),
            ),
            Step(
                "Leap calls the ELRP emergency over them, as much as can be given.",
                tell=("emergency",),
                expected=(
                    Does(
                        "open-battery",
                        (("17:00", "21:00", None),),
                        "One run serves both: the maximum, from the award's first minute to ELRP's last.",
                    ),
                    Reason(
                        "open-battery",
                        "17:30",
                        ("CCA (rank 2, 64 kW) is met inside ELRP's maximum", "CCA comes first"),
                        "The award is met inside the emergency's maximum, and comes first.",
                    ),
                    Reason(
                        "open-battery", "20:00", ("Serves ELRP",), "The emergency goes on after the award."
                    ),
                ),
            ),
        ),
        {"open-battery": 100},
    ),
    Scenario(
        "limits",
        "B",
        "Three New York programs, one thermostat",
        "SCR, CSRP and DLRP together ask for nine hours; nobody is to go without cooling for that long.",
        ("thermostat",),
        {
            "network relief": Call("thermostat", DLRP, "10:00", "14:00"),
            "afternoon peak": Call("thermostat", CSRP, "13:00", "17:00"),
            "city reserve": Call("thermostat", SCR, "15:00", "19:00"),
        },
        (
            Step(
                "ConEd calls DLRP for four hours.",
                tell=("network relief",),
                expected=(
                    Does("thermostat", (("10:00", "13:00", "3"),), "It runs for three hours."),
                    Undone(
                        "thermostat",
                        "network relief",
                        "13:00",
                        "14:00",
                        ("3 h in a run are used",),
                        "The fourth hour is dropped: three in a run are the most.",
                    ),
                ),
            ),
            Step("ConEd calls CSRP, which ranks before it.", tell=("afternoon peak",)),
            Step(
                "NYISO calls SCR, which ranks first.",
                tell=("city reserve",),
                expected=(
                    Does(
                        "thermostat",
                        (("10:00", "11:00", "3"), ("15:00", "18:00", "3")),
                        "Three of its four hours a day go to SCR, one is left for DLRP.",
                    ),
                    Reason(
                        "thermostat",
                        "15:30",
                        ("SCR comes first: rank 1 before rank 3", "Prepares from"),
                        "SCR comes first, CSRP is met inside it; the rooms are cooled before.",
                    ),
                    Undone(
                        "thermostat",
                        "afternoon peak",
                        "13:00",
                        "15:00",
                        ("4 h a day are used",),
                        "CSRP's first two hours are dropped, and the reason names the limit.",
                    ),
                    Undone(
                        "thermostat",
                        "network relief",
                        "11:00",
                        "14:00",
                        ("4 h a day are used",),
                        "So is the rest of DLRP.",
                    ),
                ),
            ),
        ),
    ),
    Scenario(
        "energy",
        "C",
        "What is kept for the evening",
        "A voluntary emergency at noon would empty the battery; the evening's commitment needs the energy.",
        ("commercial-battery",),
        {
            "emergency": Call("commercial-battery", ELRP, "12:00", "16:00", None),
            "award": Call("commercial-battery", CCA, "17:00", "19:00", "0.9"),
        },
        (
            Step(
                "Leap calls the ELRP emergency for four hours.",
                tell=("emergency",),
                expected=(
                    Does(
                        "commercial-battery",
                        (("12:00", "13:42", "100"),),
                        "It gives all it has: 170 kWh, until the reserve of 10 % is reached.",
                    ),
                ),
            ),
            Step(
                "Leap awards two hours of CCA for the evening.",
                tell=("award",),
                expected=(
                    Does(
                        "commercial-battery",
                        (("12:00", "13:30", "100"), ("17:00", "19:00", "72")),
                        "The emergency gets less, then it recharges; the commitment gets all of its 144 kWh.",
                    ),
                    Undone(
                        "commercial-battery",
                        "emergency",
                        "13:30",
                        "16:00",
                        ("the rest is kept for CCA (rank 2)",),
                        "The reason names what the energy is kept for.",
                    ),
                ),
            ),
        ),
        {"commercial-battery": 95},
    ),
    Scenario(
        "spread",
        "C",
        "More hours than energy",
        "Four hours are asked of a home battery that holds less: it gives less power, but until the end.",
        ("spread-battery",),
        {"award": Call("spread-battery", CCA, "17:00", "21:00")},
        (
            Step(
                "Leap awards four hours of CCA.",
                tell=("award",),
                expected=(
                    Does(
                        "spread-battery",
                        (("17:00", "21:00", "5.4"),),
                        "27 kWh less the reserve of 20 %, over four hours.",
                    ),
                    Reason(
                        "spread-battery",
                        "18:00",
                        ("Less than CCA (rank 2) asks: reserve 20 %",),
                        "The reason says that it is less than asked, and why.",
                    ),
                ),
            ),
        ),
        {"spread-battery": 100},
    ),
    Scenario(
        "beyond",
        "C",
        "More than the award",
        "The award asks for half of what the battery can, but pays for what goes to the grid as well.",
        ("export-battery",),
        {"award": Call("export-battery", EXPORTING, "17:00", "19:00", "0.5")},
        (
            Step(
                "Leap awards two hours of CCA at 40 kW, paid up to exports.",
                tell=("award",),
                expected=(
                    Does("export-battery", (("17:00", "19:00", "100"),), "It gives its 100 kW."),
                    Reason(
                        "export-battery",
                        "17:30",
                        ("Beyond the award", "exports"),
                        "The reason says that it goes beyond the award, and what pays for it.",
                    ),
                ),
            ),
        ),
        {"export-battery": 95},
    ),
    Scenario(
        "voluntary",
        "D",
        "Too little charge for favours",
        "Below 40 % the voluntary emergency is skipped; the commitment is served all the same.",
        ("home-battery",),
        {
            "award": Call("home-battery", CAPPED, "17:00", "18:00"),
            "emergency": Call("home-battery", ELRP, "18:00", "20:00", None),
        },
        (
            Step("The battery says that it holds 30 %. Leap awards an hour of CCA.", tell=("award",)),
            Step(
                "Leap calls the ELRP emergency for the two hours after it.",
                tell=("emergency",),
                expected=(
                    Does("home-battery", (("17:00", "18:00", "2"),), "The commitment alone is served."),
                    Undone(
                        "home-battery",
                        "emergency",
                        "18:00",
                        "20:00",
                        ("Skipped: 30 % of charge is below 40 %",),
                        "The emergency is skipped, with both percents.",
                    ),
                ),
            ),
        ),
        {"home-battery": 30},
        "Open the device, let it say another charge, say 80 %, and look here again: it is planned anew.",
    ),
    Scenario(
        "taking-over",
        "B",
        "The loser takes over",
        "One call a day is answered. When the one that won is cancelled, the other is served by itself.",
        ("plant",),
        {
            "emergency": Call("plant", ELRP, "12:00", "14:00"),
            "award": Call("plant", CCA, "17:00", "19:00"),
        },
        (
            Step(
                "Leap calls the ELRP emergency.",
                tell=("emergency",),
                expected=(Does("plant", (("12:00", "14:00", "200"),), "The only call is served."),),
            ),
            Step(
                "Leap awards two hours of CCA: the commitment wins.",
                tell=("award",),
                expected=(
                    Does("plant", (("17:00", "19:00", "200"),), "The commitment is served in its place."),
                    Undone(
                        "plant",
                        "emergency",
                        "12:00",
                        "14:00",
                        ("1 event a day is used by CCA (rank 2)",),
                        "The emergency is dropped, and the reason names the winner.",
                    ),
                ),
            ),
            Step(
                "Leap cancels the award.",
                cancel=("award",),
                expected=(
                    Does("plant", (("12:00", "14:00", "200"),), "The emergency is served again, by itself."),
                    Reason("plant", "13:00", ("Serves ELRP",), "The reason says so."),
                ),
            ),
        ),
    ),
    Scenario(
        "hold",
        "",
        "One is held, the others give its share",
        "The group's generator is held for repair; pumps and chargers give what they can, the rest is shown.",
        ("generator", "chargers", "pumps"),
        {"award": Call(GROUP, CCA, "13:00", "15:00")},
        (
            Step(
                "Leap awards two hours of CCA to the group, 350 kW.",
                tell=("award",),
                expected=(
                    Does("generator", (("13:00", "15:00", "200"),), "The generator gives what it nominated."),
                    Does("chargers", (("13:00", "15:00", "50"),), "So do the chargers,"),
                    Does("pumps", (("13:00", "15:00", "100"),), "and the pumps."),
                    Short("award", "0", "Nothing is lacking."),
                ),
            ),
            Step(
                "The generator is held.",
                hold="generator",
                why="Its oil is changed.",
                expected=(
                    Does("generator", (), "The generator does nothing."),
                    Undone(
                        "generator",
                        "award",
                        "13:00",
                        "15:00",
                        ("Held by", "oil"),
                        "The reason says who and why.",
                    ),
                    Does("chargers", (("13:00", "15:00", "80"),), "The chargers give all they can,"),
                    Does("pumps", (("13:00", "15:00", "150"),), "the pumps do, too,"),
                    Short("award", "120", "and the 120 kW that nobody can give stand on the event's page."),
                ),
            ),
        ),
    ),
)
SCENARIOS: Final = {scenario.key: scenario for scenario in _ALL}
