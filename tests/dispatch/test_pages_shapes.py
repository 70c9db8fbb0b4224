"""A utility meter with many devices, a device behind several meters, and what looks wrong of either."""

from __future__ import annotations

import re

import pytest

from meters.models import Site
from tests.builders import device, meter
from tests.people import person

pytestmark = pytest.mark.django_db


def words(client, path: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get(path).content.decode()))


CASES = {
    "a home": (
        "UTILITY_METER",
        3,
        0,
        "Utility meter with 3 devices: a dispatch of it is for all",
        "",
    ),
    "one device": ("DEVICE", 1, 0, "Device meter with 1 device.", ""),
    "too many": ("device", 2, 0, "Device meter with 2 devices", "one device, and 2 are mapped."),
    "none yet": ("", 0, 0, "Meter with 0 devices.", ""),
    "of elsewhere": (
        "UTILITY_METER",
        2,
        1,
        "Utility meter with 2 devices",
        "belongs to another site than North",
    ),
}


@pytest.mark.parametrize(("kind", "count", "away", "text", "warning"), CASES.values(), ids=CASES.keys())
def test_a_meter_says_what_it_is_and_what_looks_wrong(client, kind, count, away, text, warning):
    client.force_login(person("viewer"))
    north, south = Site.objects.create(name="North"), Site.objects.create(name="South")
    one = meter(meter_type=kind, site=north)
    for number in range(count):
        device(one, site=south if number < away else north)
    page = words(client, f"/meters/{one.meter_id}/")
    assert text in page
    assert ("Check" in page) == bool(warning) and warning in page


def test_a_device_behind_two_meters_says_so_on_all_three_pages(client):
    client.force_login(person("viewer"))
    home = meter(name="Home", meter_type="UTILITY_METER")
    own = meter(name="Own", meter_type="DEVICE")
    battery = device(home, own, name="Battery")
    assert "Battery sits behind Own (device meter) , too." in words(client, f"/meters/{home.meter_id}/")
    assert "Battery sits behind Home (utility meter) , too." in words(client, f"/meters/{own.meter_id}/")
    text = words(client, f"/devices/{battery.pk}/")
    assert "sits behind 2 of Leap's meters: Home (utility meter) , Own (device meter)" in text
