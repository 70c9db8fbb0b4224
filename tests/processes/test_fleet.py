"""A fleet over every protocol takes a dispatch, an update and a cancellation under load.

What counts is what the devices noted themselves: what each was told, in what order, and what it follows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.bodies import group_body, text, timeslot
from tests.processes.fleet import KEY, Fleet, fleet_portal, running_fleet
from tests.processes.running import PATIENCE_SECONDS, Portal, wait_until
from tests.processes.sizes import size

SIZES = size(
    {"mqtt": 100, "http": 10, "modbus": 10, "ocpp": 10},
    full={"mqtt": 1000, "http": 20, "modbus": 20, "ocpp": 20},
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("fleet"), **SIZES) as running:
        yield running


@pytest.fixture(scope="module")
def portal(fleet, tmp_path_factory) -> Iterator[Portal]:
    with fleet_portal(fleet, tmp_path_factory.mktemp("portal")) as running:
        yield running


def test_a_fleet_takes_a_dispatch_an_update_and_a_cancellation_under_load(fleet, portal, capsys):
    count = len(fleet.meter_ids)
    start = datetime.now(UTC).replace(microsecond=0)
    end, later = text(start + timedelta(hours=1)), text(start + timedelta(hours=2))
    slot = timeslot(
        str(uuid4()), level="group", energy_kw=count, nomination_kw=None, start_time=text(start), end_time=end
    )
    steps = [
        ("dispatch", slot, {"power_kw": 1, "until": end}),
        ("update", slot | {"energy_kw": 2 * count, "end_time": later}, {"power_kw": 2, "until": later}),
        ("cancellation", slot | {"cancelled": True}, {"power_kw": None}),
    ]
    with load(portal):
        for what, changed, wanted in steps:
            body = group_body(changed, meters=fleet.meter_ids)
            began = time.monotonic()
            answer = portal.client.post("/webhooks/leap/dispatch/", json=body, headers=KEY)
            assert answer.status_code == 202
            wait_until(lambda wanted=wanted: fleet.all_follow(**wanted), what=f"the {what}")
            with capsys.disabled():
                print(f"\n{what}: {count} devices follow after {time.monotonic() - began:.2f} s")  # noqa: T201
    wait_until(lambda: all_acknowledged(portal), what="the acknowledgement of all")
    effects = fleet.effects()
    assert len(effects) == SIZES["mqtt"] + SIZES["http"]
    assert all(versions == [1, 2, 3] for versions in effects.values()), effects
    assert all(switches[-1] == "off" for switches in fleet.written()), fleet.written()


def all_acknowledged(portal: Portal) -> bool:
    states = {row["state"] for row in portal.get("schedules/")}
    return states == {"acknowledged"}


@contextmanager
def load(portal: Portal) -> Iterator[None]:
    """Other notifications, ten a second, for meters nobody has."""
    is_over = threading.Event()

    def post() -> None:
        start = datetime.now(UTC) + timedelta(days=1)
        while not is_over.wait(0.1):
            slot = timeslot(
                str(uuid4()), level="group", start_time=text(start), end_time=text(start + timedelta(hours=1))
            )
            body = group_body(slot, group=str(uuid4()), meters=[str(uuid4())])
            portal.client.post("/webhooks/leap/dispatch/", json=body, headers=KEY)

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(timeout=PATIENCE_SECONDS)
