"""The simulator keeps what every driver must keep."""

from __future__ import annotations

import pytest
from django.db.models import Sum

from devices.drivers.simulator import SimulatorDriver
from devices.models import Device, SimulatedDevice
from tests.builders import device
from tests.devices.conformance import DriverConformance, Peer


class SimulatorPeer(Peer):
    driver = SimulatorDriver()

    def device(self, name="one"):
        return Device.objects.filter(external_id=name).first() or device(external_id=name)

    def held(self, name="one"):
        row = SimulatedDevice.objects.filter(device__external_id=name, accepted_version__gt=0).first()
        return row and (row.accepted_version, row.message["segments"])

    def changes(self):
        return SimulatedDevice.objects.aggregate(count=Sum("accepted_count"))["count"]

    def fall_silent(self, name="one"):
        self._set_fault(name, "SILENT")

    def refuse(self, name="one"):
        self._set_fault(name, "REJECT")

    def _set_fault(self, name, fault):
        SimulatedDevice.objects.create(device=self.device(name), fault=fault)


@pytest.mark.django_db
class TestSimulatorConforms(DriverConformance):
    @pytest.fixture
    def peer(self):
        return SimulatorPeer()
