"""What every test may ask for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # the browser's driver runs a loop of its own

# A busy machine must not fail a test, and two runs of the same code must try the same examples.
settings.register_profile(
    "portal", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("portal")
