"""The demo's meters as its Leap knows them: how each is enrolled, and what is to be done for some.

The portal hears of them as it would of real ones, by a sync; what it keeps of that is what the demo's Leap
remembers from one start to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from leapvpp.demo.places import GROUPS, REGIONS, GroupPlan
from leapvpp.leap.meters import M, MeterDetails, MeterEnrollment, MeterPage, read_page
from leapvpp.leap.simulator.fleet import ACTIONS, action, as_text, enrolled, preferring
from leapvpp.leap.simulator.meters import MeterBook, MeterQuery
from leapvpp.leap.simulator.seasons import periods
from leapvpp.leap.values import encode_request
from meters import syncing
from meters.models import Meter
from meters.sync_models import MeterAtLeap, SyncKind
from meters.sync_turns import request_sync, start

PLANS: Final = {plan.key: plan for plan in GROUPS}
STATES: Final = {
    "Oakland": "CA",
    "San Jose": "CA",
    "Fresno": "CA",
    "Long Beach": "CA",
    "Irvine": "CA",
    "Manhattan": "NY",
    "Brooklyn": "NY",
    "Queens": "NY",
    "Yonkers": "NY",
    "Houston": "TX",
    "Dallas": "TX",
    "Midland": "TX",
    "San Antonio": "TX",
    "Worcester": "MA",
    "Lowell": "MA",
    "Quincy": "MA",
    "Salem": "MA",
    "Newark": "NJ",
    "Trenton": "NJ",
    "Philadelphia": "PA",
    "Baltimore": "MD",
}
HEARD_BEFORE: Final = timedelta(days=1)
"""How long before the demo began the portal heard of its meters."""


@dataclass(frozen=True, slots=True)
class Todo:
    """Something to be done for a meter before its next delivery period of a program."""

    program: str
    action_type: str
    description: str = ""
    code: str = ""
    party: str = "partner"


TODO: Final[Mapping[str, tuple[Todo, ...]]] = {
    "Bayline Transit Yard": (
        Todo("CCA", "IS_AUTHORIZED", "The customer has to authorize the meter again."),
        Todo("ELRP", "IS_AUTHORIZED", "The customer has to authorize the meter again."),
    ),
    "Coyote Creek Offices": (
        Todo("CCA", "NO_MISSING_FIELDS", "Fields are missing: electric_service_account_number."),
    ),
    "Back Bay Water": (Todo("CCA", "DOCUMENTS_SIGNED", "The site's agreement is not signed.", "SERV_0002"),),
    "Signal Hill Ice": (
        Todo("CCA", "IS_ASSIGNED_TO_A_RESOURCE", "The meter is to be put into a resource.", party="leap"),
    ),
    "Gowanus Cold Works": (
        Todo("CONED-CSRP", "HAS_NOMINATIONS", "There is no nomination for the next period.", "SERV_0009"),
        Todo("CONED-DLRP", "HAS_NOMINATIONS", "There is no nomination for the next period.", "SERV_0009"),
    ),
    "Maspeth Distribution": (
        Todo("NYISO-SCR", "NO_MISSING_FIELDS", "Fields are missing: bill_customer_account_number."),
    ),
    "Trinity Foundry": (Todo("ERCOT-ERS", "GENERATOR", "The generator's permit is not given.", "SERV_0011"),),
    "19 Birch Lane, Lowell battery": (
        Todo("NATGRID-CS", "NO_MISSING_FIELDS", "Fields are missing: dispatch_option."),
        Todo("MA_DOER-CPS", "NOT_ENROLLED_IN_CONFLICTING_PROGRAM", "It is in another program.", "SERV_0007"),
    ),
    "54 Laurel Lane, Oakland battery": (
        Todo("CEC-DSGS", "NO_MISSING_FIELDS", "Fields are missing: is_receiving_sgip_funding."),
    ),
}
"""By the meter's name."""
_WITHOUT_GROUP_YET: Final = frozenset({"ELRP", "CEC-DSGS", "CONED-DLRP"})
"""Programs in whose next period no groups are made yet."""


