"""How numbers and times are written, and where they lie on an axis."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from dispatch.reading import words
from dispatch.reading.axis import PARTS, Axis, clock_note, midnight

PACIFIC = ZoneInfo("America/Los_Angeles")


@pytest.mark.parametrize(
    ("kw", "text"),
    [
        (Decimal("4000.000"), "4,000 kW"),
        (Decimal("9.600"), "9.6 kW"),
        (Decimal("9999"), "9,999 kW"),
        (Decimal("13100"), "13.1 MW"),
        (Decimal("0"), "0 kW"),
        (None, "maximum"),
    ],
)
def test_power_is_written_with_its_unit(kw, text):
    assert words.power(kw) == text


@pytest.mark.parametrize(
    ("start", "hours", "text", "utc"),
    [
        (datetime(2026, 8, 26, 0, tzinfo=UTC), 2, "17:00–19:00 PDT", "00:00–02:00 UTC, 26 Aug"),
        (datetime(2026, 11, 1, 8, tzinfo=UTC), 2, "01:00 PDT–02:00 PST", "08:00–10:00 UTC"),
        (datetime(2026, 11, 1, 9, tzinfo=UTC), 1, "01:00–02:00 PST", "09:00–10:00 UTC"),
    ],
    ids=["evening in California", "over the clock change", "the second one o'clock"],
)
def test_a_window_names_its_zone_and_utc(start, hours, text, utc):
    end = start + timedelta(hours=hours)
    assert words.window(start, end, zone=PACIFIC) == text
    assert words.window_utc(start, end, zone=PACIFIC) == utc


def test_an_hour_is_as_wide_on_a_25_hour_day_as_its_length():
    day = date(2026, 11, 1)
    axis = Axis(
        start=midnight(day, zone=PACIFIC), end=midnight(day + timedelta(days=1), zone=PACIFIC), zone=PACIFIC
    )
    hour = timedelta(hours=1)
    assert axis.end - axis.start == 25 * hour
    assert axis.place(axis.start + 24 * hour, axis.end) == (round(PARTS * 24 / 25), 12)
    assert clock_note(day, zone=PACIFIC) == "25-hour day"
    labels = [tick.label for tick in axis.ticks(every=hour)]
    assert labels[:4] == ["00:00 PDT", "01:00", "01:00 PST", "02:00"]
