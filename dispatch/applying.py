"""Timeslots → events, revisions and doubts, for many notifications at once.

Reads what is held about the events named, lets `dispatch.domain.belief` judge one timeslot after the other,
and writes the result with one statement per table, however many timeslots there are.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dispatch.domain.belief import Arrival, Doubt, Held, Judgement, Outcome, Source, Verdict, judge
from dispatch.domain.levels import Arrival as LevelArrival
from dispatch.domain.levels import Side
from dispatch.domain.revisions import (
    EventFields,
    Kind,
    changes_between,
    fields_from_content,
)
from dispatch.intake.payloads import Timeslot
from dispatch.levels import note_arrivals
from dispatch.lookups import batches, columns_of, sets_named
from dispatch.models import (
    DispatchEvent,
    EventRevision,
    NotificationItem,
    RecipientMember,
    RecipientSet,
    TestKind,
)
from dispatch.models import Doubt as DoubtRow
from dispatch.naming import name_meters
from dispatch.pushing import PUSH_MAY_LAG, note_unpushed, take_back
from dispatch.said import Key, Said, with_known_members
from meters.enrolling import note_programs
from meters.grouping import request_comparison
from meters.models import MarketGroup

Place = tuple[int | None, Key]

_EVENT_COLUMNS = (
    "market_group_id",
    "recipients",
    "starts_at",
    "ends_at",
    "is_cancelled",
    "is_ended_early",
    "energy_kw",
    "nomination_kw",
    "priority_rank",
    "is_voluntary",
    "cap",
    "dispatch_event_types",
    "programs",
    "test",
    "is_confirmed",
    "revision",
    "flags",
    "extra",
    "changed_at",
    "plan_requested_at",
)

_CALL = frozenset({"market_group_id", "meter_ids", "programs", "start_time", "end_time", "cancelled", "test"})
"""Fields of a revision that bear on whether a group is in step with Leap."""


@dataclass(slots=True)
class _Belief:
    """Everything about one event while timeslots are judged, and what there is to write about it.

    `found_at`: when a search brought what is held; `pushed_after`: the same, once a webhook brought it too.
    """

    held: Held | None
    event_id: int | None = None
    first_received_at: datetime | None = None
    flags: Sequence[str] = ()
    extra: object = None
    changed_at: datetime | None = None
    is_changed: bool = False
    is_doubt_changed: bool = False
    is_suspect: bool = False
    is_unpushed: bool = False
    found_at: datetime | None = None
    pushed_after: datetime | None = None
    revisions: list[EventRevision] = field(default_factory=list)
    settled: Verdict | None = None
    doubts: list[DoubtRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Applied:
    """How many events changed, and whether anything was said that only Leap's search can settle."""

    changed: int = 0
    is_suspect: bool = False


def apply_said(said: Sequence[Said], *, may_ask: bool, now: datetime) -> Applied:
    """Judge the timeslots in order and store what follows.

    Call inside a transaction that holds the turn of recording. `may_ask`: Leap's search can be asked.
    """
    said = with_known_members(said)
    usable = [one for one in said if one.slot.fields]
    beliefs = _load_beliefs({one.key for one in usable})
    contradicted = _contradictions(usable)
    items = _judge_all(said, beliefs, contradicted, may_ask=may_ask, now=now)
    changed = {key: belief for key, belief in beliefs.items() if belief.is_changed or belief.is_doubt_changed}
    _write_recipients_and_groups(usable, changed)
    _write_events(changed, now=now)
    note_arrivals(_arrivals(usable, changed), now=now)
    fields = (belief.held.fields for belief in changed.values() if belief.held)
    note_programs({program for each in fields for program in each.programs}, now=now)
    _write_revisions([belief for belief in changed.values() if belief.revisions])
    _write_doubts([belief for belief in changed.values() if belief.is_doubt_changed], now=now)
    _write_items(items, beliefs)
    _judge_push_path(beliefs, now=now)
    request_comparison(_groups_called_anew(changed), now=now)
    return Applied(
        changed=sum(belief.is_changed for belief in changed.values()),
        is_suspect=any(belief.is_suspect for belief in beliefs.values()),
    )


def _contradictions(usable: Sequence[Said]) -> set[Place]:
    """Name the events about which one body says two different things at once."""
    said: dict[tuple[Place, datetime], list[Said]] = defaultdict(list)
    for one in usable:
        said[(one.notification_id, one.key), one.at].append(one)
    return {
        place
        for (place, _), same in said.items()
        if len(same) > 1 and len({one.slot.fields.digest for one in same if one.slot.fields}) > 1
    }


