"""Events of Leap's platform: what it says by itself when a meter changes, and who is told.

An event carries neither time nor sequence, and none tells that a meter was archived or is no longer listed.
Source: Leap's OpenAPI document "Webhook Subscription API" 1.1, "Webhook Setup".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from leapvpp.leap.simulator.pusher import Pusher
from leapvpp.leap.values import encode_request

Meter = Mapping[str, Any]
EVENT_TYPES = (
    "meter.created",
    "meter.enrollment.global-status.updated",
    "meter.enrollment.participation-status.updated",
    "meter.enrollment.required-actions.updated",
    "meter.enrollment.group.updated",
    "connect_session.updated",
    "connect_session.authorization_updated",
)


class Change(NamedTuple):
    """A meter before and after; ``None``: there was, or is, none."""

    before: Meter | None
    after: Meter | None


class Gathering(NamedTuple):
    """A market group in one delivery period, as the platform names it."""

    market_group_id: str
    name: str
    start: str
    end: str


class Platform:
    """Speaks for Leap's platform to whoever subscribed to an event's type."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    def emit(self, payload: Mapping[str, object]) -> None:
        """Post an event, with faults and retries; ``payload`` names its ``webhook_event_type``."""
        event_id, body = envelope(payload)
        self._pusher.publish_event(
            event_id=event_id, event_type=str(payload["webhook_event_type"]), body=body
        )

    def follow(self, changes: Sequence[Change], meters: Mapping[str, Meter]) -> None:
        """Post what changes of meters give to tell; ``meters`` are all there are by now."""
        if self._pusher.subscriptions:
            for payload in events_of(changes, now_in=members(meters)):
                self.emit(payload)


def envelope(payload: Mapping[str, object]) -> tuple[str, bytes]:
    """Return an event's new id and its body."""
    event_id = str(uuid4())
    return event_id, encode_request({"webhook_event_id": event_id, "payload": payload})


def events_of(
    changes: Sequence[Change], *, now_in: Mapping[Gathering, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Yield the payloads that tell of changes: each meter's own, then one per group and period.

    ``now_in`` gives the meters of all groups and periods, for a group's event lists every member.
    """
    for before, after in changes:
        if after is not None:
            yield from _events_of_meter(before, after)
    touched = {one for before, after in changes for one in _gatherings(before) ^ _gatherings(after)}
    for one in sorted(touched):
        yield {
            "webhook_event_type": "meter.enrollment.group.updated",
            "market_group_id": one.market_group_id,
            "market_group_name": one.name,
            "start_date_time": one.start,
            "end_date_time": one.end,
            "meter_ids": list(now_in.get(one, ())),
        }


def members(meters: Mapping[str, Meter]) -> dict[Gathering, list[str]]:
    """Return the ids of the meters in each group and period."""
    found: dict[Gathering, list[str]] = {}
    for meter_id, meter in meters.items():
        for one in _gatherings(meter):
            found.setdefault(one, []).append(meter_id)
    return found


def _events_of_meter(before: Meter | None, after: Meter) -> Iterator[dict[str, Any]]:
    of_meter = {
        name: after[name]
        for name in ("meter_id", "partner_reference", "transmission_region", "meter_type")
        if name in after
    }
    if before is None:
        yield {"webhook_event_type": "meter.created", **of_meter}
        return
    status = {"global_enrollment_status": after["global_enrollment_status"]}
    if before["global_enrollment_status"] != after["global_enrollment_status"]:
        yield {"webhook_event_type": "meter.enrollment.global-status.updated", **of_meter, **status}
    for preference in _new_preferences(before, after):
        yield {
            "webhook_event_type": "meter.enrollment.participation-status.updated",
            **of_meter,
            **preference,
        }
    actions = after["required_actions"].get("partner", [])
    if before["required_actions"].get("partner", []) != actions:
        yield {
            "webhook_event_type": "meter.enrollment.required-actions.updated",
            **of_meter,
            **status,
            "required_actions": {"partner": actions} if actions else {},
        }


def _new_preferences(before: Meter, after: Meter) -> Sequence[Mapping[str, str]]:
    """Return the preferences that begin anew or, if some only ended or went, the one that starts latest."""
    was, now = before["participation_preferences"], after["participation_preferences"]
    if was == now:
        return ()
    known = {(each["participation_preference"], each["start_time"]) for each in was}
    begun = [each for each in now if (each["participation_preference"], each["start_time"]) not in known]
    return begun or now[-1:]


def _gatherings(meter: Meter | None) -> set[Gathering]:
    programs = meter["program_enrollment"] if meter else ()
    return {
        Gathering(
            program["market_group_id"],
            program.get("market_group_name", ""),
            program["delivery_period_start_date_time"],
            program["delivery_period_end_date_time"],
        )
        for program in programs
        if program.get("market_group_id")
    }
