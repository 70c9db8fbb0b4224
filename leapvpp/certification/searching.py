"""Leap's search in place of the posts that never came, asked of the simulator."""

from __future__ import annotations

from collections.abc import Sequence

from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.server import LeapSimulator


def search(leap: LeapSimulator, *, api_key: str, ledger: Sequence[LedgerEvent]) -> None:
    """Ask the simulator for all that the ledger holds, as the portal asks Leap."""
