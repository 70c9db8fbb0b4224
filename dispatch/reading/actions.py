"""What unblocks the most power before which deadline: required actions in groups, and a group's meters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import QueryDict
from django.urls import reverse

from devices.unblocking import Due, Figures, power_at, present, read_deadlines, read_groups
from dispatch.reading.listing import PAGE_SIZE, Filter, Tab, chosen, drop_down, page_of, tabs
from meters.domain.action_words import Advice, advice_on
from meters.domain.actions import Band, Chance, Key, Ranked, next_chance, rank, shares
from meters.enrollment_models import ActionParty, Enrollment, RequiredAction
from meters.sync_models import MeterSync, SyncState

SHOWN_TABS: Final = {"": "Partner", "leap": "Leap's", "missed": "Missed", "resolved": "Resolved"}
BAND_NAMES: Final = {
    Band.TWO_DAYS: "Due within 2 days",
    Band.WEEK: "Due within 7 days",
    Band.FORTNIGHT: "Due within 14 days",
    Band.LATER: "Due later",
    Band.NO_DEADLINE: "No deadline",
    Band.MISSED: "Deadline missed",
}
MINE: Final = ":mine"
NOBODY: Final = ":nobody"
"""Choices of an owner that no user name can be, as a colon is in none."""
ADDRESS_OF: Final = {
    "party": "party",
    "action_type": "type",
    "action_code": "code",
    "program": "program",
    "delivery_period": "period",
}
"""What of a group's key stands under which name in an address, the deadline besides."""


@dataclass(frozen=True, slots=True)
class Row:
    """One group in the list."""

    key: Key
    advice: Advice
    described: str
    is_described_alike: bool
    meters: int
    alone_meters: int
    alone_kw: Decimal
    total_kw: Decimal
    unknown: int
    owner: str
    resolved_at: datetime | None
    chance: NextChance | None
    query: str

    @property
    def is_known(self) -> bool:
        """Say whether the power of any of its meters is known."""
        return self.unknown < self.meters


@dataclass(frozen=True, slots=True)
class NextChance:
    """When what missed its deadline can still get in; `period`: if that is another than the one it missed."""

    chance: Chance
    period: str


@dataclass(frozen=True, slots=True)
class Section:
    """The groups of one band on a page."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class DueRow:
    """One deadline with its bar."""

    due: Due
    percent: int


@dataclass(frozen=True, slots=True)
class Empty:
    """Why nothing is there to show, and the step that changes it."""

    title: str
    text: str
    href: str = ""
    verb: str = ""


@dataclass(frozen=True, slots=True)
class ActionList:
    """The list with what stands above it."""

    dues: tuple[DueRow, ...]
    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    sections: tuple[Section, ...]
    empty: Empty | None
    is_resolved: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One action of one meter."""

    id: int
    meter_id: str
    meter: str
    kw: Decimal | None
    others: int
    description: str
    appeared_at: datetime
    resolved_at: datetime | None
    owner_id: int | None
    owner: str
    note: str
    noted_by: str
    noted_at: datetime | None


@dataclass(frozen=True, slots=True)
class GroupDetail:
    """One group with a page of its meters."""

    key: Key
    advice: Advice
    figures: Figures | None
    band: str
    chance: NextChance | None
    page: Page[Any]
    items: tuple[Item, ...]
    is_resolved: bool
    query: str


def read_list(query: QueryDict, *, user: Any, now: datetime) -> ActionList:
    """Read one page of groups. Eight queries at most, whatever there is."""
    show = chosen(query, "show", allowed=SHOWN_TABS)
    filters = _filters(query)
    found = _found(query, filters, user=user)
    which = which_of(now=now)
    is_resolved = show == "resolved"
    figures = {one.group.key: one for one in read_groups(found(which[show]), is_resolved=is_resolved)}
    page = Paginator(_in_order(figures, now=now, is_resolved=is_resolved), PAGE_SIZE).get_page(
        query.get("page", "")
    )
    counts = found(Q()).aggregate(
        **{f"in_{key or 'partner'}": Count("pk", filter=condition) for key, condition in which.items()}
    )
    return ActionList(
        dues=_dues(found(which[""])),
        tabs=tabs(
            SHOWN_TABS, current=show, counts={key: counts[f"in_{key or 'partner'}"] for key in SHOWN_TABS}
        ),
        filters=filters,
        search=query.get("q", "").strip(),
        page=page,
        sections=_sections(list(page), figures, show=show, now=now),
        empty=None if page else _empty(query, filters, show=show),
        is_resolved=is_resolved,
    )