def known_meter(
    meter: Meter, *, groups: Sequence[str], city: str, load_type: str, is_idle: bool = False, now: datetime
) -> dict[str, Any]:
    """Return what Leap holds of one of the portfolio's meters, in the groups of those keys."""
    plans = [PLANS[key] for key in groups]
    zone = REGIONS[meter.transmission_region].timezone
    todo = TODO.get(meter.name, ())
    begun = as_text(now - timedelta(days=120))
    body = _body(meter.meter_id, meter.partner_reference, region=meter.transmission_region, city=city)
    body |= {
        "customer_classification": "RESIDENTIAL" if meter.meter_type == "DEVICE" else "COMMERCIAL",
        "load_types": [load_type],
        "meter_type": meter.meter_type,
        "is_archived": meter.archived_at is not None,
        "audit": {"created_by": "PARTNER", "created_at": begun},
        "participation_preferences": [preferring("PARTICIPATE", begun)],
        "program_enrollment": [
            each for plan in plans for each in _enrollments(plan, zone=zone, todo=todo, now=now)
        ],
        "required_actions": _actions(todo, zone=zone, now=now),
    }
    if is_idle:
        since = as_text(now - timedelta(days=12))
        body["participation_preferences"] = [
            preferring("PARTICIPATE", begun, since),
            preferring("IDLE", since),
        ]
    return body


