"""The simulator's participation: meters that rest, take part again and leave, by days of their own clock.

As Leap's guides say, one invalid period refuses the whole request, unknown meters are left out without a
word as long as one is known, and a period is deleted only by its exact days. What changes is seen by a search
of enrollments. Not public, and so chosen here: an idle period that a new one overlaps goes as a whole.
Source: as of ``leapvpp.leap.participation``.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from leapvpp.leap.meters import read_moment
from leapvpp.leap.participation import METERS, Disenrollment, IdlePeriod, MeterIdlePeriods
from leapvpp.leap.simulator.calls import Answer, Call, Refusal, Route, decode
from leapvpp.leap.simulator.fleet import ENDLESS, as_text
from leapvpp.leap.simulator.meters import MeterBook

ZONES = {
    "CAISO": "America/Los_Angeles",
    "ERCOT": "America/Chicago",
    "ISONE": "America/New_York",
    "NYISO": "America/New_York",
}
DISENROLLED_UNTIL = "2099-01-01T00:00:00Z"
LONGEST_REASON = 1000
Preference = Mapping[str, Any]


class Participation:
    """Who rests when, over the meters of a book; safe to use from several threads."""

    def __init__(
        self, meters: MeterBook, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._meters = meters
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: dict[str, set[IdlePeriod]] = {}

    def routes(self) -> Sequence[Route]:
        """Return what it answers, single and bulk."""
        one, every = f"{METERS}/([^/]+)", METERS
        return (
            ("GET", f"{every}/idle_periods", self.list_all),
            ("POST", f"{every}/idle_periods", self.add_to_many),
            ("DELETE", f"{every}/idle_periods", self.delete_of_many),
            ("POST", f"{every}/disenrollment_requests", self.disenroll_many),
            ("GET", f"{one}/idle_periods", self.list_one),
            ("POST", f"{one}/idle_periods", self.add_to_one),
            ("DELETE", f"{one}/idle_periods", self.delete_of_one),
            ("POST", f"{one}/disenrollment_requests", self.disenroll_one),
            ("POST", f"{one}/participate", self.participate),
        )

    def list_all(self, call: Call) -> Answer:
        with self._lock:
            found = sorted((meter_id, sorted(periods)) for meter_id, periods in self._idle.items() if periods)
        return 200, {
            "meter_idle_periods": [
                {"meter_id": meter_id, "idle_periods": periods} for meter_id, periods in found
            ]
        }

    def list_one(self, call: Call) -> Answer:
        self._known([call.argument])
        with self._lock:
            return 200, {"idle_periods": sorted(self._idle.get(call.argument.lower(), ()))}

    def add_to_one(self, call: Call) -> Answer:
        self._add({call.argument: decode(call.body, _Periods).idle_periods})
        return 201, None

    def add_to_many(self, call: Call) -> Answer:
        self._add(_once(decode(call.body, _ManyPeriods).meter_idle_periods))
        return 201, None

    def delete_of_one(self, call: Call) -> Answer:
        self._delete({call.argument: decode(call.body, _Periods).idle_periods})
        return 204, None

    def delete_of_many(self, call: Call) -> Answer:
        self._delete(_once(decode(call.body, _ManyPeriods).meter_idle_periods))
        return 204, None

    def disenroll_one(self, call: Call) -> Answer:
        asked = decode(call.body, _Disenroll)
        self._disenroll(
            [
                Disenrollment(
                    meter_id=call.argument, disenrollment_date=asked.disenrollment_date, reason=asked.reason
                )
            ]
        )
        return 201, None

    def disenroll_many(self, call: Call) -> Answer:
        self._disenroll(decode(call.body, _ManyDisenrollments).disenrollment_requests)
        return 201, None

    def participate(self, call: Call) -> Answer:
        """Let a meter take part from a day on: what stood against it ends then, or never begins."""
        start_date = decode(call.body, _Participate).start_date
        with self._lock:
            ((meter_id, meter),) = self._known([call.argument]).items()
            start = as_text(_midnight(start_date, meter))
            kept = [_until(each, start) for each in _preferences(meter) if each["start_time"] < start]
            taking_part = {
                "participation_preference": "PARTICIPATE",
                "start_time": start,
                "end_time": ENDLESS,
            }
            self._idle[meter_id] = {
                IdlePeriod(
                    start_date=each.start_date, end_date=min(each.end_date, start_date - timedelta(days=1))
                )
                for each in self._idle.get(meter_id, ())
                if each.start_date < start_date
            }
            self._write({meter_id: [*kept, taking_part]})
        return 200, None

    def _add(self, asked: Mapping[str, Sequence[IdlePeriod]]) -> None:
        with self._lock:
            known = self._known(asked)
            wanted = {meter_id.lower(): periods for meter_id, periods in asked.items()}
            for meter_id, periods in wanted.items():
                _check_periods(meter_id, periods)
            written = {}
            for meter_id, meter in known.items():
                mine = wanted[meter_id]
                preferences = [
                    each
                    for each in _preferences(meter)
                    if each["participation_preference"] == "PARTICIPATE"
                    or not any(_meets(each, period, meter) for period in mine)
                ]
                standing = {
                    each
                    for each in self._idle.get(meter_id, ())
                    if not any(
                        each.start_date <= new.end_date and new.start_date <= each.end_date for new in mine
                    )
                }
                self._idle[meter_id] = standing | set(mine)
                written[meter_id] = [*preferences, *(_idle(period, meter) for period in mine)]
            self._write(written)

    def _delete(self, asked: Mapping[str, Sequence[IdlePeriod]]) -> None:
        with self._lock:
            known = self._known(asked)
            wanted = {meter_id.lower(): periods for meter_id, periods in asked.items()}
            for meter_id in known:
                if not set(wanted[meter_id]) <= self._idle.get(meter_id, set()):
                    raise Refusal(404, f"meter {meter_id} has no idle period of exactly these days")
            written = {}
            for meter_id, meter in known.items():
                gone = [_idle(period, meter) for period in wanted[meter_id]]
                self._idle[meter_id] -= set(wanted[meter_id])
                written[meter_id] = [each for each in _preferences(meter) if each not in gone]
            self._write(written)

    def _disenroll(self, asked: Sequence[Disenrollment]) -> None:
        with self._lock:
            known = self._known([each.meter_id for each in asked])
            mine = {each.meter_id.lower(): each for each in asked}
            if len(mine) < len(asked):
                raise Refusal(400, "a meter is named twice")
            for meter_id, each in mine.items():
                if not each.reason.strip() or len(each.reason) > LONGEST_REASON:
                    raise Refusal(400, "reason must not be empty or too long", {"reason": "size"})
                if meter_id in known and each.disenrollment_date <= self._today(known[meter_id]):
                    raise Refusal(400, f"the disenrollment date of meter {meter_id} must be in the future")
            written = {}
            for meter_id, meter in known.items():
                leaving = {
                    "participation_preference": "DISENROLL",
                    "start_time": as_text(_midnight(mine[meter_id].disenrollment_date, meter)),
                    "end_time": DISENROLLED_UNTIL,
                    "reason": mine[meter_id].reason,
                }
                written[meter_id] = [*_preferences(meter), leaving]
            self._write(written)

    def _known(self, meter_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the meters there are. Raises ``Refusal`` (404) when there is none of them."""
        if not meter_ids:
            raise Refusal(400, "no meter is named")
        found = {}
        for meter_id in {each.lower() for each in meter_ids}:
            with suppress(KeyError):
                found[meter_id] = self._meters.get(meter_id)
        if not found:
            raise Refusal(404, "no such meter")
        return found

    def _today(self, meter: Mapping[str, Any]) -> date:
        return self._clock().astimezone(_zone(meter)).date()

    def _write(self, preferences: Mapping[str, Sequence[Preference]]) -> None:
        def ordered(meter: Mapping[str, Any]) -> dict[str, object]:
            mine = preferences[meter["meter_id"]]
            return {"participation_preferences": sorted(mine, key=lambda each: str(each["start_time"]))}

        self._meters.edit(list(preferences), ordered, now=self._clock())


