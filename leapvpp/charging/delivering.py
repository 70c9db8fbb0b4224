"""Have one charger hold what was ordered, and ask it afterwards what it holds.

1. Refuse a version older than the newest that was ordered, or made by the time the charger signed in.
2. Write, unless the charger is known to hold this very version.
3. Read back: what the charger says is the proof if it agrees, and is told if it does not.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from devices.domain.charging import disagreement, proof_of
from devices.drivers.ocpp_control import Order, Outcome
from leapvpp.charging.chargers import Charger, NoAnswer, Refused

ASKING_PART: Final = 0.25
"""The part of the time that a charger may take to say what it holds before the write."""
LONGEST_LOOK: Final = timedelta(hours=24)
SHORTEST_LOOK: Final = timedelta(minutes=5)


async def deliver(charger: Charger, order: Order) -> Outcome:
    """Return what came of an order; whatever the charger does, within `order.seconds`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + order.seconds
    try:
        async with asyncio.timeout_at(until), charger.turn:
            refusal = await _write(charger, order, until=until)
    except TimeoutError:
        return Outcome(order.number, failure="The charger is busy with an earlier order.")
    except NoAnswer as silence:
        return Outcome(order.number, failure=str(silence), is_heard=silence.is_heard)
    if refusal:
        return Outcome(order.number, detail=refusal)
    return await _read_back(charger, order, until=until)


async def _write(charger: Charger, order: Order, *, until: float) -> str:
    """Write the order and return why it is refused, "" if it is held. Raises NoAnswer."""
    await charger.find_held(order, until=until - (1 - ASKING_PART) * order.seconds)
    if order.version < charger.newest:
        return f"Version {order.version} is older than version {charger.newest}."
    if time.time() >= order.not_after:
        raise NoAnswer("The order came too late: whoever gave it has given up.")
    charger.newest = order.version
    if charger.held == order.version:
        return ""
    try:
        await (charger.set_limits if order.limits else charger.clear)(order, until=until)
    except Refused as answer:
        return f"The charger {answer}."
    charger.held = order.version
    return ""


async def _read_back(charger: Charger, order: Order, *, until: float) -> Outcome:
    """Ask the charger what it will do and compare; it has accepted, whatever it says now."""
    now = datetime.now(UTC)
    windows = order.limits
    if windows and windows[-1].end <= now:
        return Outcome(order.number, is_accepted=True)
    end = windows[-1].end if windows else now
    look = min(max(end - now, SHORTEST_LOOK), LONGEST_LOOK)
    try:
        async with asyncio.timeout_at(until), charger.turn:
            said = await charger.composite(order, seconds=int(look.total_seconds()), until=until)
    except Refused as answer:
        return Outcome(order.number, is_accepted=True, detail=f"Accepted; asked, the charger {answer}.")
    except (NoAnswer, TimeoutError):
        detail = "Accepted; the charger did not say what it holds."
        return Outcome(order.number, is_accepted=True, detail=detail)
    if wrong := disagreement(windows, said, rated_kw=order.rated_kw, now=now):
        return Outcome(order.number, is_accepted=True, detail=f"Accepted, but {wrong}.")
    return Outcome(order.number, is_accepted=True, proof=proof_of(windows, said, now=now))
