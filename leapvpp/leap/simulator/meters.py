"""The simulator's meters: what Leap would say of each, and when it last changed. In memory."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec

from leapvpp.leap.simulator.fleet import ENDLESS, as_text, made, preferring
from leapvpp.leap.simulator.platform import Change
from leapvpp.leap.simulator.words import recipient_id
from leapvpp.leap.values import UtcTime

Meter = dict[str, Any]
Tell = Callable[[Sequence[Change], Mapping[str, Meter]], None]
_SHARED = (
    "meter_id",
    "partner_reference",
    "transmission_region",
    "customer_classification",
    "load_types",
    "meter_type",
    "connection_references",
    "customer_group",
    "tags",
    "is_archived",
    "audit",
)
_ONLY_ENROLLED = (
    "global_enrollment_status",
    "participation_preferences",
    "program_enrollment",
    "required_actions",
)
_ONLY_DETAILED = ("customer", "device", "site", "utility")


def _most(count: int) -> msgspec.Meta:
    return msgspec.Meta(min_length=1, max_length=count)


class MeterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A search of meters as Leap documents it; a filter that is left out keeps every meter."""

    page_token: str | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=500)] = 500
    meter_ids: Annotated[tuple[UUID, ...], msgspec.Meta(max_length=1000)] = ()
    partner_references: Annotated[tuple[str, ...], _most(1000)] | None = None
    connection_reference_ids: Annotated[tuple[str, ...], _most(100)] | None = None
    global_enrollment_statuses: Annotated[tuple[str, ...], _most(5)] | None = None
    meter_types: Annotated[tuple[str, ...], _most(20)] | None = None
    load_types: Annotated[tuple[str, ...], _most(20)] | None = None
    customer_groups: Annotated[tuple[str, ...], _most(20)] | None = None
    tags: Annotated[tuple[str, ...], _most(20)] | None = None
    action_type: Annotated[tuple[str, ...], _most(20)] | None = None
    transmission_region: str | None = None
    customer_classification: str | None = None
    last_modified_date_time: UtcTime | None = None
    created_after_date_time: UtcTime | None = None
    created_before_date_time: UtcTime | None = None
    partner_action_required: bool = False
    exclude_archived: bool = False

    def keeps(self, meter: Meter, *, changed_at: datetime) -> bool:
        """Tell whether a meter is among what is asked for; its id is looked at elsewhere."""
        actions = [each["action_type"] for each in meter["required_actions"].get("partner", ())]
        created = datetime.fromisoformat(meter["audit"]["created_at"])
        since, after, before = (
            self.last_modified_date_time,
            self.created_after_date_time,
            self.created_before_date_time,
        )
        return (
            (since is None or changed_at > since)
            and (after is None or created > after)
            and (before is None or created < before)
            and not (self.exclude_archived and meter["is_archived"])
            and not (self.partner_action_required and not actions)
            and all(
                wanted is None or not set(wanted).isdisjoint(had)
                for wanted, had in (
                    (self.partner_references, (meter.get("partner_reference"),)),
                    (self.connection_reference_ids, meter["connection_references"]),
                    (self.global_enrollment_statuses, (meter["global_enrollment_status"],)),
                    (self.meter_types, (meter.get("meter_type"),)),
                    (self.load_types, meter["load_types"]),
                    (self.customer_groups, (meter.get("customer_group"),)),
                    (self.tags, meter["tags"]),
                    (self.action_type, actions),
                    (_one(self.transmission_region), (meter["transmission_region"],)),
                    (_one(self.customer_classification), (meter["customer_classification"],)),
                )
            )
        )


class Group(NamedTuple):
    """A market group, and the programs it is known for."""

    market_group_id: str
    name: str
    programs: frozenset[str]

    @property
    def fields(self) -> dict[str, str]:
        """Return how an enrollment names it."""
        return {"market_group_id": self.market_group_id, "market_group_name": self.name}