def export_rows(query: QueryDict, *, user: Any, now: datetime) -> QuerySet[Any]:
    """Give the actions the list shows, all pages of them, for a file."""
    show = chosen(query, "show", allowed=SHOWN_TABS)
    found = _found(query, _filters(query), user=user)(which_of(now=now)[show])
    return with_meter(found).order_by(
        "deadline_at", "action_type", "action_code", "program", "meter__name", "pk"
    )


def which_of(*, now: datetime) -> dict[str, Q]:
    """Return what each tab shows."""
    is_open, is_partners = Q(resolved_at__isnull=True), Q(party=ActionParty.PARTNER)
    is_missed = Q(deadline_at__isnull=False, deadline_at__lte=now)
    return {
        "": is_open & is_partners & (Q(deadline_at__isnull=True) | Q(deadline_at__gt=now)),
        "leap": is_open & ~is_partners,
        "missed": is_open & is_partners & is_missed,
        "resolved": Q(resolved_at__isnull=False),
    }


def _filters(query: QueryDict) -> tuple[Filter, ...]:
    """Build the drop-downs from what there is. Two queries."""
    pairs = set(RequiredAction.objects.order_by().values_list("program", "action_type").distinct())
    programs = {name: name for name in sorted({program for program, _ in pairs if program})}
    types = {name: advice_on(name).title for name in sorted({kind for _, kind in pairs})}
    owners = {MINE: "Mine", NOBODY: "Nobody's"} | dict(_owner_names())
    options = (
        ("program", "Program", "All programs", programs),
        ("owner", "Owner", "All owners", owners),
        ("type", "What is asked", "Everything", types),
    )
    return tuple(
        drop_down(
            name, label=label, everything=everything, options=of, current=chosen(query, name, allowed=of)
        )
        for name, label, everything, of in options
    )


def _owner_names() -> Iterable[tuple[str, str]]:
    return [(user.get_username(), user.get_full_name() or user.get_username()) for user in owners()]


def owners() -> QuerySet[Any]:
    """Return who may be given an action: whoever may sign in."""
    return get_user_model().objects.filter(is_active=True).order_by("username")


def _found(query: QueryDict, filters: Sequence[Filter], *, user: Any) -> Any:
    """Return a function from a condition to the actions that the filters and the search leave of it."""
    picked = {each.name: choice.key for each in filters for choice in each.choices if choice.is_chosen}
    kept = Q()
    if "program" in picked:
        kept &= Q(program=picked["program"])
    if "type" in picked:
        kept &= Q(action_type=picked["type"])
    owner = picked.get("owner")
    if owner == MINE:
        kept &= Q(owner_id=user.pk)
    elif owner == NOBODY:
        kept &= Q(owner__isnull=True)
    elif owner:
        kept &= Q(owner__username=owner)
    if search := query.get("q", "").strip():
        kept &= (
            Q(meter__name__icontains=search)
            | Q(meter__partner_reference__icontains=search)
            | Q(meter__meter_id__istartswith=search)
            | Q(action_code__istartswith=search)
            | Q(description__icontains=search)
        )
    return lambda condition: RequiredAction.objects.filter(condition, kept, meter__archived_at__isnull=True)


def _in_order(figures: Mapping[Key, Figures], *, now: datetime, is_resolved: bool) -> list[Ranked]:
    ranked = rank([one.group for one in figures.values()], now=now)
    if not is_resolved:
        return list(ranked)
    oldest = datetime.min.replace(tzinfo=now.tzinfo)
    return sorted(ranked, key=lambda one: figures[one.group.key].resolved_at or oldest, reverse=True)


