"""A portfolio to look at: `manage.py up --demo` builds it, `manage.py demo_feed` keeps it busy.

Outside this package only the addresses know of it, and nothing in it is needed to run a portal.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Final

from devices.simulating import look_back
from leapvpp.demo.accounts import make_accounts
from leapvpp.demo.leap import have_a_leap
from leapvpp.demo.seeding import seed_demo
from leapvpp.demo.showroom.rooms import seed_showroom

HISTORY: Final = timedelta(hours=4)
"""What the charts show of the time before the demo began."""


def prepare(*, now: datetime) -> tuple[str, str]:
    """Build what is missing of the demo and return the name and password to sign in with.

    Programs started afterwards find a simulated Leap in their environment, so that polling is on, and that
    they run a demo, so that its pages show.

    Raises: NotADemo when the database belongs to a portal in use.
    """
    sign_in = make_accounts()
    seed_demo(now=now)
    seed_showroom(now=now)
    look_back(since=now - HISTORY)
    have_a_leap()
    os.environ["DEMO"] = "true"
    return sign_in