class MeterBook:
    """Meters by id; safe to use from several threads. ``tell`` is told of every change but ``fill``'s."""

    def __init__(self, *, tell: Tell = lambda changes, meters: None) -> None:
        self._lock = threading.Lock()
        self._tell = tell
        self._meters: dict[str, Meter] = {}
        self._changed_at: dict[str, datetime] = {}
        self._numbers = 0

    def fill(self, count: int, *, now: datetime) -> tuple[str, ...]:
        """Have that many meters, in groups of fifty, the same ones each time; return their ids."""
        meters = [made(number, now=now) for number in range(count)]
        self.load(meters, now=now)
        self._numbers = max(self._numbers, count)
        return tuple(str(meter["meter_id"]) for meter in meters)

    def load(self, meters: Iterable[Meter], *, now: datetime) -> None:
        """Have meters that were there before anybody subscribed: nobody is told."""
        with self._lock:
            for meter in meters:
                self._store(meter, now=now)

    def put(self, *meters: Meter, now: datetime) -> None:
        """Store what Leap holds of meters: the fields of details and of enrollment together."""
        with self._lock:
            changes = [
                Change(self._meters.get(meter["meter_id"]), self._store(meter, now=now)) for meter in meters
            ]
        self._say(changes)

    def get(self, meter_id: str) -> Meter:
        """Return all that Leap holds of a meter. Raises ``KeyError``."""
        with self._lock:
            return self._meters[meter_id]

    def find(self, name: str) -> str:
        """Return the id of the meter with this id or partner reference. Raises ``KeyError``."""
        with self._lock:
            if name.lower() in self._meters:
                return name.lower()
            for meter_id, meter in self._meters.items():
                if meter.get("partner_reference") == name:
                    return meter_id
        raise KeyError(name)

    def group(self, name: str) -> Group:
        """Return the group with this id or name; one that no meter is in is new, and in no program."""
        with self._lock:
            enrolled = [each for meter in self._meters.values() for each in meter["program_enrollment"]]
        names = {
            each["market_group_id"]: each.get("market_group_name", "")
            for each in enrolled
            if each.get("market_group_id")
        }
        ids = [group_id for group_id, known in names.items() if name in {group_id, known}]
        group_id = ids[0] if ids else recipient_id(name)
        programs = {
            each["program_identifier"] for each in enrolled if each.get("market_group_id") == group_id
        }
        return Group(group_id, names.get(group_id) or name, frozenset(programs))

    def take_numbers(self, count: int) -> range:
        """Return numbers from which no meter was made yet."""
        with self._lock:
            first, self._numbers = self._numbers, self._numbers + count
        return range(first, first + count)

    def change(self, meter_id: str, *, now: datetime, **fields: object) -> None:
        """Replace top-level fields of a meter. Raises ``KeyError`` for one that is not there."""
        self.edit([meter_id], lambda _: fields, now=now)

    def edit(
        self, meter_ids: Collection[str], change: Callable[[Meter], Mapping[str, object]], *, now: datetime
    ) -> None:
        """Replace top-level fields of meters at once by what ``change`` makes of each.

        One event tells of a group, however many of its meters changed. Raises ``KeyError`` for a meter that
        is not there, and whatever ``change`` raises; nothing is changed then.
        """
        with self._lock:
            edited = [{**self._meters[one], **change(self._meters[one])} for one in meter_ids]
            changes = [Change(self._meters[one["meter_id"]], self._store(one, now=now)) for one in edited]
        self._say(changes)

    def archive(self, meter_id: str, *, now: datetime) -> None:
        self.change(meter_id, now=now, is_archived=True)

    def idle(self, meter_id: str, *, since: datetime, now: datetime, until: datetime | None = None) -> None:
        """Let a meter rest from a time on, without an end unless one is given."""
        self.prefer([meter_id], "IDLE", since=since, until=until, now=now)

    def prefer(
        self,
        meter_ids: Collection[str],
        preference: str,
        *,
        since: datetime,
        now: datetime,
        until: datetime | None = None,
    ) -> None:
        """Let meters participate, idle or disenroll in `[since, until)`; after that they participate."""
        wanted = [preferring(preference, as_text(since), as_text(until) if until else ENDLESS)]
        if until:
            wanted.append(preferring("PARTICIPATE", as_text(until)))

        def preferences(meter: Meter) -> dict[str, object]:
            kept = [
                {**each, "end_time": min(each.get("end_time", ENDLESS), as_text(since))}
                for each in meter["participation_preferences"]
                if each["start_time"] < as_text(since)
            ]
            return {"participation_preferences": kept + wanted}

        self.edit(meter_ids, preferences, now=now)

    def regroup(
        self, meter_ids: Iterable[str], *, market_group_id: str, now: datetime, name: str = ""
    ) -> None:
        """Put meters into another group: for the programs that it is known for or, if it is new, for all.

        Periods without a group get none, unless no period has one. Raises ``ValueError`` for a meter that is
        in none of the programs, ``KeyError`` for one that is not there.
        """
        group = self.group(market_group_id)
        fields = {**group.fields, "market_group_name": name or group.name}

        def programs(meter: Meter) -> dict[str, object]:
            enrolled = meter["program_enrollment"]
            fitting = [
                each
                for each in enrolled
                if not group.programs or each["program_identifier"] in group.programs
            ]
            if not fitting:
                raise ValueError(f"{meter['meter_id']} is not in {' or '.join(sorted(group.programs))}")
            moved = [each for each in fitting if each.get("market_group_id")] or fitting
            return {
                "program_enrollment": [{**each, **fields} if each in moved else each for each in enrolled]
            }

        self.edit(list(meter_ids), programs, now=now)

    def remove(self, *meter_ids: str) -> None:
        """Take meters out: Leap no longer lists them. Raises ``KeyError`` for one that is not there."""
        with self._lock:
            changes = [Change(self._meters[meter_id], None) for meter_id in meter_ids]
            for meter_id in meter_ids:
                del self._meters[meter_id], self._changed_at[meter_id]
        self._say(changes)

    def search(self, query: MeterQuery, *, is_enrollment: bool) -> list[Meter]:
        """Return all matching meters in order of id, as one of the two searches shows them."""
        wanted = {str(meter_id) for meter_id in query.meter_ids}
        fields = (*_SHARED, *(_ONLY_ENROLLED if is_enrollment else _ONLY_DETAILED))
        with self._lock:
            return [
                {name: meter[name] for name in fields if name in meter}
                for meter_id, meter in sorted(self._meters.items())
                if (not wanted or meter_id in wanted)
                and query.keeps(meter, changed_at=self._changed_at[meter_id])
            ]

    def _store(self, meter: Meter, *, now: datetime) -> Meter:
        meter_id = str(meter["meter_id"])
        stored = {**meter, "audit": {**meter["audit"], "updated_at": as_text(now)}}
        self._meters[meter_id] = stored
        self._changed_at[meter_id] = now
        return stored

    def _say(self, changes: Sequence[Change]) -> None:
        """Tell of changes, outside of the lock: a stored meter is replaced, never altered."""
        with self._lock:
            meters = dict(self._meters)
        self._tell(changes, meters)


def _one(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else (value,)
