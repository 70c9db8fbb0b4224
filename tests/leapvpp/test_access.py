"""Roles and keys: who may do what."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from leapvpp.access import role_may, user_of_key
from leapvpp.keys import create_api_key
from leapvpp.models import ApiKey
from tests.people import bearer, person

pytestmark = pytest.mark.django_db

MAY = {
    # permission: viewer, operator, admin
    "dispatch.view_dispatchevent": (True, True, True),
    "devices.view_device": (True, True, True),
    "dispatch.operate": (False, True, True),
    "dispatch.administer": (False, False, True),
    "devices.change_device": (False, False, True),
    "auth.change_user": (False, False, True),
    "leapvpp.view_apikey": (False, False, True),
}


@pytest.mark.parametrize("permission", MAY)
def test_each_role_holds_what_the_table_says_by_user_and_by_key(permission):
    for role, may in zip(["viewer", "operator", "admin"], MAY[permission], strict=True):
        key = create_api_key(name=role, role=role, now=timezone.now())
        assert role_may(role, permission) is may
        assert person(role, name=f"{role} {permission}").has_perm(permission) is may
        assert user_of_key(key).has_perm(permission) is may
    assert not person("", name=permission).has_perm(permission)


def test_an_inactive_user_holds_nothing():
    user = person("admin")
    user.is_active = False
    assert not user.has_perm("dispatch.operate")


def test_a_key_is_stored_as_a_hash_and_shown_once():
    out = StringIO()
    call_command("create_api_key", "scraper", "--role", "operator", stdout=out)
    key = out.getvalue().strip()
    row = ApiKey.objects.get()
    assert (row.name, row.role) == ("scraper", "operator")
    assert key.startswith(row.prefix)
    assert key not in {str(value) for value in vars(row).values()}
    assert user_of_key(key).get_username() == "key scraper"


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
def test_a_key_that_ended_opens_nothing(end):
    key = create_api_key(name="old", role="admin", now=timezone.now())
    ApiKey.objects.update(**{end: timezone.now() - timedelta(seconds=1)})
    assert user_of_key(key) is None


@pytest.mark.parametrize("key", ["", "vpp_", "vpp_unknown", "nonsense", "vpp_\udcff"])
def test_an_unknown_key_opens_nothing(key):
    assert user_of_key(key) is None


def test_a_page_may_ask_for_the_user_of_a_key(rf):
    key = create_api_key(name="calendar", role="viewer", now=timezone.now())
    assert authenticate(rf.get("/"), api_key=key).get_username() == "key calendar"
    assert authenticate(rf.get("/"), api_key="vpp_wrong") is None


def test_the_use_of_a_key_is_noted(client):
    client.get("/metrics", headers=bearer())
    assert ApiKey.objects.get().last_used_at is not None


def test_a_made_up_key_is_a_problem_and_a_401(client):
    answer = client.get("/metrics", headers={"authorization": "Bearer vpp_made-up"})
    assert answer.status_code == 401
    assert answer["content-type"] == "application/problem+json"
    assert answer["www-authenticate"] == 'Bearer realm="api"'
    assert answer.json()["title"] == "Unauthorized"


def test_sign_in_works_on_plain_http_on_loopback_and_only_there():
    person("viewer", name="ann")
    form = {"username": "ann", "password": "a-long-password"}
    here = Client().post("/sign-in/", form, headers={"host": "127.0.0.1:8000"})
    assert here.status_code == 302
    assert not here.cookies["sessionid"]["secure"]
    elsewhere = Client(REMOTE_ADDR="192.0.2.7").post("/sign-in/", form, headers={"host": "127.0.0.1:8000"})
    assert elsewhere.cookies["sessionid"]["secure"]
    tls = Client().post("/sign-in/", form, headers={"host": "127.0.0.1:8000"}, secure=True)
    assert tls.cookies["sessionid"]["secure"]


def test_sign_in_never_sends_anybody_to_another_site(client):
    person("viewer", name="ann")
    answer = client.post("/sign-in/?next=//evil.example", {"username": "ann", "password": "a-long-password"})
    assert answer["location"] == "/"


def test_guessing_a_password_is_stopped(client):
    person("viewer", name="ann")
    for _ in range(10):
        answer = client.post("/sign-in/", {"username": "ann", "password": "wrong"})
    assert answer.status_code == 429
    assert client.post("/sign-in/", {"username": "ann", "password": "a-long-password"}).status_code == 429


def test_the_admin_makes_a_key_and_shows_it_once(client):
    client.force_login(person("admin"))
    made = client.post("/admin/leapvpp/apikey/add/", {"name": "site", "role": "viewer"})
    assert "messages" not in made.cookies
    page = client.get(made["location"])
    shown = str(next(iter(page.context["messages"])))
    assert user_of_key(shown.rpartition(" ")[2]).key.name == "site"
    assert ApiKey.objects.get().digest not in page.content.decode()


def test_nobody_reaches_the_queue_in_the_admin(client):
    client.force_login(person("admin"))
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/django_q/schedule/").status_code == 404
