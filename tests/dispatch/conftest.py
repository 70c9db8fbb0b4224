"""What the tests of the pages share."""

from __future__ import annotations

import re

import pytest
import time_machine

from tests.dispatch.rows import NOW
from tests.people import person


@pytest.fixture
def now():
    """The present stands still at NOW."""
    with time_machine.travel(NOW, tick=False):
        yield NOW


@pytest.fixture
def page(client, now, db):
    """Get a page as someone of a role: its text with white space made one."""
    signed_in = []

    def get(path: str, *, role: str = "viewer", **headers: str) -> str:
        if not signed_in:
            client.force_login(person(role))
            signed_in.append(role)
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200, answer
        return re.sub(r"\s+", " ", answer.content.decode())

    return get
