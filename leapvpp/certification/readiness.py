"""Whether a run makes sense now: the web answers, and workers and dispatcher are alive."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

import httpx

from leapvpp.health import COMMAND_WORKER, DISPATCHER, WORKER, signs

NEEDED = {"database", WORKER, COMMAND_WORKER, DISPATCHER}


def why_not_ready(*, url: str, now: datetime) -> str:
    """Return why the installation at `url` cannot be certified, in a sentence; "" when it can.

    Leap's own search need not answer: the run brings its own.
    """
    try:
        status = httpx.get(f"{url.rstrip('/')}/healthz", timeout=10, trust_env=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"Nothing answers at {url} ({type(error).__name__}). Start the portal, or name it with --url."
    if status != HTTPStatus.OK:
        return f"{url} answered {status}. Name this portal with --url; ALLOWED_HOSTS must allow its host."
    return why_not_working(now=now)


def why_not_working(*, now: datetime) -> str:
    """Return which process is missing, in a sentence; "" when all run."""
    bad = [sign for sign in signs(now=now) if sign.name in NEEDED and not sign.is_good]
    return " ".join(f"The {sign.name} is not running: {sign.detail}." for sign in bad)
