"""Leap Connect: links for customers, and what Leap's events and meters say became of them.

The only writer of `Connection`, `ConnectionStep` and `MeterReference`. Asks Leap nothing: the events are
handed over by `meters.hinting`, the meters' bodies by `meters.syncing`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from meters.among import Ids
from meters.domain.connecting import REFERENCE, REFERENCE_RULE, Step, Story, follow
from meters.models import Meter
from meters.onboarding_models import Connection, ConnectionStep, MeterReference

LONGEST_REFERENCE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectEvent:
    """One event of Leap Connect. `kind`: SESSION or AUTHORIZATION (`meters.domain.connecting`).

    `status` and `utility_name` are Leap's words; `utility_name` is "" of a session.
    """

    partner_reference: str
    kind: str
    status: str
    utility_name: str
    webhook_event_id: str
    received_at: datetime


def note_connect_event(
    *,
    partner_reference: str,
    kind: str,
    status: str,
    utility_name: str,
    webhook_event_id: str,
    received_at: datetime,
) -> bool:
    """Note what Leap said of a customer, once however often it is noted; return whether it could be kept."""
    event = ConnectEvent(
        partner_reference=partner_reference,
        kind=kind,
        status=status,
        utility_name=utility_name,
        webhook_event_id=webhook_event_id,
        received_at=received_at,
    )
    return bool(note_connect_events([event]))


def note_connect_events(events: Sequence[ConnectEvent]) -> set[str]:
    """Note events in the order in which they were received; return the references of those that were kept.

    A customer of whom nobody made a link here gets a connection all the same. A reference that is empty, too
    long or holds a null character is left out. A constant number of statements.
    """
    kept = [each for each in events if _is_storable(each.partner_reference)]
    if not kept:
        return set()
    with transaction.atomic():
        connections = _connections_of(kept)
        ConnectionStep.objects.bulk_create(
            (
                ConnectionStep(
                    connection=connections[each.partner_reference],
                    kind=each.kind[:16],
                    status=each.status[:32],
                    utility_name=each.utility_name[:100],
                    webhook_event_id=each.webhook_event_id[:64],
                    received_at=each.received_at,
                )
                for each in kept
            ),
            ignore_conflicts=True,
        )
        _sum_up(connections.values())
    return set(connections)


def _is_storable(reference: str) -> bool:
    return 0 < len(reference) <= LONGEST_REFERENCE and "\0" not in reference


def _connections_of(events: Iterable[ConnectEvent]) -> dict[str, Connection]:
    """Hold the connections of events, in order of id, and make those that are not known."""
    first = {each.partner_reference: each.received_at for each in reversed(list(events))}
    Connection.objects.bulk_create(
        (Connection(partner_reference=one, first_at=at) for one, at in sorted(first.items())),
        ignore_conflicts=True,
    )
    rows = Connection.objects.select_for_update(no_key=True).order_by("pk")
    return {row.partner_reference: row for row in rows.filter(partner_reference__among=Ids(first))}


def _sum_up(connections: Iterable[Connection]) -> None:
    """Say of connections anew where their customers stand, from all their steps."""
    rows = list(connections)
    steps: defaultdict[int, list[Step]] = defaultdict(list)
    found = ConnectionStep.objects.filter(connection__among=Ids(row.pk for row in rows)).order_by("pk")
    for one in found:
        steps[one.connection_id].append(Step(one.kind, one.status, one.utility_name, one.received_at))
    for row in rows:
        _tell(row, follow(steps[row.pk]))
    fields = ["standing", "utility_name", "standing_since", "heard_at", "sessions", "authorized_utilities"]
    Connection.objects.bulk_update(rows, fields, batch_size=250)


def _tell(row: Connection, story: Story) -> None:
    row.standing = story.standing
    row.utility_name = story.utility_name
    row.standing_since = story.since
    row.heard_at = story.heard_at
    row.sessions = story.sessions
    row.authorized_utilities = list(story.authorized)


def keep_references(bodies: Mapping[int, Mapping[str, object]]) -> None:
    """Keep under which refIds meters were authorized, `{row id of the meter: Leap's body of it}`.

    A body without `connection_references` changes nothing. Two statements, one more where a refId went away.
    """
    heard = {
        meter: {one for one in said if isinstance(one, str) and _is_storable(one)}
        for meter, body in bodies.items()
        if isinstance(said := body.get("connection_references"), list)
    }
    known: defaultdict[int, dict[str, int]] = defaultdict(dict)
    rows = MeterReference.objects.filter(meter__among=Ids(heard))
    for pk, meter, reference in rows.values_list("pk", "meter_id", "reference"):
        known[meter][reference] = pk
    gone = [pk for meter, said in known.items() for ref, pk in said.items() if ref not in heard[meter]]
    MeterReference.objects.filter(pk__among=Ids(gone)).delete()
    MeterReference.objects.bulk_create(
        (
            MeterReference(meter_id=meter, reference=one)
            for meter, said in heard.items()
            for one in sorted(said - known[meter].keys())
        ),
        ignore_conflicts=True,
    )


def meters_by_refid(references: Iterable[str]) -> defaultdict[str, list[Meter]]:
    """Find the meters that came of refIds: named after one, or authorized under one. Two queries."""
    wanted = Ids(references)
    found: defaultdict[str, list[Meter]] = defaultdict(list)
    for meter in Meter.objects.filter(partner_reference__among=wanted).order_by("pk"):
        found[meter.partner_reference].append(meter)
    authorized = MeterReference.objects.filter(reference__among=wanted).select_related("meter")
    for one in authorized.order_by("meter_id"):
        if one.meter not in found[one.reference]:
            found[one.reference].append(one.meter)
    return found


class LinkRefused(ValueError):
    """A link cannot be made; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A link to make. `utilities`: which to offer, by commas; empty: all."""

    reference: str
    customer_name: str = ""
    region: str = ""
    utilities: str = ""
    note: str = ""


def check_wishes(wishes: Sequence[Wish]) -> dict[int, str]:
    """Return why links cannot be made, by position: a bad refId, or one that stands twice. No queries."""
    problems: dict[int, str] = {}
    seen: dict[str, int] = {}
    for position, wish in enumerate(wishes):
        if not REFERENCE.fullmatch(wish.reference):
            problems[position] = f"The refId must have {REFERENCE_RULE}."
        elif wish.reference in seen:
            problems[position] = f"The refId stands in row {seen[wish.reference] + 2} already; give it once."
        seen.setdefault(wish.reference, position)
    return problems


def make_links(wishes: Sequence[Wish], *, made_by: str, now: datetime) -> tuple[int, int]:
    """Make links, all of them or none; return how many are new and how many were known already.

    One that is known gets what the wish says beside its refId; its steps stay. One that only Leap had named
    counts as made here from now on. Raises LinkRefused.
    """
    for position, problem in check_wishes(wishes).items():
        raise LinkRefused(f"Row {position + 2}: {problem}" if len(wishes) > 1 else problem)
    with transaction.atomic():
        known = {
            row.partner_reference: row
            for row in Connection.objects.select_for_update(no_key=True)
            .filter(partner_reference__among=Ids(wish.reference for wish in wishes))
            .order_by("pk")
        }
        for wish in wishes:
            row = known.get(wish.reference)
            if row is not None:
                _ask(row, wish, made_by=row.made_by or made_by, made_at=row.made_at or now)
        Connection.objects.bulk_create(
            _ask(
                Connection(partner_reference=wish.reference, first_at=now), wish, made_by=made_by, made_at=now
            )
            for wish in wishes
            if wish.reference not in known
        )
        fields = ["customer_name", "transmission_region", "utilities", "note", "made_by", "made_at"]
        Connection.objects.bulk_update(known.values(), fields, batch_size=250)
    return len(wishes) - len(known), len(known)


def _ask(row: Connection, wish: Wish, *, made_by: str, made_at: datetime) -> Connection:
    row.customer_name = wish.customer_name or row.customer_name
    row.transmission_region = wish.region or row.transmission_region
    row.utilities = wish.utilities or row.utilities
    row.note = wish.note or row.note
    row.made_by, row.made_at = made_by, made_at
    return row
