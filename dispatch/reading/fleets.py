"""How many devices stand behind the meters that requests name. One query for all owners of a page."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import Case, DecimalField, F, Func, IntegerField, OuterRef, QuerySet, Subquery, When

from devices.models import Device, MeterDevice
from dispatch.models import RecipientMember, RecipientSet
from dispatch.reading.lanes import Fleet
from dispatch.reading.requests import Request

POWER = DecimalField(max_digits=16, decimal_places=3)


def devices_behind(recipients_id: Any) -> QuerySet[Any]:
    """Select the ids of the devices behind a recipient set; takes an id or an OuterRef."""
    named = RecipientMember.objects.filter(recipients_id=recipients_id).values("meter_id")
    return MeterDevice.objects.filter(meter__meter_id__in=named).values("device_id")


def _over(rows: QuerySet[Any], what: Any, *, function: str, output: Any) -> Subquery:
    """Aggregate a correlated query as a whole; `annotate(Count(...))` would group it by row."""
    answer = Func(what, function=function, output_field=output)
    return Subquery(rows.order_by().annotate(answer=answer).values("answer"), output_field=output)


def read_fleets(requests: Iterable[Request]) -> dict[str, Fleet]:
    """Count devices per owner: the recipients of its latest request stand for it."""
    sets = {request.owner.key: request.recipients_id for request in requests}
    behind = Device.objects.filter(id__in=devices_behind(OuterRef(OuterRef(OuterRef("pk")))))
    online = Case(When(is_online=True, then=F("id")))
    rows = RecipientSet.objects.filter(pk__in=set(sets.values())).annotate(
        devices=_over(behind, F("id"), function="COUNT", output=IntegerField()),
        online=_over(behind, online, function="COUNT", output=IntegerField()),
        rated_kw=_over(behind, F("rated_power_kw"), function="SUM", output=POWER),
    )
    found = {
        row.pk: Fleet(devices=row.devices or 0, online=row.online or 0, rated_kw=row.rated_kw or Decimal(0))
        for row in rows
    }
    return {key: found[set_id] for key, set_id in sets.items() if not key.startswith("single:")}
