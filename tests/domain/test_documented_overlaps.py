"""The overlaps that Leap documents, from its published examples, and what becomes of them under policies.

Source: Leap, "Dispatch Event Processing", "Overlapping Events & Event Consolidation", and its examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dispatch.domain.belief import Source
from dispatch.domain.consolidation import DevicePlan, Traits
from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.programs import label_of
from dispatch.domain.roster import MeterFacts
from dispatch.domain.terms import Terms
from dispatch.intake.document import read_document
from dispatch.intake.payloads import Timeslot, read_timeslots
from tests.bodies import METER, payload

HOUR = timedelta(hours=1)
BEFORE = datetime(2023, 1, 1, tzinfo=UTC)
DEVICES = {
    "battery that may export": Traits(12_000, is_storage=True, may_export=True),
    "battery that may not export": Traits(12_000, is_storage=True),
    "thermostat": Traits(12_000),
}


def published(*names: str) -> tuple[Event, ...]:
    """The events of Leap's published bodies."""
    slots = [
        slot
        for name in names
        for slot in read_timeslots(read_document(payload(name)), source=Source.WEBHOOK, now=BEFORE)
    ]
    return tuple(_event(number, slot) for number, slot in enumerate(slots, start=1))


def _event(number: int, slot: Timeslot) -> Event:
    fields = slot.fields
    assert fields is not None and slot.meter_ids == (METER,)
    return Event(
        event_id=number,
        leap_event_id=slot.leap_event_id,
        recipients=1,
        window=Window(fields.starts_at, fields.ends_at),
        energy_kw=fields.energy_kw,
        nomination_kw=fields.nomination_kw,
        rank=fields.priority_rank,
        is_voluntary=fields.is_voluntary,
        cap=fields.cap,
        programs=fields.programs,
        level=slot.level,
    )


def plan_for(
    events: Sequence[Event], device: str, *, terms: Terms | None = None, now: datetime = BEFORE
) -> DevicePlan:
    """Plan one device behind the meter of the examples."""
    fleet = Fleet(
        tuple(events),
        {1: [METER]},
        {METER: MeterFacts(METER, (1,))},
        {1: DEVICES[device]},
        terms={1: terms} if terms else {},
    )
    return plan_fleet(fleet, device_ids=[1], now=now).plans[1]


def names_of(events: Sequence[Event]) -> dict[str, str]:
    """Short names by Leap's id: the program, with the hour and an id where it has several events."""
    plain = Counter(label_of(event.programs) for event in events)
    timed = Counter((label_of(event.programs), event.window.start) for event in events)
    names = {}
    for event in events:
        label, start = label_of(event.programs), event.window.start
        hour = f"@{start:%H}" if plain[label] > 1 else ""
        names[event.leap_event_id] = label + hour
        if timed[label, start] > 1:
            names[event.leap_event_id] += f" {event.leap_event_id[:4]}"
    return names


def lanes_of(plan: DevicePlan, events: Sequence[Event]) -> list[str]:
    """The segments as lines: hours, mode, kW, how far it is paid, whether it is a commitment, for what."""
    names = names_of(events)
    return [
        f"{_hours(each.start, each.end)} {each.mode.lower()} "
        f"{'max' if each.target_kw is None else f'{each.target_kw.normalize():f}'} {each.cap}"
        f"{' committed' if each.is_commitment else ''} {' '.join(names[one] for one in each.leap_event_ids)}"
        for each in plan.segments
    ]


def met_in(plan: DevicePlan, events: Sequence[Event]) -> list[str]:
    """The overlaps as lines: hours, what is served, what is not, the reason."""
    names = names_of(events)
    return [
        f"{_hours(each.window.start, each.window.end)} {' '.join(names[one] for one in each.served)}"
        f"{''.join(f' not {names[one]}' for one, _ in each.not_served)}: {each.reason}"
        for each in plan.overlaps
    ]


def _hours(start: datetime, end: datetime) -> str:
    return f"{start:%H:%M}-{end:%H:%M}"