def _load_beliefs(keys: set[Key]) -> dict[Key, _Belief]:
    beliefs: dict[Key, _Belief] = {key: _Belief(held=None) for key in keys}
    events = {
        event.pk: event
        for batch in batches({id_ for _, id_ in keys})
        for event in DispatchEvent.objects.filter(leap_event_id__in=batch)
        if (event.level, event.leap_event_id) in keys
    }
    if not events:
        return beliefs
    revisions: dict[int, list[EventRevision]] = defaultdict(list)
    for batch in batches(events):
        for revision in EventRevision.objects.filter(event_id__in=batch).order_by("event_id", "number"):
            revisions[revision.event_id].append(revision)
    doubts = {
        row.event_id: Doubt(fields=fields_from_content(row.fields), why=row.why, raised_at=row.raised_at)
        for batch in batches(events)
        for row in DoubtRow.objects.filter(event_id__in=batch, settled_at__isnull=True)
    }
    for pk, event in events.items():
        beliefs[event.level, event.leap_event_id] = _Belief(
            held=_held(event, revisions[pk], doubts.get(pk)),
            event_id=pk,
            first_received_at=event.first_received_at,
            flags=event.flags,
            extra=event.extra,
            changed_at=event.changed_at,
            found_at=_found_at(revisions[pk][-1]),
        )
    return beliefs


def _found_at(latest: EventRevision) -> datetime | None:
    return latest.received_at if latest.source == Source.POLL else None


def _held(event: DispatchEvent, revisions: Sequence[EventRevision], doubt: Doubt | None) -> Held:
    latest = revisions[-1]
    return Held(
        fields=fields_from_content(latest.fields),
        revision=latest.number,
        received_at=latest.received_at,
        is_ended_early=event.is_ended_early,
        superseded={row.digest: row.number for row in revisions[:-1]},
        doubt=doubt,
    )


def _judge_all(
    said: Sequence[Said],
    beliefs: dict[Key, _Belief],
    contradicted: set[Place],
    *,
    may_ask: bool,
    now: datetime,
) -> list[NotificationItem]:
    """Judge one after the other. Where a body contradicts itself, its cancellation is heard first."""
    heard: dict[Place, int] = {}
    order: list[tuple[int, bool, int]] = []
    for index, one in enumerate(said):
        place = (one.notification_id, one.key)
        turn = heard.setdefault(place, index) if place in contradicted else index
        is_cancelled = one.slot.fields is not None and one.slot.fields.is_cancelled
        order.append((turn, place in contradicted and not is_cancelled, index))
    items = []
    begun: set[Place] = set()
    for _, _, index in sorted(order):
        one = said[index]
        place = (one.notification_id, one.key)
        items.append(_judge_one(one, beliefs, is_contradicted=place in begun, may_ask=may_ask, now=now))
        if place in contradicted and one.slot.fields:
            begun.add(place)
    return [item for item in items if item]


def _judge_one(
    one: Said, beliefs: dict[Key, _Belief], *, is_contradicted: bool, may_ask: bool, now: datetime
) -> NotificationItem | None:
    """Judge one timeslot and note what follows; return its item, None for a repeat's."""
    if one.slot.fields is None:
        return _item(one, Outcome.QUARANTINED, one.slot.problem)
    belief = beliefs[one.key]
    before = belief.held
    arrival = Arrival(
        fields=_completed(one.slot, one.slot.fields, before),
        source=one.source,
        at=one.at,
        is_replay=one.is_replay,
        is_contradicted=is_contradicted,
    )
    # Leap stores no integration test: its search knows nothing of one.
    may_ask = may_ask and arrival.fields.test != TestKind.INTEGRATION
    judgement = judge(before, arrival, may_ask=may_ask)
    _note(belief, one, before=before, judgement=judgement, now=now)
    return _item(one, judgement.outcome, judgement.reason)


def _completed(slot: Timeslot, fields: EventFields, held: Held | None) -> EventFields:
    """Fill what was not said with what is held."""
    if held is None or not slot.unsaid:
        return fields
    return replace(fields, **{name: getattr(held.fields, name) for name in slot.unsaid})