def _sections(
    page: Sequence[Ranked], figures: Mapping[Key, Figures], *, show: str, now: datetime
) -> tuple[Section, ...]:
    names = _names_of(figures[one.group.key] for one in page)
    chances = _chances([one.group.key for one in page], now=now) if show == "missed" else {}

    def row(one: Ranked) -> Row:
        return _row(figures[one.group.key], names=names, chance=chances.get(one.group.key))

    if show == "resolved":
        return (Section("", tuple(row(one) for one in page)),) if page else ()
    return tuple(
        Section(BAND_NAMES[band], tuple(row(one) for one in ranked))
        for band, ranked in groupby(page, key=lambda one: one.band)
    )


def _names_of(figures: Iterable[Figures]) -> dict[int, str]:
    """Return the names of owners. One query."""
    ids = {owner for one in figures for owner in one.owner_ids if owner is not None}
    return {
        user.pk: user.get_full_name() or user.get_username()
        for user in get_user_model().objects.filter(pk__in=ids)
    }


def _row(one: Figures, *, names: Mapping[int, str], chance: NextChance | None) -> Row:
    group = one.group
    return Row(
        key=group.key,
        advice=advice_on(group.key.action_type),
        described=one.descriptions[0] or one.descriptions[1],
        is_described_alike=one.descriptions[0] == one.descriptions[1],
        meters=group.meters,
        alone_meters=group.alone_meters,
        alone_kw=group.alone_kw,
        total_kw=group.total_kw,
        unknown=group.unknown,
        owner=owner_words(one, names=names),
        resolved_at=one.resolved_at,
        chance=chance,
        query=address_of(group.key, is_resolved=one.resolved_at is not None),
    )


def owner_words(one: Figures, *, names: Mapping[int, str]) -> str:
    """Say who has the actions of a group: "Ada Lane", "Ada Lane and others, 3 nobody's"; empty for nobody.

    Owners are known by the first and the last alone.
    """
    first, last = (names.get(owner or 0, "") for owner in one.owner_ids)
    if not one.owned or not first:
        return ""
    who = first if one.owner_ids[0] == one.owner_ids[1] else f"{first}, {last}"
    rest = one.group.meters - one.owned
    return f"{who}; {rest:,} nobody's" if rest else who


def address_of(key: Key, *, is_resolved: bool = False) -> str:
    """Write a group's key as the query of its page."""
    pairs = {name: getattr(key, field) for field, name in ADDRESS_OF.items()}
    pairs["deadline"] = key.deadline_at.isoformat() if key.deadline_at else ""
    return urlencode(pairs | ({"show": "resolved"} if is_resolved else {}))


def key_in(query: QueryDict) -> Key:
    """Read a group's key from an address.

    Raises:
        ValueError: its deadline is no time with an offset.
    """
    text = query.get("deadline", "")
    deadline_at = None
    if text:
        deadline_at = datetime.fromisoformat(text)
        if deadline_at.tzinfo is None:
            raise ValueError("a deadline has an offset")
        try:
            deadline_at = deadline_at.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("a deadline lies within the calendar") from error
    return Key(**{field: query.get(name, "") for field, name in ADDRESS_OF.items()}, deadline_at=deadline_at)


def of_group(key: Key, *, is_resolved: bool) -> QuerySet[RequiredAction]:
    """Return the actions of a group."""
    fields = {field: getattr(key, field) for field in ADDRESS_OF}
    deadline = {"deadline_at__isnull": True} if key.deadline_at is None else {"deadline_at": key.deadline_at}
    return present(is_resolved=is_resolved).filter(**fields, **deadline)


def _chances(keys: Sequence[Key], *, now: datetime) -> dict[Key, NextChance]:
    """Return the next chances of groups, in their delivery period or in a later one. One query."""
    programs = {key.program for key in keys}
    rows = Enrollment.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), program__in=programs)
    ahead = [
        (program, period, chance)
        for program, period, pairs in rows.order_by()
        .values_list("program", "delivery_period", "deadlines")
        .distinct()
        if (chance := next_chance(pairs, now=now))
    ]
    found = {}
    for key in keys:
        of_program = [(period, chance) for program, period, chance in ahead if program == key.program]
        if of_program:
            # In its own period rather than in an earlier deadline of another.
            period, chance = min(
                of_program, key=lambda one: (one[0] != key.delivery_period, one[1].deadline_at)
            )
            found[key] = NextChance(chance, "" if period == key.delivery_period else period)
    return found