AWARD, ELRP = "program-cca-market-award-meter", "program-elrp-meter"
TEST, DLRP, CSRP = "program-cca-capacity-test-meter", "program-coned-dlrp-meter", "program-coned-csrp-meter"
SCR = "program-nyiso-scr-meter"
DSGS_3, DSGS_4 = "program-dsgs-option-3-meter", "program-dsgs-option-4-meter"


def renewed(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """An emergency that goes on is a new event where the one before ends."""
    window = Window(events[0].window.end, events[0].window.end + 4 * HOUR)
    return (*events, replace(events[0], event_id=99, leap_event_id="renewed", window=window))


def with_kw(events: tuple[Event, ...], *kw: Decimal | None) -> tuple[Event, ...]:
    """The same events with other numbers, as when the hour-ahead market raises an award."""
    return tuple(replace(event, energy_kw=number) for event, number in zip(events, kw, strict=True))


INSIDE_ELRP = "CCA (rank 2, 8 kW) is met inside ELRP's maximum. CCA comes first: rank 2 before rank 3. "
INSIDE_DSGS = "CCA (rank 2, 8 kW) is met inside DSGS's share (rank 4, 10 kW). "
INSIDE_CCA = "DSGS-OPTION4 (rank 4, 1 kW) is met inside CCA's share (rank 2, 8 kW). "
RANK_2_FIRST = "CCA comes first: rank 2 before rank 4. "
EXPORTS = "Paid up to site load and exports"

DOCUMENTED: dict[str, tuple[tuple[Event, ...], list[str], list[str]]] = {
    "CCA award with ELRP": (
        published(AWARD, ELRP),
        [
            "00:00-02:00 export max grid-exports-allowed committed CCA@00 ELRP CCA@01",
            "02:00-04:00 export max grid-exports-allowed ELRP",
        ],
        [
            f"00:00-01:00 CCA@00 ELRP: {INSIDE_ELRP}{EXPORTS} (ELRP).",
            f"01:00-02:00 CCA@01 ELRP: {INSIDE_ELRP}{EXPORTS} (ELRP).",
        ],
    ),
    "the published body of two events": (
        published("schema-overlapping-meter-notification"),
        [
            "00:00-01:00 export max grid-exports-allowed committed CCA ELRP",
            "01:00-04:00 export max grid-exports-allowed ELRP",
        ],
        [
            "00:00-01:00 CCA ELRP: CCA (rank 1, 10 kW) is met inside ELRP's maximum. "
            f"CCA comes first: rank 1 before rank 3. {EXPORTS} (ELRP)."
        ],
    ),
    "CCA award with DSGS option 3": (
        published(AWARD, DSGS_3),
        ["00:00-02:00 export 10 grid-exports-allowed committed CCA@00 DSGS CCA@01"],
        [
            f"00:00-01:00 CCA@00 DSGS: {INSIDE_DSGS}{RANK_2_FIRST}{EXPORTS} (DSGS).",
            f"01:00-02:00 CCA@01 DSGS: {INSIDE_DSGS}{RANK_2_FIRST}{EXPORTS} (DSGS).",
        ],
    ),
    "CCA award with DSGS option 4": (
        published(AWARD, DSGS_4),
        ["00:00-02:00 export 8 grid-exports-allowed committed CCA@00 DSGS-OPTION4 CCA@01"],
        [
            f"00:00-01:00 CCA@00 DSGS-OPTION4: {INSIDE_CCA}{RANK_2_FIRST}{EXPORTS} (DSGS-OPTION4).",
            f"01:00-02:00 CCA@01 DSGS-OPTION4: {INSIDE_CCA}{RANK_2_FIRST}{EXPORTS} (DSGS-OPTION4).",
        ],
    ),
    "both options of DSGS, of one rank": (
        published(DSGS_3, DSGS_4),
        ["00:00-02:00 export 10 grid-exports-allowed committed DSGS-OPTION4 DSGS"],
        [
            "00:00-02:00 DSGS-OPTION4 DSGS: "
            "DSGS-OPTION4 (rank 4, 1 kW) is met inside DSGS's share (rank 4, 10 kW). "
            f"DSGS-OPTION4 comes first: a commitment before a voluntary event. {EXPORTS}."
        ],
    ),
    "capacity test and award in two records": (
        published(TEST, AWARD)[::2],  # of the first hour
        ["00:00-01:00 discharge 10 up-to-site-load committed CCA@00 b3d5 CCA@00 a173"],
        [
            "00:00-01:00 CCA@00 b3d5 CCA@00 a173: "
            "CCA a1734afd (rank 2, 8 kW) is met inside CCA b3d5e108's share (rank 1, 10 kW). "
            "CCA b3d5e108 comes first: rank 1 before rank 2. Paid up to site load (CCA a1734afd)."
        ],
    ),
    "capacity test and award in one record": (
        published("schema-overlapping-meter-notification")[:1],
        ["00:00-01:00 discharge 10 up-to-site-load committed CCA"],
        [],
    ),
    "an award's touching hours": (
        published(AWARD),
        ["00:00-02:00 discharge 8 up-to-site-load committed CCA@00 CCA@01"],
        [],
    ),
    "an award raised hour-ahead": (
        with_kw(published(AWARD), Decimal(10), Decimal(8)),
        [
            "00:00-01:00 discharge 10 up-to-site-load committed CCA@00",
            "01:00-02:00 discharge 8 up-to-site-load committed CCA@01",
        ],
        [],
    ),
    "NYISO: DLRP, CSRP and SCR": (
        published(DLRP, CSRP, SCR),
        ["14:00-20:00 discharge 10 up-to-nomination committed DLRP CSRP SCR"],
        [
            "16:00-18:00 CSRP DLRP: DLRP (rank 5, 10 kW) is met inside CSRP's share (rank 3, 10 kW). "
            "CSRP comes first: rank 3 before rank 5. Paid up to nomination.",
            "19:00-20:00 SCR CSRP: CSRP (rank 3, 10 kW) is met inside SCR's share (rank 1, 10 kW). "
            "SCR comes first: rank 1 before rank 3. Paid up to nomination.",
        ],
    ),
    "no number, paid up to the nomination, beside a number": (
        with_kw(published(DLRP, CSRP), None, Decimal(8)),
        [
            "14:00-18:00 discharge 10 up-to-nomination committed DLRP CSRP",
            "18:00-20:00 discharge 8 up-to-nomination committed CSRP",
        ],
        [
            "16:00-18:00 CSRP DLRP: CSRP (rank 3, 8 kW) is met inside DLRP's share (rank 5, 10 kW). "
            "CSRP comes first: rank 3 before rank 5. Paid up to nomination."
        ],
    ),
    "ISO-NE: ConnectedSolutions with Clean Peak": (
        published("program-connectedsolutions-meter", "program-ma-clean-peak-meter"),
        ["14:00-18:00 export 10 grid-exports-allowed CPS CS"],
        [
            "15:00-18:00 CS CPS: CPS (rank 2, 10 kW) is met inside CS's share (rank 1, 10 kW). "
            f"CS comes first: rank 1 before rank 2. {EXPORTS}."
        ],
    ),
    "ERCOT: an emergency renewed where its window ends": (
        renewed(published("program-ercot-ers-meter")),
        ["18:00-02:00 discharge 10 up-to-nomination committed ERS@18 ERS@22"],
        [],
    ),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("events", "lanes", "met"), DOCUMENTED.values(), ids=DOCUMENTED.keys())
def test_documented_overlaps_are_served_together_and_say_why(events, lanes, met, device):
    plan = plan_for(events, device)
    mode = {"battery that may not export": "discharge", "thermostat": "curtail"}.get(device)
    expected = [re.sub("export(?= )|discharge", mode, lane) for lane in lanes] if mode else lanes
    assert lanes_of(plan, events) == expected
    assert met_in(plan, events) == met
    assert plan.unserved == ()
