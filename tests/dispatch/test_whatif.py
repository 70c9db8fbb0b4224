"""What a person tries: who is meant, when, and the body that Leap would post for it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from devices.domain.schedule import Segment
from dispatch.preview import PlanPreview, preview
from dispatch.views.preview_forms import HoldForm
from dispatch.whatif import Change, Drawn, WhatIfRefused, changed_body, drawn_body, find_whom
from tests.builders import NOW, at, device, group, meter
from tests.dispatch.decided import event, plan

pytestmark = pytest.mark.django_db
NEW_YORK = ZoneInfo("America/New_York")
GROUP = "9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"


def told(segments: tuple[Segment, ...]) -> list[str]:
    return [
        f"{(each.start - NOW).seconds // 60}-{(each.end - NOW).seconds // 60} {float(each.target_kw or 0):g}"
        for each in segments
    ]


def tried(body: dict) -> PlanPreview:
    return preview(body=json.dumps(body).encode(), now=NOW)


WHO = {
    "a name": ("South Bay", "South Bay"),
    "a name before a part of others": ("Bay", "Bay"),
    "a part, in any case": ("harb", "Harbour meter"),
    "an id, in any case": (GROUP.upper(), "South Bay"),
    "nothing": ("nowhere", "Nothing is called"),
    "several": ("a", "Several are called so: Bay, South Bay, Harbour meter."),
    "a device is not asked": ("pack-7", "Nothing is called"),
}


@pytest.mark.parametrize(("typed", "found"), WHO.values(), ids=WHO.keys())
def test_who_is_meant_is_found_by_name_part_or_id(typed, found):
    group(name="South Bay", market_group_id=GROUP)
    group(name="Bay")
    device(meter(name="Harbour meter"), external_id="pack-7")
    try:
        assert find_whom(typed).name == found
    except WhatIfRefused as refused:
        assert str(refused).startswith(found)
    assert find_whom("pack-7", with_devices=True).target == "pack-7"


WINDOWS = {
    "a day": ("2026-07-20", "17:00", "19:30", "2026-07-20 21:00 – 23:30"),
    "over midnight": ("2026-07-20", "22:00", "01:00", "2026-07-21 02:00 – 05:00"),
    "to midnight": ("2026-07-20", "22:00", "00:00", "2026-07-21 02:00 – 04:00"),
    "the hour that comes twice": ("2026-11-01", "00:30", "02:30", "2026-11-01 04:30 – 07:30"),
    "the hour that is skipped": ("2027-03-14", "02:30", "03:15", "end"),
    "past": ("2026-07-13", "17:00", "18:00", "end"),
    "years away": ("9999-12-31", "17:00", "18:00", "date"),
    "no time": ("2026-07-20", "", "18:00", "start"),
}


@pytest.mark.parametrize(("day", "start", "end", "expected"), WINDOWS.values(), ids=WINDOWS.keys())
def test_a_day_and_two_times_are_a_window_in_the_pages_zone(day, start, end, expected):
    form = HoldForm({"date": day, "start": start, "end": end}, zone=NEW_YORK, now=NOW)
    if form.is_valid():
        opens, closes = (form.cleaned_data[name].astimezone(dt.UTC) for name in ("starts_at", "ends_at"))
        assert f"{opens:%Y-%m-%d %H:%M} – {closes:%H:%M}" == expected
    else:
        assert list(form.errors) == [expected]


def test_a_drawn_event_is_planned_as_if_it_had_come():
    one = meter()
    device(one)
    group(one, name="South", market_group_id=GROUP, program="CCA")
    drawn = Drawn(
        starts_at=at(60),
        ends_at=at(120),
        energy_kw=Decimal("9.5"),
        nomination_kw=None,
        rank=2,
        is_voluntary=True,
        cap="up-to-site-load",
        program="ELRP",
    )
    body = drawn_body(find_whom("South"), drawn)
    assert body == drawn_body(find_whom("South"), drawn)
    result = tried(body)
    assert (result.problems, told(result.devices[0].segments)) == ((), ["60-120 9.5"])
    assert [(each.was, each.becomes.programs) for each in result.events] == [(None, ("ELRP",))]
    with pytest.raises(WhatIfRefused, match="no meter"):
        drawn_body(find_whom(group(name="Empty").name), drawn)


CHANGES = {
    "cancelled": (Change.CANCEL, None, None, []),
    "ended between": (Change.END, 90, None, ["60-90 8"]),
    "ended in the second hour": (Change.END, 150, None, ["60-150 8"]),
    "ended later": (Change.END, 240, None, ["60-240 8"]),
    "another power": (Change.POWER, None, "3", ["60-180 3"]),
}


@pytest.mark.parametrize("level", ["GROUP", "METER"])
@pytest.mark.parametrize(("change", "end", "kw", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_hourly_slots_are_changed_as_one(change, end, kw, expected, level):
    one = meter()
    device(one)
    fields = {"level": level, "market_group_id": GROUP if level == "GROUP" else ""}
    rows = [event(f"e{start}", one, start=start, end=start + 60, **fields) for start in (60, 120)]
    plan()
    body = changed_body(
        [row.pk for row in rows],
        change,
        ends_at=None if end is None else at(end),
        energy_kw=None if kw is None else Decimal(kw),
    )
    (planned,) = tried(body).devices
    assert (told(planned.before), told(planned.segments)) == (["60-180 8"], expected)
