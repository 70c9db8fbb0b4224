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
from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.plans import DevicePlan, Traits
from dispatch.domain.policies import NOTHING, policy_of
from dispatch.domain.policy_templates import TEMPLATES
from dispatch.domain.programs import label_of
from dispatch.domain.roster import MeterFacts
from dispatch.domain.terms import Limits, Terms
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


def begun(events: Sequence[Event], start: datetime) -> tuple[Event, ...]:
    """The same events with the first of them at another time, under ids of that day."""
    by = start - min(event.window.start for event in events)
    return tuple(
        replace(
            event,
            event_id=event.event_id + start.day * 100,
            leap_event_id=f"{event.leap_event_id} {start:%d}",
            window=Window(event.window.start + by, event.window.end + by),
        )
        for event in events
    )


def utc(year: int, month: int, day: int, hour: int) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def nights(first: datetime, second: datetime) -> tuple[Event, ...]:
    """NYISO's stack on both nights of a day: DLRP two hours before midnight, CSRP from midnight on."""
    stack = published(DLRP, CSRP, SCR)
    return (*begun(stack, first - 2 * HOUR), *begun(stack, second - 2 * HOUR))


def evenings(eve: datetime, morning: datetime, evening: datetime) -> tuple[Event, ...]:
    """CAISO's ELRP at five in the evening of two days, and awards on the morning between."""
    return (*begun(published(ELRP), eve), *begun(published(AWARD), morning), *begun(published(ELRP), evening))


def hours_a_day(zone: str, count: int) -> Terms:
    return Terms(zone, Limits("Guests v2", a_day=count * HOUR))


def template(name: str, zone: str) -> Terms:
    """What a policy made from a template says."""
    policy = policy_of({**NOTHING, **TEMPLATES[name]}, label=f"{TEMPLATES[name]['name']} v1")
    return Terms(zone, policy.limits, policy.storage, policy.flexibility, policy.shape)


STACKED = "CSRP (rank 3), DLRP (rank 5) and SCR (rank 1)"
STACK_DAY = f"Dropped: 3 h a day are used by {STACKED}. Policy Guests v2."
EVENING_DAY = "Dropped: 4 h a day are used by CCA (rank 2) and ELRP (rank 3). Policy Guests v2."
WARM = "Policy Smart thermostat v1."
WARM_DAY = f"Dropped: 4 h a day are used by DLRP (rank 5), CSRP (rank 3) and SCR (rank 1). {WARM}"
WARM_RUN = f"Dropped: 3 h in a run are used by CCA (rank 1), CCA (rank 2) and ELRP (rank 3). {WARM}"
SITE_EVENT = f"Dropped: 1 event a day is used by {STACKED}. Policy C&I curtailment v1."
SITE_RUN = f"Dropped: 4 h in a run are used by {STACKED}. Policy C&I curtailment v1."
NEW_YORK, CALIFORNIA = "America/New_York", "America/Los_Angeles"
UNDER: dict[str, tuple[tuple[Event, ...], Terms, list[str]]] = {
    "NYISO around the 23 hours of a day in March": (
        nights(utc(2026, 3, 8, 5), utc(2026, 3, 9, 4)),
        hours_a_day(NEW_YORK, 3),
        [
            "08 03:00-07:00 DLRP+CSRP",
            "08 08:00-09:00 SCR+CSRP",
            "09 04:00-06:00 CSRP+DLRP",
            "09 07:00-08:00 SCR+CSRP",
            f"08 07:00-08:00 not CSRP: {STACK_DAY}",
            f"09 02:00-04:00 not DLRP: {STACK_DAY}",
            f"09 06:00-07:00 not CSRP: {STACK_DAY}",
        ],
    ),
    "NYISO around the 25 hours of a day in November": (
        nights(utc(2026, 11, 1, 4), utc(2026, 11, 2, 5)),
        hours_a_day(NEW_YORK, 3),
        [
            "01 02:00-06:00 DLRP+CSRP",
            "01 07:00-08:00 SCR+CSRP",
            "02 05:00-07:00 CSRP+DLRP",
            "02 08:00-09:00 SCR+CSRP",
            f"01 06:00-07:00 not CSRP: {STACK_DAY}",
            f"02 03:00-05:00 not DLRP: {STACK_DAY}",
            f"02 07:00-08:00 not CSRP: {STACK_DAY}",
        ],
    ),
    "CAISO evenings across midnight in UTC, in March": (
        evenings(utc(2026, 3, 8, 1), utc(2026, 3, 8, 15), utc(2026, 3, 9, 0)),
        hours_a_day(CALIFORNIA, 4),
        [
            "08 01:00-05:00 ELRP",
            "08 15:00-17:00 CCA",
            "09 00:00-02:00 ELRP",
            f"09 02:00-04:00 not ELRP: {EVENING_DAY}",
        ],
    ),
    "CAISO evenings across midnight in UTC, in November": (
        evenings(utc(2026, 11, 1, 0), utc(2026, 11, 1, 16), utc(2026, 11, 2, 1)),
        hours_a_day(CALIFORNIA, 4),
        [
            "01 00:00-04:00 ELRP",
            "01 16:00-18:00 CCA",
            "02 01:00-03:00 ELRP",
            f"02 03:00-05:00 not ELRP: {EVENING_DAY}",
        ],
    ),
    "NYISO and a smart thermostat": (
        published(DLRP, CSRP, SCR),
        template("smart-thermostat", NEW_YORK),
        [
            "21 14:00-15:00 DLRP",
            "21 17:00-20:00 CSRP+DLRP+SCR",
            f"21 15:00-17:00 not DLRP: {WARM_DAY}",
            f"21 16:00-17:00 not CSRP: {WARM_DAY}",
        ],
    ),
    "NYISO and C&I curtailment": (
        published(DLRP, CSRP, SCR),
        template("curtailment", NEW_YORK),
        [
            "21 16:00-20:00 CSRP+DLRP+SCR",
            f"21 14:00-15:45 not DLRP: {SITE_EVENT}",
            f"21 15:45-16:00 not DLRP: {SITE_RUN}",
        ],
    ),
    "CAISO's capacity test, award and ELRP, and a smart thermostat": (
        published(TEST, AWARD, ELRP),
        template("smart-thermostat", CALIFORNIA),
        [
            "21 00:00-02:00 CCA+ELRP",
            "21 02:00-03:00 ELRP",
            f"21 03:00-04:00 not ELRP: {WARM_RUN}",
        ],
    ),
}


@pytest.mark.parametrize(("events", "terms", "expected"), UNDER.values(), ids=UNDER.keys())
def test_documented_overlaps_under_policies(events, terms, expected):
    assert under(events, terms) == expected


def under(events: Sequence[Event], terms: Terms) -> list[str]:
    """What a thermostat runs, and what it leaves undone, as lines."""
    plan = plan_for(events, "thermostat", terms=terms)
    labels = {event.leap_event_id: label_of(event.programs) for event in events}
    by_id = {event.event_id: event.leap_event_id for event in events}
    served = [dict.fromkeys(labels[one] for one in each.leap_event_ids) for each in plan.segments]
    runs = [
        f"{_times(each.start, each.end)} {'+'.join(names)}"
        for each, names in zip(plan.segments, served, strict=True)
    ]
    left = [
        f"{_times(each.window.start, each.window.end)} not {labels[by_id[each.event_id]]}: {each.reason}"
        for each in sorted(plan.unserved, key=lambda each: each.window.start)
    ]
    return [*runs, *left]


def _times(start: datetime, end: datetime) -> str:
    return f"{start:%d %H:%M}-{end:%H:%M}"