def _dues(actions: QuerySet[RequiredAction]) -> tuple[DueRow, ...]:
    dues = read_deadlines(actions)
    percents = shares([due.total_kw for due in dues])
    return tuple(DueRow(due, percent) for due, percent in zip(dues, percents, strict=True))


def _empty(query: QueryDict, filters: Sequence[Filter], *, show: str) -> Empty:
    if query.get("q", "").strip() or any(each.is_chosen for each in filters):
        return Empty("No action matches", "Take a filter away, or search for another meter.", ".", "Show all")
    if not settings.LEAP_API_KEY:
        text = "Required actions come from Leap. Set LEAP_API_KEY and start the portal again."
        return Empty("Leap is not asked", text)
    if not MeterSync.objects.filter(state=SyncState.DONE).exists():
        text = "Required actions come with the meters: no sync with Leap has gone well yet."
        return Empty("Nothing is known yet", text, reverse("dispatch:meters"), "See the sync")
    return {
        "": Empty(
            "Leap asks nothing of you",
            "What keeps a meter from being enrolled stands here, the nearest deadline first.",
        ),
        "leap": Empty(
            "Leap has nothing to do",
            "What Leap itself has to do for a meter stands here; it needs nothing of you.",
        ),
        "missed": Empty(
            "No deadline was missed", "What was not done in time stands here, with its next chance."
        ),
        "resolved": Empty(
            "Nothing is resolved yet", "What Leap no longer asks is kept here, with its owner and note."
        ),
    }[show]


def read_group(query: QueryDict, *, now: datetime) -> GroupDetail:
    """Read one group with a page of its meters. Six queries at most.

    Raises:
        ValueError: the address names no group.
    """
    key, is_resolved = key_in(query), query.get("show") == "resolved"
    found = of_group(key, is_resolved=is_resolved)
    figures = next(iter(read_groups(found, is_resolved=is_resolved)), None)
    shown = with_meter(found).order_by("meter__name", "meter__partner_reference", "pk")
    page = page_of(shown, number=query.get("page", ""))
    ranked = rank([figures.group], now=now) if figures else ()
    is_missed = bool(ranked) and ranked[0].band is Band.MISSED and not is_resolved
    return GroupDetail(
        key=key,
        advice=advice_on(key.action_type),
        figures=figures,
        band=BAND_NAMES[ranked[0].band] if ranked and not is_resolved else "",
        chance=_chances([key], now=now).get(key) if is_missed else None,
        page=page,
        items=tuple(item_of(action) for action in page),
        is_resolved=is_resolved,
        query=address_of(key, is_resolved=is_resolved),
    )


def with_meter(actions: QuerySet[RequiredAction]) -> QuerySet[Any]:
    """Bring the meter, its power, the owner and what else the meter waits for along."""
    others = (
        RequiredAction.objects.filter(
            meter=OuterRef("meter"),
            party=ActionParty.PARTNER,
            program=OuterRef("program"),
            delivery_period=OuterRef("delivery_period"),
            resolved_at__isnull=True,
        )
        .exclude(pk=OuterRef("pk"))
        .order_by()
        .values("meter")
        .annotate(count=Count("pk"))
    )
    return actions.select_related("meter", "owner").annotate(
        kw=power_at("meter", nomination="meter__nomination_kw"),
        others=Coalesce(Subquery(others.values("count")), 0),
    )


def item_of(action: Any) -> Item:
    """Turn an action with its meter into what a page shows."""
    return Item(
        id=action.pk,
        meter_id=action.meter.meter_id,
        meter=str(action.meter),
        kw=action.kw,
        others=action.others,
        description=action.description,
        appeared_at=action.appeared_at,
        resolved_at=action.resolved_at,
        owner_id=action.owner_id,
        owner=(action.owner.get_full_name() or action.owner.get_username()) if action.owner else "",
        note=action.note,
        noted_by=action.noted_by,
        noted_at=action.noted_at,
    )
