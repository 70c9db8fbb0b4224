"""What the door does when the database keeps it waiting."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from dispatch.intake import door
from dispatch.models import RejectedDelivery

WEBHOOK = "/webhooks/leap/dispatch/"
IMPATIENCE = {"sqlite": "PRAGMA busy_timeout = 500", "postgresql": "SET LOCAL lock_timeout = 500"}


@pytest.mark.django_db
def test_a_wrong_key_is_counted_only_if_that_takes_no_time(client):
    with CaptureQueriesContext(connection) as asked:
        answer = client.post(WEBHOOK, b"{}", "application/json", headers={"x-api-key": "wrong"})
    assert (answer.status_code, RejectedDelivery.objects.get().count) == (401, 1)
    statements = [query["sql"] for query in asked]
    counting = next(place for place, sql in enumerate(statements) if "rejecteddelivery" in sql)
    assert IMPATIENCE[connection.vendor] in statements[:counting]


@pytest.mark.django_db
def test_a_wrong_key_is_answered_though_it_cannot_be_counted(client, monkeypatch):
    def busy(cause, *, at):
        raise OperationalError("database is locked")

    monkeypatch.setattr(door, "count_refusal", busy)
    answer = client.post(WEBHOOK, b"{}", "application/json", headers={"x-api-key": "wrong"})
    assert answer.status_code == 401
