"""Measured power on the pages: what is drawn, in which sign, and what is said where nothing is."""

from __future__ import annotations

import pytest
from django.utils import timezone

pytestmark = pytest.mark.django_db
UTC = timezone.utc if hasattr(timezone, "utc") else None
