"""Every address × every role: who is let in, who is sent to sign in, who is refused.

The addresses are walked, not listed: a new one falls under the rule, and an exception to the rule must be
written into one of the tables below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.people import bearer, person

OPEN = {"healthz", "readyz", "sign-in", "sign-out"}
"""Reached without signing in."""
KEY_IN_THE_ADDRESS = {"dispatch:feed"}
"""Let in by `?key=`; a stranger without one gets a 401 or 403."""
WEBHOOKS = {"dispatch-webhook", "events-webhook"}
"""Let in by Leap's key and nothing else: 401 to everybody of ours."""
VIEWER_MAY_POST = {"api:plan-preview", "dispatch:preview", "dispatch:changes-seen", "dispatch:subscribe"}
"""Writes nothing, or only the user's own."""
ADMINS_ONLY = {
    "api:device-list",
    "api:device-detail",
    "api:device-import",
    "api:mapping-import",
    "api:meter-list",
    "api:meter-detail",
    "api:meter-import",
    "api:meter-job-import",
    "api:meter-job-list",
    "dispatch:device-dismiss",
    "dispatch:device-import",
    "dispatch:leap-act",
    "dispatch:leap-key",
    "dispatch:mapping-apply",
    "dispatch:mapping-import",
    "dispatch:mapping-keep",
    "dispatch:mapping-undo",
    "dispatch:meter-import",
    "dispatch:meter-job-again",
    "dispatch:meter-job-send",
    "dispatch:meter-map",
    "dispatch:meter-unmap",
    "dispatch:policy-add",
    "dispatch:policy-assign",
    "dispatch:policy-delete",
    "dispatch:policy-edit",
    "dispatch:policy-unassign",
    "dispatch:price-remove",
    "dispatch:price-set",
}
"""Unsafe methods are the admin's: what is mapped to what."""
NOT_FOR_VIEWERS = {
    "dispatch:connection-add",
    "dispatch:device-import",
    "dispatch:mapping-import",
    "dispatch:meter-import",
    "dispatch:meter-job-add",
    "dispatch:meter-job-add-meter",
    "dispatch:notification-body",
    "dispatch:override-add",
    "dispatch:participation-add",
    "dispatch:policy-add",
    "dispatch:policy-edit",
    "dispatch:policy-replay-add",
}
"""A form that a viewer could not send, and the bytes as Leap sent them: not even shown."""


def walk(patterns, *, prefix: str = "", space: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, address with 1 for every parameter)."""
    for pattern in patterns:
        route = prefix + plain(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            if pattern.namespace != "admin":
                yield from walk(pattern.url_patterns, prefix=route, space=inner)
        elif isinstance(pattern, URLPattern):
            yield f"{space}{pattern.name}", route


def plain(pattern: str) -> str:
    """Return an address from a route or a regular expression of a route."""
    pattern = re.sub(r"\(\?P<\w+>[^)]*\)|<[^>]+>", "1", pattern)
    return pattern.replace("^", "").replace("/?$", "/").replace("$", "").replace("\\Z", "")


ROUTES = {name: f"/{route}" for name, route in walk(get_resolver().url_patterns)}
RULED = sorted(ROUTES.keys() - OPEN - KEY_IN_THE_ADDRESS - WEBHOOKS)


def is_api(name: str) -> bool:
    return name.startswith("api:") or name == "metrics"


def status(name: str, method: str, role: str) -> int:
    """What a role gets for a method at an address; "" is a stranger."""
    client, headers = Client(), {}
    if role and is_api(name):
        headers = bearer(role)
    elif role:
        client.force_login(person(role))
    content = {"content_type": "application/json", "data": "{}"} if is_api(name) and method != "GET" else {}
    answer = getattr(client, method.lower())(ROUTES[name], headers=headers, **content)
    if answer.status_code == 302 and answer["location"].startswith("/sign-in/"):
        return 401
    return answer.status_code


@pytest.mark.django_db
@pytest.mark.parametrize("name", RULED)
def test_strangers_are_kept_out_and_readers_let_in(name):
    assert status(name, "GET", "") == 401
    assert status(name, "POST", "") == 401
    seen = status(name, "GET", "viewer")
    assert seen not in {401, 500}
    assert (seen == 403) is (name in NOT_FOR_VIEWERS)


@pytest.mark.django_db
@pytest.mark.parametrize("name", RULED)
def test_only_whose_role_allows_it_may_write(name):
    methods = ["POST", "PUT", "PATCH", "DELETE"] if is_api(name) else ["POST"]
    for method in methods:
        by_viewer, by_operator, by_admin = (
            status(name, method, role) for role in ["viewer", "operator", "admin"]
        )
        if by_admin == 405:
            continue
        assert by_admin not in {401, 403}, method
        assert (by_viewer == 403) is (name not in VIEWER_MAY_POST), (method, by_viewer)
        assert (by_operator == 403) is (name in ADMINS_ONLY), (method, by_operator)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["", "viewer", "operator", "admin"])
def test_nobody_of_ours_speaks_for_leap(role, client):
    for name in sorted(WEBHOOKS & ROUTES.keys()):
        headers = bearer(role) if role else {}
        answer = client.post(ROUTES[name], "{}", content_type="application/json", headers=headers)
        assert answer.status_code == 401


@pytest.mark.django_db
def test_the_calendar_of_a_stranger_is_refused(client):
    for name in sorted(KEY_IN_THE_ADDRESS & ROUTES.keys()):
        assert client.get(ROUTES[name]).status_code in {401, 403}
        assert client.get(f"{ROUTES[name]}?key=vpp_wrong").status_code in {401, 403}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "expected"),
    [("", 302), ("viewer", 403), ("operator", 403), ("admin", 200)],
    ids=lambda v: str(v),
)
def test_the_admin_is_the_admins(role, expected, client):
    if role:
        client.force_login(person(role))
    for path in ["/admin/", "/admin/auth/user/", "/admin/leapvpp/apikey/"]:
        assert client.get(path).status_code == expected


@pytest.mark.django_db
def test_a_role_taken_away_is_gone_at_the_next_request(client):
    user = person("admin")
    client.force_login(user)
    assert client.get("/admin/").status_code == 200
    user.groups.clear()
    assert client.get("/admin/").status_code == 403
    type(user).objects.update(is_active=False)
    assert client.get("/admin/").status_code == 302
