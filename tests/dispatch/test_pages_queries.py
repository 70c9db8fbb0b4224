"""A list costs the same number of queries whatever it holds."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.dispatch.one_of_each import grow
from tests.people import person

pytestmark = pytest.mark.django_db


LISTS = [
    "/notifications/",
    "/meters/?q=m&ready=no&program=CCA&sort=-nomination",
    "/meters/mapping/",
    "/meters/mapping/?form=site",
    "/meters/mapping/export/",
    "/leap/",
    "/groups/?sort=-name",
    "/groups/?step=out",
    "/devices/?kind=load&sort=-rated",
    "/commands/?q=b&sort=due",
    "/commands/?event={event}&kind=schedule&driver=simulator&due=day",
    "/commands/export/",
    "/",
    "/api/v1/events/{event}/readiness/",
    "/overrides/",
    "/actions/?q=m&program=CCA&owner=:nobody",
    "/actions/?show=missed",
    "/actions/group/?party=PARTNER&type=ADDRESS&program=CCA&period=CCA_DEC&deadline=2026-01-01T00:00:00%2B00:00",
    "/actions/export/",
    "/api/v1/required-actions/",
    "/api/v1/enrollments/",
    "/alerts/?kind=failed&q=b&sort=device",
    "/policies/",
    "/participation/",
    "/participation/?show=idle",
    "/api/v1/participation-requests/",
    "/calendar/?view=month",
    "/tests/",
    "/onboarding/",
    "/onboarding/connections/?q=a",
    "/onboarding/connections/export/",
    "/api/v1/connections/",
    "/meters/export/",
    "/devices/export/",
]
DETAILS = [
    "/notifications/{notification}/",
    "/meters/{meter}/",
    "/groups/{group}/",
    "/devices/{device}/",
    "/events/{event}/",
    "/participation/{participation}/",
    "/participation/{participation}/export/",
    "/onboarding/jobs/{job}/",
    "/onboarding/connections/{connection}/",
    "/policies/{policy}/",
    "/policies/{policy}/replays/add/",
    "/policies/{policy}/replays/{replay}/",
]


def test_the_number_of_queries_does_not_grow_with_the_rows(client):
    client.force_login(person("admin"))
    ids = grow(0)
    grow(1)
    paths = [path.format(**ids) for path in LISTS + DETAILS]
    before = {path: _queries(client, path) for path in paths}
    for number in range(2, 12):
        grow(number)
    assert {path: _queries(client, path) for path in paths} == before


def _queries(client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    assert answer.status_code == 200, path
    return len(captured)
