"""Clients of the API by role."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.people import bearer


@pytest.fixture
def client_as(db):
    """Make a client that carries a key of a role."""

    def make(role: str) -> APIClient:
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=bearer(role)["authorization"])
        return client

    return make


@pytest.fixture
def viewer(client_as):
    """Who may read."""
    return client_as("viewer")


@pytest.fixture
def operator(client_as):
    """Who may operate."""
    return client_as("operator")


@pytest.fixture
def admin(client_as):
    """Who may administer."""
    return client_as("admin")
