"""The demo's own Leap: where it listens and where it keeps its events."""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from leapvpp.demo.accounts import demo_folder
from leapvpp.models import Role

CONNECT_URL: Final = "https://connect.leap.energy?account=demo&variant=demo"
"""To show what links look like; Leap knows no such account."""


def have_a_leap() -> None:
    """Point the environment of programs started from here at a Leap on this machine, unless they have one."""
    if settings.LEAP_API_KEY:
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, key = f"http://127.0.0.1:{port}", secrets.token_urlsafe(16)
    os.environ["LEAP_API_BASE_URL"], os.environ["LEAP_API_KEY"] = url, key
    os.environ.setdefault("LEAP_CONNECT_URL", CONNECT_URL)
    path = _address_path()
    path.touch(mode=0o600)
    path.write_text(json.dumps({"url": url, "key": key}))


def running_leap() -> tuple[str, str]:
    """Return the address and key of the demo's Leap that was started last. Raises CommandError: none was."""
    try:
        said = json.loads(_address_path().read_text())
    except FileNotFoundError:
        raise CommandError(
            "LEAP_API_KEY is not set and no demo was started here. Set LEAP_API_BASE_URL and LEAP_API_KEY"
            " to those of a running simulator."
        ) from None
    return said["url"], said["key"]


def own_port() -> int:
    """Return the port at which the portal expects the demo's Leap; 0 (any) when it has a real one."""
    address = urlsplit(settings.LEAP_API_BASE_URL)
    return address.port or 0 if address.hostname == "127.0.0.1" else 0


def ledger_path() -> Path:
    """Return the file that remembers what the demo's Leap asked of this database."""
    began = User.objects.filter(username=Role.ADMIN).values_list("date_joined", flat=True).first()
    return demo_folder() / f"ledger-{began:%Y%m%d%H%M%S%f}.json"


def _address_path() -> Path:
    return demo_folder() / "leap.json"
