"""Who may sign in to the demo: one user a role, with passwords drawn once and kept in its folder."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from leapvpp.access import give_role
from leapvpp.models import Role

MAIL_DOMAIN = "demo.example"  # tells the demo's users from real ones


class NotADemo(CommandError):
    """The database belongs to a portal in use, which the demo must not touch."""


def make_accounts() -> tuple[str, str]:
    """Make a user per role unless they are there; return the admin's name and password.

    The admin's password is the same at each start, as long as the file beside the demo's state lasts.

    Whom visitors added besides is left alone.

    Raises: NotADemo when others can sign in and none of the demo's users is among them.
    """
    if User.objects.exists() and not User.objects.filter(email__endswith=f"@{MAIL_DOMAIN}").exists():
        raise NotADemo("This database has users of its own; the demo needs an empty one. Set DATABASE_URL.")
    known = _read()
    passwords = {role.value: known.get(role.value) or secrets.token_urlsafe(12) for role in Role}
    for name, password in passwords.items():
        user, _ = User.objects.get_or_create(
            username=name, defaults={"email": f"{name}@{MAIL_DOMAIN}", "is_staff": name == Role.ADMIN}
        )
        if not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        give_role(user, name)
    _write(passwords)
    return Role.ADMIN.value, passwords[Role.ADMIN.value]


def demo_folder() -> Path:
    """Return the folder of what the demo keeps outside the database."""
    folder: Path = settings.STATE_DIR / "demo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _read() -> dict[str, str]:
    path = demo_folder() / "passwords.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _write(passwords: dict[str, str]) -> None:
    path = demo_folder() / "passwords.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(passwords, indent=1))
