"""A portfolio to look at: `manage.py up --demo` builds it, `manage.py demo_feed` keeps it busy.

Nothing outside this package knows of it, and nothing in it is needed to run a portal.
"""

from __future__ import annotations

from datetime import datetime

from leapvpp.demo.accounts import make_accounts
from leapvpp.demo.leap import have_a_leap
from leapvpp.demo.seeding import seed_demo


def prepare(*, now: datetime) -> tuple[str, str]:
    """Build what is missing of the demo and return the name and password to sign in with.

    Programs started afterwards find a simulated Leap in their environment, so that polling is on.

    Raises: NotADemo when the database belongs to a portal in use.
    """
    sign_in = make_accounts()
    seed_demo(now=now)
    have_a_leap()
    return sign_in
