"""The frame around every page."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db


def test_the_frame_needs_someone_signed_in(client):
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer["Location"] == "/sign-in/?next=/"


def test_the_frame_names_the_person_and_the_role(client):
    client.force_login(User.objects.create_user("maya", first_name="Maya", last_name="Okafor"))
    page = client.get("/").content.decode()
    assert "Maya Okafor" in page
    assert "Viewer" in page
    assert 'href="/admin/"' not in page


def test_without_a_live_event_the_stripe_is_empty(client):
    client.force_login(User.objects.create_user("maya"))
    assert "LIVE" not in client.get("/live/").content.decode()
