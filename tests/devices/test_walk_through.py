"""The driver in docs/writing-a-driver.md keeps what the suite asks, as it stands there."""

from __future__ import annotations

import json
import re

import pytest

from devices.models import Device
from tests.devices.conformance import DriverConformance, Peer
from tests.devices.http_device import http_device, silent
from tests.settings import BASE_DIR


def unsigned(handler, message):
    """Be an honest device that asks for no signature."""
    server, path = handler.server, handler.path
    held = server.held.get(path, {"version": 0})
    if message["version"] < held["version"]:
        return handler.answer(409, b"Older than what is held.")
    if message["version"] > held["version"]:
        server.held[path] = message
        server.changes.append((path, message["version"]))
    return handler.answer(200, b"")


class WalkThroughPeer(Peer):
    wrong_settings = ({},)

    def __init__(self, server, driver):
        self.server, self.driver = server, driver

    def device(self, name="one"):
        self.server.faults.setdefault(f"/{name}", unsigned)
        return Device(pk=1, external_id=name, settings={"url": self.server.url(f"/{name}")})

    def held(self, name="one"):
        held = self.server.held.get(f"/{name}")
        return held and (held["version"], held["segments"])

    def changes(self):
        return len(self.server.changes)

    def fall_silent(self, name="one"):
        self.server.faults[f"/{name}"] = silent

    def refuse(self, name="one"):
        self.server.faults[f"/{name}"] = (409, json.dumps("Not now.").encode())


class TestWalkThroughConforms(DriverConformance):
    @pytest.fixture
    def peer(self):
        text = (BASE_DIR / "docs" / "writing-a-driver.md").read_text()
        code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
        names = {}
        exec(code, names)  # noqa: S102 - the page's own example
        with http_device() as server:
            yield WalkThroughPeer(server, names["AcmeDriver"]())
