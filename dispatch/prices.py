"""What programs pay: kept by admins, measured by policies with a price of comfort. Asks for their plans."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from dispatch.planning import request_plan
from dispatch.policies import devices_under
from dispatch.policy_models import ProgramPrice, ResponsePolicy
from dispatch.queries import known_programs


def set_price(*, program: str, usd_per_kwh: Decimal, now: datetime) -> ProgramPrice:
    """Say what a program pays, in whole cents per kWh, and plan anew where that is weighed.

    A known program is meant in whatever case it is typed: events name it as Leap does.
    """
    program = program.strip()
    code = next((known for known in known_programs() if known.lower() == program.lower()), program)
    with transaction.atomic():
        held = ProgramPrice.objects.filter(program=code).first()
        if held and held.usd_per_kwh == usd_per_kwh:
            return held
        _plan_again(now=now)
        price, _ = ProgramPrice.objects.update_or_create(program=code, defaults={"usd_per_kwh": usd_per_kwh})
    return price


def remove_prices(*, programs: Collection[str], now: datetime) -> None:
    """Forget what programs pay; nothing happens where that is not known."""
    prices = ProgramPrice.objects.filter(program__in=programs)
    with transaction.atomic():
        if prices.exists():
            _plan_again(now=now)
            prices.delete()


def _plan_again(*, now: datetime) -> None:
    """Ask for plans of the devices under policies with a price of comfort."""
    policies = ResponsePolicy.objects.filter(comfort_price__isnull=False)
    request_plan(device_ids=devices_under(policies, now=now), now=now)
