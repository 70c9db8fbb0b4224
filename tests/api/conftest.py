"""Clients of the API by role."""

from __future__ import annotations

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from leapvpp.access import create_api_key


@pytest.fixture
def client_as(db):
    """Make a client that carries a key of the role; "" is nobody."""

    def make(role: str) -> APIClient:
        client = APIClient(raise_request_exception=False)
        if role:
            key = create_api_key(name=role, role=role, now=timezone.now())
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
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
