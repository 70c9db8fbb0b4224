"""Segments written in bulk are what Django's own insert would have stored."""

from __future__ import annotations

import pytest
from django.db import transaction

from devices.models import ScheduleSegment
from devices.scheduling import replace_schedules
from tests.builders import NOW, at, device, segment

pytestmark = pytest.mark.django_db

ODD = "a tab\t, a line\nend\r, a \\ and \\N, “quotes” and 'these', a % and %s, {braces}"


def test_segments_come_back_as_they_went_in():
    one, two = device(), device()
    shared = (
        segment(10, 20, kw="0.001", reason=ODD, cap="new\tcap"),
        segment(20, 30, kw=None, leap_event_ids=('e"1"', "e\\2"), is_commitment=False),
        segment(40, 50, kw="99999.999", leap_event_ids=()),
        segment(70, 80, precondition_from=at(60.5), ramp_seconds=300, recover_until=at(99)),
    )
    with transaction.atomic():
        replace_schedules(desired={one.pk: shared, two.pk: shared}, now=NOW)
    for each in (one, two):
        rows = ScheduleSegment.objects.filter(device=each, schedule__device=each).order_by("starts_at")
        assert tuple(row.to_value() for row in rows) == shared


def test_same_schedule_of_many_devices_is_compared_by_reading_it_once(django_assert_max_num_queries):
    many = [device() for _ in range(5)]
    shared = (segment(10, 20), segment(30, 40))
    with transaction.atomic():
        replace_schedules(desired={each.pk: shared for each in many}, now=NOW)
        again = (segment(10, 20), segment(30, 40))
        with django_assert_max_num_queries(3):
            assert replace_schedules(desired={each.pk: again for each in many}, now=NOW).changed == ()
