"""Who is in a market group at a time, and asking that it be laid beside whom Leap calls."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q

from meters.among import Ids
from meters.models import MarketGroup


def in_effect(at: datetime) -> Q:
    """Select the memberships that hold at a time; a meter may have several in one group."""
    return Q(starts_at__lte=at) & (Q(ends_at__isnull=True) | Q(ends_at__gt=at))


def request_comparison(market_group_ids: Collection[str], *, now: datetime) -> None:
    """Have groups, by Leap's ids, compared with the calls of them. One statement.

    The rows are taken in order of id, so that nobody who asks for several locks another out.
    """
    named = MarketGroup.objects.filter(market_group_id__among=Ids(market_group_ids))
    held = named.order_by("pk").select_for_update(no_key=True)
    MarketGroup.objects.filter(pk__in=held.values("pk")).update(compare_requested_at=now)