def newcomers(*, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield meters that Leap knows and the portal does not: customers who authorized yesterday."""
    for place, (reference, region, city, program, status) in enumerate(_NEWCOMERS):
        coming = periods(program, zone=REGIONS[region].timezone, now=now)[1]
        kind = "DEVICE" if program in {"CEC-DSGS", "NATGRID-CS"} else "UTILITY_METER"
        todo = (Todo(program, "IS_AUTHORIZED", "The customer has to authorize the meter."),)
        missing = todo if status == "INELIGIBLE" else ()
        yield _body(NEWCOMER_ID.format(place + 1), reference, region=region, city=city) | {
            "customer_classification": "RESIDENTIAL",
            "load_types": ["BATTERY_STORAGE" if kind == "DEVICE" else "HVAC"],
            "meter_type": kind,
            "connection_references": [] if kind == "DEVICE" else [reference],
            "audit": {"created_by": "UTILITY", "created_at": as_text(now - timedelta(days=1))},
            "global_enrollment_status": status,
            "participation_preferences": [preferring("PARTICIPATE", as_text(now - timedelta(days=1)))],
            "program_enrollment": [enrolled(program, coming, "INELIGIBLE" if missing else "ELIGIBLE")],
            "required_actions": _actions(missing, zone=REGIONS[region].timezone, now=now),
        }


NEWCOMER_ID: Final = "5c1d0a4e-77d2-4c52-9a3f-0000000000{:02}"
_NEWCOMERS: Final = (
    ("SITE-2001", "CAISO", "San Jose", "CCA", "ELIGIBLE"),
    ("SITE-2002", "CAISO", "Fresno", "CCA", "INELIGIBLE"),
    ("SITE-2003", "NYISO", "Queens", "NYISO-SCR", "PENDING"),
    ("SITE-2004", "NYISO", "Yonkers", "CONED-CSRP", "INELIGIBLE"),
    ("SITE-2005", "ERCOT", "Dallas", "ERCOT-ERS", "ELIGIBLE"),
    ("SITE-2006", "PJM", "Trenton", "PJM-CAPACITY", "PENDING"),
    ("DEV-2007", "CAISO", "Irvine", "CEC-DSGS", "ELIGIBLE"),
    ("DEV-2008", "ISONE", "Salem", "NATGRID-CS", "ELIGIBLE"),
)


def hear_of(bodies: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """Have the portal hear of meters as a sync would, a day before."""
    then = now - HEARD_BEFORE
    request, _ = request_sync(kind=SyncKind.CHANGES, by="", now=then)
    sync = start(request, now=then)
    if sync is not None:
        syncing.run(sync, client=lambda: nullcontext(_Told(bodies)), clock=lambda: then)


def remember(book: MeterBook, *, now: datetime) -> None:
    """Have the demo's Leap know again what it told the portal, and meters that it has not told of yet."""
    told = MeterAtLeap.objects.filter(gone_at__isnull=True).order_by("pk")
    bodies = [{**each.details, **each.enrollment} for each in told.iterator()]
    book.load(bodies, now=now - 2 * HEARD_BEFORE)
    known = {body["meter_id"] for body in bodies}
    if known:
        book.load((body for body in newcomers(now=now) if body["meter_id"] not in known), now=now)
        _begin_seasons(book, bodies, now=now)


def _begin_seasons(book: MeterBook, bodies: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """Enroll those anew whose delivery periods are all over, as after a demo that stood still for long."""

    def again(body: Mapping[str, Any]) -> Mapping[str, object]:
        by_group = sorted(body["program_enrollment"], key=lambda each: "market_group_id" in each)
        latest = {each["program_identifier"]: each for each in by_group}
        zone = REGIONS[body["transmission_region"]].timezone
        return {
            "program_enrollment": [
                enrolled(program, period, status, **_group_of(each))
                for program, each in latest.items()
                for period, status in zip(
                    periods(program, zone=zone, now=now), ("ACTIVE", "ELIGIBLE"), strict=True
                )
            ]
        }

    over = [
        body["meter_id"]
        for body in bodies
        if body["transmission_region"] in REGIONS
        and body["program_enrollment"]
        and max(each["delivery_period_end_date_time"] for each in body["program_enrollment"]) < as_text(now)
    ]
    if over:
        book.edit(over, again, now=now)


def _group_of(said: Mapping[str, Any]) -> dict[str, str]:
    return {name: said[name] for name in ("market_group_id", "market_group_name") if name in said}


def _enrollments(
    plan: GroupPlan, *, zone: str, todo: Sequence[Todo], now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield this period and the next; in the next it is ineligible while something is to be done for it."""
    group = {"market_group_id": plan.leap_id, "market_group_name": plan.name}
    current, coming = periods(plan.program, zone=zone, now=now)
    yield enrolled(plan.program, current, "ACTIVE", **group)
    if plan.program in {each.program for each in todo}:
        yield enrolled(plan.program, coming, "INELIGIBLE")
    elif plan.program in _WITHOUT_GROUP_YET:
        yield enrolled(plan.program, coming, "ELIGIBLE")
    else:
        yield enrolled(plan.program, coming, "ACTIVE", **group)


def _actions(todo: Sequence[Todo], *, zone: str, now: datetime) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {"partner": [], "leap": []}
    for each in todo:
        coming = periods(each.program, zone=zone, now=now)[1]
        code, description = ACTIONS.get(each.action_type, ("", ""))
        found[each.party].append(
            action(
                each.program,
                coming.name,
                deadline=coming.next_deadline(now),
                action_type=each.action_type,
                code=each.code or code,
                description=each.description or description,
            )
        )
    return found


def _body(meter_id: str, reference: str, *, region: str, city: str) -> dict[str, Any]:
    return {
        "meter_id": meter_id,
        "partner_reference": reference,
        "transmission_region": region,
        "connection_references": [],
        "customer_group": "",
        "tags": [],
        "is_archived": False,
        "global_enrollment_status": "ACTIVE",
        "customer": {
            "street_1": "1 Example Street",
            "postal_code": "00000",
            "city": city,
            "state_or_province_code": STATES[city],
            "country_code": "US",
        },
        "site": {"number_of_devices": 1},
    }


class _Told:
    """A Leap that lists these meters, without a network."""

    def __init__(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        self._book = MeterBook()
        self._book.load(
            [dict(body) for body in bodies], now=datetime.fromisoformat(bodies[0]["audit"]["created_at"])
        )

    def search_enrollments(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterEnrollment]]:
        """Yield all in one page."""
        yield self._page(MeterEnrollment, is_enrollment=True)

    def search_details(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterDetails]]:
        """Yield all in one page."""
        yield self._page(MeterDetails, is_enrollment=False)

    def _page(self, kind: type[M], *, is_enrollment: bool) -> MeterPage[M]:
        found = self._book.search(MeterQuery(), is_enrollment=is_enrollment)
        return read_page(encode_request({"meters": found}), kind=kind)
