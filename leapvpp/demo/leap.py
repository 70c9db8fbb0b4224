"""The demo's own Leap: where it listens and where it keeps its events."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User

from leapvpp.demo.accounts import demo_folder
from leapvpp.models import Role


def have_a_leap() -> None:
    """Point the environment of programs started from here at a Leap on this machine, unless they have one."""
    if settings.LEAP_API_KEY:
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["LEAP_API_BASE_URL"] = f"http://127.0.0.1:{port}"
    os.environ["LEAP_API_KEY"] = secrets.token_urlsafe(16)


def own_port() -> int:
    """Return the port at which the portal expects the demo's Leap; 0 (any) when it has a real one."""
    address = urlsplit(settings.LEAP_API_BASE_URL)
    return address.port or 0 if address.hostname == "127.0.0.1" else 0


def ledger_path() -> Path:
    """Return the file that remembers what the demo's Leap asked of this database."""
    began = User.objects.filter(username=Role.ADMIN).values_list("date_joined", flat=True).first()
    return demo_folder() / f"ledger-{began:%Y%m%d%H%M%S%f}.json"