def _note(belief: _Belief, one: Said, *, before: Held | None, judgement: Judgement, now: datetime) -> None:
    held = judgement.held
    belief.held = held
    belief.is_suspect |= judgement.outcome is Outcome.SUSPECT
    if judgement.kind is not None:
        belief.revisions.append(_revision(one, before=before, held=held, kind=judgement.kind))
        belief.is_changed = True
        is_found = one.source is Source.POLL and judgement.verdict is None
        belief.is_unpushed |= is_found
        belief.found_at = one.at if is_found else None
        belief.flags = [*one.slot.flags, *_lateness(one, held, is_new=before is None)]
        belief.extra = one.slot.extra
        belief.changed_at = now
        belief.first_received_at = belief.first_received_at or one.at
    elif judgement.outcome is Outcome.REPEATED:
        _note_push(belief, one)
    old_doubt = before.doubt if before else None
    if held.doubt is old_doubt:
        return
    belief.is_doubt_changed = True
    _settle(belief, judgement.verdict or Verdict.OVERTAKEN, had_doubt=old_doubt is not None, now=now)
    if held.doubt is not None:
        belief.doubts.append(_doubt_row(one, held.doubt))


def _note_push(belief: _Belief, one: Said) -> None:
    """Note that a webhook brought, only a moment later, what the search had found."""
    is_push = one.source is Source.WEBHOOK and not one.is_replay
    if is_push and belief.found_at and one.at - belief.found_at <= PUSH_MAY_LAG:
        belief.is_unpushed, belief.pushed_after = False, belief.found_at


def _settle(belief: _Belief, verdict: Verdict, *, had_doubt: bool, now: datetime) -> None:
    if not had_doubt:
        return
    if belief.doubts:
        belief.doubts[-1].verdict = verdict
        belief.doubts[-1].settled_at = now
    else:
        belief.settled = verdict


def _revision(one: Said, *, before: Held | None, held: Held, kind: Kind) -> EventRevision:
    return EventRevision(
        number=held.revision,
        received_at=one.at,
        source=one.source,
        kind=kind,
        changes=changes_between(before.fields, held.fields) if before else {},
        fields=held.fields.as_content(),
        digest=held.fields.digest,
        notification_id=one.notification_id,
    )


def _lateness(one: Said, held: Held, *, is_new: bool) -> list[str]:
    starts_at, ends_at = held.fields.starts_at, held.fields.ends_at
    if not is_new or one.source is not Source.WEBHOOK or one.at <= starts_at:
        return []
    if one.at >= ends_at:
        return ["was over when it arrived"]
    late = int((one.at - starts_at).total_seconds())
    span = f"{late // 60} min" if late >= 60 else f"{late} s"
    return [f"received {span} after its start"]


def _doubt_row(one: Said, doubt: Doubt) -> DoubtRow:
    return DoubtRow(
        notification_id=one.notification_id,
        fields=doubt.fields.as_content(),
        digest=doubt.fields.digest,
        raised_at=doubt.raised_at,
        why=doubt.why,
    )


def _item(one: Said, outcome: Outcome, reason: str) -> NotificationItem | None:
    if one.is_repeat or one.notification_id is None:
        return None
    return NotificationItem(
        notification_id=one.notification_id,
        position=one.position,
        level=one.slot.level,
        leap_event_id=one.slot.leap_event_id,
        outcome=outcome,
        reason=reason,
    )


def _write_recipients_and_groups(usable: Iterable[Said], changed: dict[Key, _Belief]) -> None:
    """Make sure that every set of meters and every market group named by a changed event is a row."""
    needed = {belief.held.fields.recipients for belief in changed.values() if belief.held}
    groups = {belief.held.fields.market_group_id for belief in changed.values() if belief.held} - {""}
    known = {digest for digest, _ in sets_named(needed)}
    members = {one.slot.fields.recipients: one.slot.meter_ids for one in usable if one.slot.fields}
    missing = needed - known
    if missing:
        rows = RecipientSet.objects.bulk_create(
            RecipientSet(digest=digest, meter_ids=list(members[digest]), size=len(members[digest]))
            for digest in sorted(missing)
        )
        RecipientMember.objects.bulk_create(
            RecipientMember(recipients=row, meter_id=meter_id) for row in rows for meter_id in row.meter_ids
        )
    named = columns_of(
        groups, lambda some: MarketGroup.objects.filter(market_group_id__in=some), ("market_group_id",)
    )
    unnamed = sorted(groups.difference(*named))
    if unnamed:
        MarketGroup.objects.bulk_create(
            (MarketGroup(market_group_id=group, is_from_calls=True) for group in unnamed),
            ignore_conflicts=True,
        )


def _groups_called_anew(changed: dict[Key, _Belief]) -> set[str]:
    """Name the groups of which an event is new, or whose call changed in whom it means and when."""
    return {
        belief.held.fields.market_group_id
        for belief in changed.values()
        if belief.held and any(_calls_anew(revision) for revision in belief.revisions)
    } - {""}


def _calls_anew(revision: EventRevision) -> bool:
    return not revision.changes or not _CALL.isdisjoint(revision.changes)


