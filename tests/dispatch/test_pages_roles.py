"""Who may press what: a viewer sees, an operator acts, an admin maps; and nothing writes on GET."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.models import Command, DeviceSchedule
from dispatch.models import DispatchNotification, Override
from meters.enrollment_models import RequiredAction
from tests.bodies import NOW, body
from tests.builders import device, group, meter
from tests.dispatch.decided import event
from tests.dispatch.onboarded import customers, job
from tests.dispatch.one_of_each import participation
from tests.people import person

pytestmark = pytest.mark.django_db

WRITES = [
    # address, the least role that may, where it leads when nothing is filled in
    ("/notifications/{notification}/replay/", "operator"),
    ("/commands/{command}/retry/", "operator"),
    ("/devices/{device}/override/", "operator"),
    ("/overrides/add/", "operator"),
    ("/overrides/{override}/end/", "operator"),
    ("/actions/assign/", "operator"),
    ("/actions/{action}/", "operator"),
    ("/participation/new/", "operator"),
    ("/participation/{participation}/withdraw/", "operator"),
    ("/meters/{meter}/arm/", "operator"),
    ("/meters/{meter}/disarm/", "operator"),
    ("/meters/{meter}/devices/", "admin"),
    ("/meters/{meter}/devices/{device}/unmap/", "admin"),
    ("/meters/import/", "admin"),
    ("/meters/mapping/import/", "admin"),
    ("/meters/mapping/apply/", "admin"),
    ("/meters/mapping/undo/", "admin"),
    ("/meters/mapping/keep/", "admin"),
    ("/leap/check/", "operator"),
    ("/leap/act/", "admin"),
    ("/leap/key/", "admin"),
    ("/onboarding/jobs/add/", "operator"),
    ("/onboarding/jobs/add/meter/", "operator"),
    ("/onboarding/jobs/{job}/check/", "operator"),
    ("/onboarding/jobs/{job}/discard/", "operator"),
    ("/onboarding/jobs/{job}/send/", "admin"),
    ("/onboarding/jobs/{job}/again/", "admin"),
    ("/onboarding/connections/add/", "operator"),
    ("/devices/import/", "admin"),
]
PAGES = [
    "/actions/",
    "/actions/group/?party=PARTNER&type=ADDRESS",
    "/notifications/",
    "/notifications/{notification}/",
    "/meters/",
    "/meters/{meter}/",
    "/meters/mapping/",
    "/leap/",
    "/groups/",
    "/groups/{group}/",
    "/programs/",
    "/programs/CCA/",
    "/seasons/",
    "/devices/",
    "/devices/{device}/",
    "/commands/",
    "/overrides/",
    "/overrides/{override}/",
    "/participation/",
    "/participation/{participation}/",
    "/onboarding/",
    "/onboarding/jobs/{job}/",
    "/onboarding/connections/",
    "/onboarding/connections/{connection}/",
]
RANKS = ["", "viewer", "operator", "admin"]


@pytest.fixture
def rows() -> dict[str, object]:
    """One row of each kind, as the addresses name it."""
    now = timezone.now()
    one = meter()
    row = device(one)
    event("a", one)
    schedule = DeviceSchedule.objects.create(device=row, version=1, created_at=now, digest="d")
    command = Command.objects.create(
        device=row,
        schedule=schedule,
        key="k",
        created_at=now,
        due_at=now,
        expires_at=now + timedelta(hours=1),
        state="FAILED",
    )
    override = Override.objects.create(
        scope="FLEET",
        action="HOLD",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        created_at=now,
        reason="Feeder fault",
        created_by="otto",
    )
    notification = DispatchNotification.objects.create(received_at=NOW, body=body(), sha256="0" * 64)
    action = RequiredAction.objects.create(meter=one, party="PARTNER", action_type="ADDRESS", appeared_at=now)
    return {
        "action": action.pk,
        "meter": one.meter_id,
        "group": group(one).market_group_id,
        "device": row.pk,
        "command": command.pk,
        "override": override.pk,
        "notification": notification.pk,
        "participation": participation(one).pk,
        "job": job().pk,
        "connection": customers().pk,
    }


@pytest.mark.parametrize(("address", "least"), WRITES, ids=[address for address, _ in WRITES])
def test_a_write_is_refused_below_its_role_and_never_a_get(client, rows, address, least):
    path = address.format(**rows)
    for role in RANKS:
        client.force_login(person(role, name=f"p-{role}"))
        status = client.post(path).status_code
        assert (status == 403) == (RANKS.index(role) < RANKS.index(least)), role
    if not address.endswith(("add/", "add/meter/", "new/", "import/")):
        assert client.get(path).status_code == 405


@pytest.mark.parametrize("address", PAGES)
def test_a_viewer_sees_every_page_and_no_dead_button(client, rows, address):
    client.force_login(person("viewer"))
    answer = client.get(address.format(**rows))
    assert answer.status_code == 200
    actions = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', answer.content.decode())
    assert set(actions) <= {"/sign-out/"}


@pytest.mark.parametrize(
    "address", [*PAGES, "/preview/", "/meters/export/", "/devices/export/", "/seasons/export/"]
)
def test_a_page_needs_someone_signed_in(client, rows, address):
    assert client.get(address.format(**rows))["Location"].startswith("/sign-in/")


@pytest.mark.parametrize(
    "address", ["/meters/nobody/", "/groups/nobody/", "/devices/999999/", "/notifications/999999/"]
)
def test_what_is_not_there_is_not_found(client, address):
    client.force_login(person("admin"))
    assert client.get(address).status_code == 404
