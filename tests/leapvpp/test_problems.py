"""A database that does not answer: 503, on the API as on pages, and no note of a key's use in the way."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from leapvpp.access import user_of_key
from leapvpp.keys import create_api_key
from tests.people import bearer, person

pytestmark = pytest.mark.django_db


def busy(words: str):
    """Have statements that begin like this fail as on a database that is locked."""

    def run(execute, sql, params, many, context):
        if sql.startswith(words):
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    return connection.execute_wrapper(run)


def test_the_api_answers_503_with_a_problem(client):
    headers = bearer("viewer")
    with busy('SELECT COUNT(*) AS "__count" FROM "devices_device"'):
        answer = client.get("/api/v1/devices/", headers=headers)

    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert answer["Retry-After"]


def test_a_page_answers_503():
    client = Client(raise_request_exception=False)
    client.force_login(person("viewer"))
    with busy("SELECT"):
        answer = client.get("/devices/")

    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert b"The database does not answer" in answer.content


def test_a_key_is_known_though_its_use_cannot_be_noted():
    key = create_api_key(name="reader", role="viewer", now=timezone.now())
    with busy("UPDATE"):
        assert user_of_key(key)