def _write_events(changed: dict[Key, _Belief], *, now: datetime) -> None:
    """Write every changed event in one statement and note the rows' ids."""
    digests = {belief.held.fields.recipients for belief in changed.values() if belief.held}
    sets = dict(sets_named(digests))
    rows = {
        key: _event_row(key, belief, belief.held, recipients_id=sets[belief.held.fields.recipients], now=now)
        # Oldest rows first, as planning goes: who locks in the same order never locks the other out.
        for key, belief in sorted(changed.items(), key=lambda one: one[1].event_id or sys.maxsize)
        if belief.held
    }
    if not rows:
        return
    DispatchEvent.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=("level", "leap_event_id"),
        update_fields=_EVENT_COLUMNS,
    )
    for key, row in rows.items():
        changed[key].event_id = row.pk


def _arrivals(usable: Sequence[Said], changed: dict[Key, _Belief]) -> list[LevelArrival]:
    """Name what changed, in the order in which it was said: the first of a program decides its level."""
    return [
        LevelArrival(belief.event_id, _side(one.slot.level, belief.held.fields), one.source)
        for one in usable
        if (belief := changed.get(one.key)) and belief.held and belief.event_id
    ]


def _side(level: str, fields: EventFields) -> Side:
    return Side(level, fields.programs, fields.is_voluntary, bool(fields.test))


def _event_row(key: Key, belief: _Belief, held: Held, *, recipients_id: int, now: datetime) -> DispatchEvent:
    fields = held.fields
    return DispatchEvent(
        level=key[0],
        leap_event_id=key[1],
        market_group_id=fields.market_group_id,
        recipients_id=recipients_id,
        starts_at=fields.starts_at,
        ends_at=fields.ends_at,
        is_cancelled=fields.is_cancelled,
        is_ended_early=held.is_ended_early,
        energy_kw=fields.energy_kw,
        nomination_kw=fields.nomination_kw,
        priority_rank=fields.priority_rank,
        is_voluntary=fields.is_voluntary,
        cap=fields.cap,
        dispatch_event_types=list(fields.dispatch_event_types),
        programs=list(fields.programs),
        test=fields.test,
        is_confirmed=held.doubt is None,
        revision=held.revision,
        flags=list(belief.flags),
        extra=belief.extra or {},
        first_received_at=belief.first_received_at or now,
        changed_at=belief.changed_at or now,
        # Set even when only a doubt changed: to keep the old value could undo a request made meanwhile.
        plan_requested_at=now,
    )


def _write_revisions(beliefs: Sequence[_Belief]) -> None:
    rows = []
    for belief in beliefs:
        for row in belief.revisions:
            row.event_id = belief.event_id or 0
            rows.append(row)
    name_meters(rows)
    EventRevision.objects.bulk_create(rows)


def _write_doubts(beliefs: Sequence[_Belief], *, now: datetime) -> None:
    """Settle the stored doubts that are over, then store the new ones; at most one of an event is open."""
    for verdict in Verdict:
        for batch in batches([belief.event_id for belief in beliefs if belief.settled is verdict]):
            DoubtRow.objects.filter(event_id__in=batch, settled_at__isnull=True).update(
                settled_at=now, verdict=verdict
            )
    rows = []
    for belief in beliefs:
        for row in belief.doubts:
            row.event_id = belief.event_id or 0
            rows.append(row)
    if rows:
        DoubtRow.objects.bulk_create(rows)


def _write_items(items: Sequence[NotificationItem], beliefs: dict[Key, _Belief]) -> None:
    if not items:
        return
    for item in items:
        belief = beliefs.get((item.level, item.leap_event_id))
        item.event_id = belief.event_id if belief else None
    NotificationItem.objects.bulk_create(
        items,
        update_conflicts=True,
        unique_fields=("notification", "position"),
        update_fields=("level", "leap_event_id", "event", "outcome", "reason"),
    )


def _judge_push_path(beliefs: dict[Key, _Belief], *, now: datetime) -> None:
    """Note what a search found and no webhook had brought, and take back a note whose webhook came."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    pushed_after: dict[str, datetime] = {}
    for (level, _), belief in beliefs.items():
        if belief.pushed_after:
            pushed_after[level] = min(belief.pushed_after, pushed_after.get(level, belief.pushed_after))
        if belief.is_unpushed and belief.event_id:
            found[level].append(belief.event_id)
    pushed = {
        level
        for (level, _), belief in beliefs.items()
        if any(row.source == Source.WEBHOOK for row in belief.revisions)
    }
    take_back(pushed_after, pushed=pushed, now=now)
    if found:
        note_unpushed(found, now=now)
