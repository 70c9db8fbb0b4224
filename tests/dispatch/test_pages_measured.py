"""Measured power on the pages: what is drawn, in which sign, and what is said where nothing is."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import DeviceSchedule, ScheduleSegment
from devices.telemetry import DeviceReading, record_readings
from dispatch.reading.measured import read_device_power, read_event_power
from tests.builders import device, meter
from tests.rows import event

pytestmark = pytest.mark.django_db
UTC = timezone.utc if hasattr(timezone, "utc") else None
