import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.mapping import change_mapping, replace_meters
from devices.models import Device, MeterDevice
from meters.models import Meter
from tests.builders import NOW, device, meter

pytestmark = pytest.mark.django_db


def to_plan():
    meters = Meter.objects.filter(plan_requested_at=NOW)
    return set(meters), set(Device.objects.filter(plan_requested_at=NOW))


def test_only_who_wins_or_loses_somebody_is_planned_again():
    kept, lost, won = meter(), meter(), meter()
    battery, other = device(kept, lost), device(kept)
    change = change_mapping(
        add=[(kept.pk, battery.pk), (won.pk, battery.pk)],
        remove=[(lost.pk, battery.pk), (won.pk, other.pk)],
        now=NOW,
    )
    assert (change.added, change.removed) == (1, 1)
    assert set(battery.meters.all()) == {kept, won}
    assert to_plan() == ({lost, won}, {battery})


def test_replacing_makes_the_meters_of_a_device_exactly_those_named():
    old, both, new = meter(), meter(), meter()
    battery, untouched = device(old, both), device(old)
    change = replace_meters(wanted={battery.pk: [both.pk, new.pk]}, now=NOW)
    assert (change.added, change.removed) == (1, 1)
    assert set(battery.meters.all()) == {both, new}
    assert set(untouched.meters.all()) == {old}
    assert to_plan() == ({old, new}, {battery})


def test_mapping_a_hundred_devices_takes_no_more_statements_than_mapping_one():
    one = meter()
    counts = []
    for size in (1, 100):
        pairs = [(one.pk, device().pk) for _ in range(size)]
        with CaptureQueriesContext(connection) as context:
            change_mapping(add=pairs, now=NOW)
        counts.append(len(context))
    assert counts[0] == counts[1]
    assert MeterDevice.objects.count() == 101
