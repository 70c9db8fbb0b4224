"""Who may do what: three roles, carried by a signed-in user's group or by a key of the API.

Viewer reads, operator operates, admin administers; each includes the one before. The table below is
the whole rule, so nothing depends on which permission rows a database happens to hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from leapvpp.keys import create_api_key as create_api_key
from leapvpp.keys import find_api_key
from leapvpp.models import ApiKey, Role

if TYPE_CHECKING:  # the framework's views read the settings that name this module
    from rest_framework.views import APIView

OPERATE = "dispatch.operate"
ADMINISTER = "dispatch.administer"
OWN_APPS = {"dispatch", "devices", "meters", "leapvpp"}
RANKS = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


def role_may(role: str, permission: str) -> bool:
    """Tell whether a role holds a permission, named `app.codename`."""
    rank = RANKS.get(Role(role), 0) if role in Role.values else 0
    app, _, codename = permission.partition(".")
    if permission == OPERATE:
        return rank >= RANKS[Role.OPERATOR]
    if app in OWN_APPS and codename.startswith("view_") and app != "leapvpp":
        return rank >= RANKS[Role.VIEWER]
    return rank >= RANKS[Role.ADMIN]


def role_of(user: User) -> str:
    """Return the highest role among a user's groups, or "" for none. One query a request."""
    if not hasattr(user, "_portal_role"):
        held = set(user.groups.filter(name__in=Role.values).values_list("name", flat=True))
        user._portal_role = max(held, key=lambda name: RANKS[Role(name)], default="")  # type: ignore[attr-defined]
    return str(user._portal_role)  # type: ignore[attr-defined]


def give_role(user: User, role: str) -> None:
    """Make `role` the user's only role.

    Raises: ValueError if there is no such role.
    """
    group, _ = Group.objects.get_or_create(name=Role(role).value)
    user.groups.remove(*Group.objects.filter(name__in=Role.values))
    user.groups.add(group)


class KeyUser(AnonymousUser):
    """Whoever sent a key: signed in, with the key's role, and no row among the users."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.username = f"key {key.name}"  # type: ignore[assignment]  # the stubs only know ""
        self.is_active = True  # type: ignore[assignment]

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]  # an anonymous user that is known after all
        """Always true: the key was found."""
        return True

    @property
    def is_anonymous(self) -> bool:  # type: ignore[override]
        """Always false."""
        return False

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Tell whether the key's role holds the permission."""
        return role_may(self.key.role, perm)

    def get_username(self) -> str:
        """Return the name that is noted beside what the key did."""
        return self.username

    def __str__(self) -> str:
        return self.username

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyUser) and other.key.pk == self.key.pk

    def __hash__(self) -> int:
        return hash(self.key.pk)


def user_of_key(key: str) -> KeyUser | None:
    """Return who a key speaks for, or None if it is unknown, revoked or expired."""
    row = find_api_key(key, now=timezone.now())
    return KeyUser(row) if row else None


class RoleBackend(BaseBackend):
    """Gives a user what the role of the user's group holds."""

    def has_perm(self, user_obj: Any, perm: str, obj: object = None) -> bool:
        """Tell whether an active user's role holds the permission."""
        return bool(user_obj.is_active and user_obj.pk) and role_may(role_of(user_obj), perm)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Tell whether an app is listed for the user in the admin."""
        return bool(user_obj.is_active and user_obj.pk) and role_may(role_of(user_obj), ADMINISTER)


class ApiKeyBackend(BaseBackend):
    """Lets a page that cannot know keys ask `authenticate(request, api_key=…)`."""

    def authenticate(  # type: ignore[override]  # a key's user has no row
        self, request: HttpRequest | None, api_key: str | None = None, **_: Any
    ) -> AbstractBaseUser | KeyUser | None:
        """Return who the key speaks for."""
        return user_of_key(api_key) if api_key else None


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`."""

    def authenticate(self, request: Request) -> tuple[KeyUser, ApiKey] | None:
        """Return the key's user; None if the request names no key.

        Raises: AuthenticationFailed if it names one that is unknown, revoked or expired.
        """
        scheme, _, key = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        user = user_of_key(key.strip().decode("latin-1"))
        if user is None:
            raise AuthenticationFailed("The key is unknown, revoked or expired.")
        return user, user.key

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, so that a refusal is a 401."""
        return 'Bearer realm="api"'


class RolePermission(BasePermission):
    """Safe methods: whoever is signed in. Others: the view's `write_permission`, or to operate.

    A view whose POST writes nothing may set `write_permission = ""`; one that shows secrets even to
    readers may set `read_permission`.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the request may go on."""
        if not request.user.is_authenticated:
            return False
        if request.method in SAFE_METHODS:
            permission = getattr(view, "read_permission", "")
        else:
            permission = getattr(view, "write_permission", OPERATE)
        return not permission or request.user.has_perm(permission)