class _Periods(msgspec.Struct, frozen=True):
    idle_periods: tuple[IdlePeriod, ...]


class _ManyPeriods(msgspec.Struct, frozen=True):
    meter_idle_periods: tuple[MeterIdlePeriods, ...]


class _Disenroll(msgspec.Struct, frozen=True):
    disenrollment_date: date
    reason: str


class _ManyDisenrollments(msgspec.Struct, frozen=True):
    disenrollment_requests: tuple[Disenrollment, ...]


class _Participate(msgspec.Struct, frozen=True):
    start_date: date


def _once(asked: Sequence[MeterIdlePeriods]) -> dict[str, tuple[IdlePeriod, ...]]:
    found = {each.meter_id.lower(): each.idle_periods for each in asked}
    if len(found) < len(asked):
        raise Refusal(400, "a meter is named twice")
    return found


def _check_periods(meter_id: str, periods: Sequence[IdlePeriod]) -> None:
    if not periods:
        raise Refusal(400, f"meter {meter_id} has no idle period")
    for each in periods:
        if each.end_date < each.start_date:
            raise Refusal(400, f"an idle period of meter {meter_id} ends before it begins")


def _preferences(meter: Mapping[str, Any]) -> list[Preference]:
    return list(meter.get("participation_preferences", ()))


def _until(preference: Preference, end: str) -> Preference:
    return {**preference, "end_time": min(preference.get("end_time") or ENDLESS, end)}


def _idle(period: IdlePeriod, meter: Mapping[str, Any]) -> Preference:
    return {
        "participation_preference": "IDLE",
        "start_time": as_text(_midnight(period.start_date, meter)),
        "end_time": as_text(_midnight(period.end_date + timedelta(days=1), meter)),
        "reason": "Idle Time",
    }


def _meets(preference: Preference, period: IdlePeriod, meter: Mapping[str, Any]) -> bool:
    start, end = read_moment(preference["start_time"]), read_moment(preference.get("end_time"))
    before = start is not None and start < _midnight(period.end_date + timedelta(days=1), meter)
    return before and (end is None or end > _midnight(period.start_date, meter))


def _zone(meter: Mapping[str, Any]) -> ZoneInfo:
    return ZoneInfo(ZONES.get(str(meter.get("transmission_region")), "UTC"))


def _midnight(day: date, meter: Mapping[str, Any]) -> datetime:
    return datetime.combine(day, time.min, tzinfo=_zone(meter)).astimezone(UTC)
