"""Whether meters take part: idle periods, taking part again, and disenrolling, as Leap is told of it.

Days are days of the meter's own clock, written `yyyy-MM-dd`; an idle period's last day is idle too. These
paths are in none of Leap's OpenAPI documents. Source: Leap, "Meter configuration" and the reference pages of
the paths, read 2026-08: of bodies they name `idle_periods`, `meter_idle_periods`, `disenrollment_requests`
and `reason`. What is not public is chosen here alone: `start_date` and `end_date` of a period, `start_date`
of taking part, `disenrollment_date`, and that a period's last day counts.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from urllib.parse import quote

import msgspec

from leapvpp.leap.connection import LeapConnection
from leapvpp.leap.errors import UnreadableAnswer
from leapvpp.leap.values import decode_answer

METERS = "/v1.1/enrollment/meters"
IDLE_PERIODS = "idle_periods"
DISENROLLMENT_REQUESTS = "disenrollment_requests"
PARTICIPATE = "participate"


class IdlePeriod(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Days on which a meter rests, the first and the last among them, by the meter's own clock."""

    start_date: date
    end_date: date


class MeterIdlePeriods(msgspec.Struct, frozen=True, kw_only=True):
    """A meter's idle periods."""

    meter_id: str
    idle_periods: tuple[IdlePeriod, ...]


class Disenrollment(msgspec.Struct, frozen=True, kw_only=True):
    """From which day on, by the meter's own clock, a meter takes part no more, and why."""

    meter_id: str
    disenrollment_date: date
    reason: str


class LeapParticipation(LeapConnection):
    """Has meters rest, take part and leave. What changes something is sent once, never repeated here."""

    def add_idle_periods(self, periods: Mapping[str, Collection[IdlePeriod]]) -> None:
        """Have meters rest in more periods, by Leap's id. One that Leap cannot accept refuses them all.

        Of several meters those that Leap does not know are left out without a word, if it knows one.
        """
        self._act_on_periods("POST", periods)

    def delete_idle_periods(self, periods: Mapping[str, Collection[IdlePeriod]]) -> None:
        """Take idle periods back. Both days must be the period's own; one that is not: 404, and all stay."""
        self._act_on_periods("DELETE", periods)

    def _act_on_periods(self, method: str, periods: Mapping[str, Collection[IdlePeriod]]) -> None:
        if len(periods) == 1:
            ((meter_id, mine),) = periods.items()
            self._transport.act(method, _path(meter_id, IDLE_PERIODS), content={IDLE_PERIODS: sorted(mine)})
        elif periods:
            content = [
                MeterIdlePeriods(meter_id=meter_id, idle_periods=tuple(sorted(mine)))
                for meter_id, mine in periods.items()
            ]
            path = f"{METERS}/{IDLE_PERIODS}"
            self._transport.act(method, path, content={"meter_idle_periods": content})

    def list_idle_periods(self, meter_id: str | None = None) -> dict[str, tuple[IdlePeriod, ...]]:
        """Return the idle periods that Leap holds, of one meter or of all, by Leap's id in lower case.

        What cannot be read of them is left out. Raises ``UnreadableAnswer`` when it is no list at all.
        """
        if meter_id is None:
            answer = decode_answer(self._transport.read("GET", f"{METERS}/{IDLE_PERIODS}"), _AllPeriods)
            found = answer.meter_idle_periods
            if found is None:
                raise UnreadableAnswer("Leap's list of idle periods has no meter_idle_periods")
            return {
                meter: periods for raw in found if (read := _read_meter(raw)) for meter, periods in [read]
            }
        one = decode_answer(self._transport.read("GET", _path(meter_id, IDLE_PERIODS)), _OnesPeriods)
        if one.idle_periods is None:
            raise UnreadableAnswer("Leap's list of idle periods has no idle_periods")
        return {meter_id.lower(): _read_periods(one.idle_periods)}

    def participate(self, meter_id: str, *, start_date: date) -> None:
        """Have a meter take part from a day on, whatever idle period or disenrollment stood there.

        There is no path for several meters. Telling Leap twice changes nothing.
        """
        self._transport.act("POST", _path(meter_id, PARTICIPATE), content={"start_date": start_date})

    def disenroll(self, requests: Collection[Disenrollment]) -> None:
        """Have meters leave for good. The day must be after today's by each meter's clock.

        Of several meters those that Leap does not know are left out without a word.
        """
        if len(requests) == 1:
            (one,) = requests
            content = {"disenrollment_date": one.disenrollment_date, "reason": one.reason}
            self._transport.act("POST", _path(one.meter_id, DISENROLLMENT_REQUESTS), content=content)
        elif requests:
            path = f"{METERS}/{DISENROLLMENT_REQUESTS}"
            self._transport.act("POST", path, content={DISENROLLMENT_REQUESTS: tuple(requests)})


class _AllPeriods(msgspec.Struct, frozen=True):
    meter_idle_periods: tuple[msgspec.Raw, ...] | None = None


class _OnesPeriods(msgspec.Struct, frozen=True):
    idle_periods: tuple[msgspec.Raw, ...] | None = None


class _Listed(msgspec.Struct, frozen=True):
    meter_id: str
    idle_periods: tuple[msgspec.Raw, ...] = ()


def _path(meter_id: str, what: str) -> str:
    return f"{METERS}/{quote(meter_id, safe='')}/{what}"


def _read_meter(raw: msgspec.Raw) -> tuple[str, tuple[IdlePeriod, ...]] | None:
    try:
        listed = msgspec.json.decode(raw, type=_Listed)
    except msgspec.DecodeError:
        return None
    return listed.meter_id.lower(), _read_periods(listed.idle_periods)


def _read_periods(found: Iterable[msgspec.Raw]) -> tuple[IdlePeriod, ...]:
    """Read periods; a time of day after a date is cut off."""
    periods = []
    for raw in found:
        try:
            texts = msgspec.json.decode(raw, type=dict[str, object])
            days = [date.fromisoformat(str(texts[name])[:10]) for name in ("start_date", "end_date")]
        except (msgspec.DecodeError, KeyError, ValueError):
            continue
        periods.append(IdlePeriod(start_date=days[0], end_date=days[1]))
    return tuple(sorted(periods))
