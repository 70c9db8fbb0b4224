"""Users and keys of each role."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils import timezone

from leapvpp.access import give_role
from leapvpp.keys import create_api_key


def person(role: str = "viewer", *, name: str = "") -> User:
    """A user of a role; "" for somebody without one."""
    user = User.objects.create_user(name or f"a-{role or 'stranger'}", password="a-long-password")
    if role:
        give_role(user, role)
    return user


def bearer(role: str = "viewer") -> dict[str, str]:
    """The header of a request by a fresh key of a role."""
    return {"authorization": f"Bearer {create_api_key(name=role, role=role, now=timezone.now())}"}
