"""The page of what-ifs: every way to try something shows before and after, and leaves no trace at all."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch.models import DispatchNotification, Override
from tests.bodies import group_body, text, timeslot
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.people import person

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
EVENING = "date={day}&start=17:00&end=18:00"
WAYS = {
    "draw": f"way=draw&go=1&who=South&{EVENING}&kw=3&kind=voluntary&rank=2&cap=up-to-site-load",
    "cancel": "way=change&go=1&event={event}&change=cancel",
    "end": "way=change&go=1&event={event}&change=end&ends_at={day}T17:30",
    "power": "way=change&go=1&event={event}&change=power&kw=3",
    "hold a group": f"way=hold&go=1&who=South&{EVENING}",
    "hold the fleet": f"way=hold&go=1&who=&{EVENING}",
    "a body that came": "notification={notification}",
}


def south() -> dict[str, object]:
    """A group of two batteries called tomorrow at 17:00 UTC, and a body about it that came; their numbers."""
    start = timezone.now().replace(hour=17, minute=0, second=0, microsecond=0) + timedelta(days=1)
    members = [meter(), meter()]
    for each in members:
        device(each)
    home = group(*members, name="South", since=start - timedelta(days=9))
    row = event(
        "asked", *members, starts_at=start, ends_at=start + HOUR, market_group_id=home.market_group_id
    )
    slot = timeslot("new", level="group", start_time=text(start), end_time=text(start + HOUR))
    body = group_body(slot, group=home.market_group_id, meters=[each.meter_id for each in members])
    told = DispatchNotification.objects.create(
        received_at=start, body=json.dumps(body).encode(), sha256="0" * 64
    )
    return {"event": row.pk, "notification": told.pk, "day": f"{start:%Y-%m-%d}"}


def more(number: int) -> None:
    """Another group with an event of its own, whose meters share South's first battery."""
    one = meter(name=f"More {number}")
    device(one)
    group(one, name=f"Other {number}", since=timezone.now() - HOUR)
    start = timezone.now() + timedelta(days=1)
    event(f"other-{number}", one, starts_at=start, ends_at=start + HOUR, programs=[f"P{number}"])


def rows() -> dict[str, list[tuple]]:
    """Every row of every table, queued tasks among them."""
    return {
        model._meta.label: sorted(model._default_manager.values_list(), key=repr)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed
    }


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_what_is_tried_is_shown_and_leaves_no_trace(client, way):
    numbers = south()
    client.force_login(person("viewer"))
    kept = rows()
    page = client.get(f"/preview/?{way.format(**numbers)}&tz=UTC")
    assert page.status_code == 200, page.context["form"].errors
    compared = page.context["compared"]
    assert (compared.is_same, len(compared.cases) > 0, compared.page.paginator.count) == (False, True, 1)
    assert b"Before" in page.content
    assert rows() == kept


def test_what_ifs_cost_the_same_queries_whatever_there_is(client):
    numbers = south()
    client.force_login(person("viewer"))
    paths = [f"/preview/?{way.format(**numbers)}&tz=UTC" for way in WAYS.values()]
    more(0)
    more(1)
    before = [queries(client, path) for path in paths]
    for number in range(2, 6):
        more(number)
    assert [queries(client, path) for path in paths] == before


def queries(client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return len(captured)


def test_a_what_if_that_cannot_be_says_so_under_its_field(client):
    numbers = south()
    client.force_login(person("viewer"))
    for query, name in [
        ("way=draw&go=1", "who"),
        ("way=draw&go=1&who=nobody", "who"),
        ("way=draw&go=1&who=South&kw=-3", "kw"),
        ("way=change&go=1", "event"),
        ("way=change&go=1&change=end&event=77", "event"),
        (f"way=change&go=1&change=end&event={numbers['event']}&ends_at=9999-12-31T23:59", "ends_at"),
        ("way=hold&go=1&date=x", "date"),
        ("way=hold&go=1&date=9999-12-31&start=23:00&end=01:00&page=x", "date"),
    ]:
        page = client.get(f"/preview/?{query}")
        assert page.status_code == 422, query
        assert name in page.context["form"].errors, query
    assert client.get("/preview/?notification=77").status_code == 404
    assert not Override.objects.exists()


def test_the_day_shows_who_is_asked_for_what_and_alone_when_redrawn(client):
    numbers = south()
    more(0)
    client.force_login(person("viewer"))
    query = f"way=draw&go=1&who=South&date={numbers['day']}&start=17:00&end=18:00&tz=UTC"
    drawn = client.get(f"/preview/?{query}", HTTP_HX_REQUEST="true")
    assert [bar.request.owner.name for lane in drawn.context["day"].lanes for bar in lane] == ["South"]
    assert (drawn.context["day"].block.part, drawn.context["day"].block.parts) == (204, 12)
    assert b"Show the plan" not in drawn.content
