"""Runs and returns to normal as they are proven from rows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.domain.schedule import Mode
from devices.drivers.base import Capabilities
from devices.models import Command, CommandKind, Device
from devices.proof_models import Proof
from devices.proving import follow_runs, prove
from devices.scheduling import replace_schedules
from devices.telemetry import DeviceReading, record_readings
from devices.watching import waiting
from tests.builders import at, device, segment

pytestmark = pytest.mark.django_db


def told(*devices: Device, segments, minute: float = -30) -> None:
    """Give devices a schedule."""
    replace_schedules(desired={one.pk: tuple(segments) for one in devices}, now=at(minute))


def says(one: Device, *readings, mode: str = "") -> None:
    """Have a device say (minute, kW) pairs."""
    rows = [DeviceReading(one.pk, at(minute), Decimal(power), mode=mode) for minute, power in readings]
    record_readings(rows, now=max(row.at for row in rows))


def looked(minute: float) -> list[tuple[str, str, str]]:
    """Look at a minute; return kind, state and words of every proof, oldest first."""
    prove(now=at(minute))
    return list(Proof.objects.order_by("pk").values_list("kind", "state", "detail"))


def giving(start: float, end: float, kw: str = "4.5", **fields):
    """A segment of storage."""
    return segment(start, end, kw, mode=Mode.DISCHARGE, **fields)


def test_a_run_and_the_return_from_it_are_proven_by_what_the_device_says():
    battery = device()
    says(battery, (-20, "0"))
    told(battery, segments=[giving(0, 60)])
    assert looked(-1) == []
    assert looked(0.5) == [("RUN", "AWAITED", "Judged from 20:02 UTC on.")]
    says(battery, (1, "-4.6"))
    assert looked(1.5) == [("RUN", "PROVEN", "Gives 4.6 of 4.5 kW.")]
    says(battery, *[(minute, "-4.6") for minute in range(2, 60)])
    says(battery, (60, "-4.6"))
    run = ("RUN", "PROVEN", "Gives 4.6 of 4.5 kW.")
    assert looked(60.5) == [run, ("NORMAL", "AWAITED", "Judged from 21:02 UTC on.")]
    says(battery, (63, "-4.6"))
    assert looked(63.5) == [run, ("NORMAL", "DEVIATES", "Still gives 4.6 kW.")]
    says(battery, (66, "0.1"))
    assert looked(66.5) == [run, ("NORMAL", "PROVEN", "Gives no more; takes 0.1 kW.")]
    assert not Proof.objects.filter(is_open=True).exists()


def test_a_load_is_judged_by_what_it_took_before_it_prepared():
    load = device()
    says(load, (-40, "9"), *[(minute, "4.1") for minute in range(-30, -15, 4)], (-14, "6"))
    told(load, segments=[segment(0, 60, "2.5", precondition_from=at(-15), recover_until=at(75))], minute=-50)
    says(load, (3, "1.6"))
    assert looked(4) == [("RUN", "PROVEN", "Takes 1.6 kW, 2.5 kW less than before.")]
    says(load, (59, "1.6"), (61, "1.6"))
    assert looked(62)[1] == ("NORMAL", "AWAITED", "Judged from 21:17 UTC on.")
    says(load, (79, "4.3"))
    assert looked(80)[1] == ("NORMAL", "PROVEN", "Takes 4.3 kW again; 4.1 kW before.")


def test_the_same_planned_anew_goes_on_and_another_target_begins_anew_with_the_same_baseline():
    load = device()
    says(load, (-10, "4.1"), (-5, "4.1"))
    told(load, segments=[segment(0, 60, "2.5")])
    says(load, (3, "1.6"))
    looked(4)
    told(load, segments=[segment(0, 90, "2.5")], minute=5)
    says(load, (6, "1.6"))
    assert [state for _, state, _ in looked(6)] == ["PROVEN"]
    assert Proof.objects.get().ends_at == at(90)
    told(load, segments=[segment(7, 90, "1")], minute=7)
    says(load, (8, "1.6"), (8.5, "3.0"), (11, "3.0"))
    assert looked(12)[1:] == [("RUN", "PROVEN", "Takes 3.0 kW, 1.1 kW less than before.")]
    assert list(Proof.objects.order_by("pk").values_list("is_open", flat=True)) == [False, True]
    told(load, segments=[], minute=13)
    says(load, (17, "4.1"))
    assert looked(18)[2:] == [("NORMAL", "PROVEN", "Takes 4.1 kW again; 4.1 kW before.")]
    assert Proof.objects.get(kind="NORMAL").since == at(13)


def test_what_was_proven_and_is_another_later_deviates_and_still_says_when_it_was_proven():
    battery = device()
    says(battery, (-20, "0"))
    told(battery, segments=[giving(0, 60)])
    says(battery, (3, "-4.5"))
    looked(4)
    says(battery, (10, "0"))
    assert looked(11) == [("RUN", "DEVIATES", "Takes and gives nothing; it was to give 4.5 kW.")]
    assert Proof.objects.get().proven_at == at(4)
    assert looked(20) == [("RUN", "UNKNOWN", "Said nothing since 20:10 UTC.")]


@pytest.mark.parametrize(
    "segments", [[], [giving(0, 60)], [giving(0, 90, "2")]], ids=["stopped", "ended", "changed"]
)
def test_what_a_device_does_after_a_run_says_nothing_of_the_run(segments):
    battery = device()
    says(battery, (-20, "0"))
    told(battery, segments=[giving(0, 60)])
    says(battery, (58, "-4.5"))
    prove(now=at(59.95))
    says(battery, (60, "0"), mode="normal")
    Proof.objects.update(next_look_at=at(59))
    assert looked(59.96)[0][1] == "PROVEN"  # its clock is ahead
    told(battery, segments=segments, minute=60)
    says(battery, (60.01, "0"), mode="normal")
    Proof.objects.update(next_look_at=at(60))
    prove(now=at(60.05))  # before beginnings and ends are looked for again
    assert list(Proof.objects.values_list("state", "is_open")) == [("PROVEN", True)]
    prove(now=at(60.2))
    assert Proof.objects.order_by("pk").values_list("state", "is_open").first() == ("PROVEN", False)


def test_the_next_run_overtakes_a_return_that_was_never_proven():
    battery = device()
    says(battery, (-20, "0"))
    told(battery, segments=[giving(0, 10), giving(11, 20, "3")])
    says(battery, (3, "-4.5"))
    looked(4)
    looked(10)
    states = [("RUN", "PROVEN"), ("NORMAL", "UNKNOWN"), ("RUN", "AWAITED")]
    assert [one[:2] for one in looked(11.5)] == states
    assert Proof.objects.get(is_open=True).target_kw == 3


def test_a_read_back_proves_run_and_return_of_a_device_that_says_nothing(settings):
    settings.DEVICE_DRIVERS = {"simulator": "tests.devices.test_proving.Asks"}
    silent = device()
    told(silent, segments=[giving(0, 60)])
    command = Command.objects.get()
    looked(1)
    Command.objects.update(proven_at=at(1.1), proof="Holds 4.5 kW.", state="ACKNOWLEDGED")
    assert looked(2) == [("RUN", "PROVEN", "Holds 4.5 kW.")]
    Command.objects.update(state="FAILED")  # its lease has lapsed
    assert looked(4)[0][1] == "AWAITED"
    looked(60)
    command.pk, command.key, command.kind = None, "clear", CommandKind.CLEAR
    command.proven_at, command.proof, command.state = at(60.5), "Holds nothing.", "ACKNOWLEDGED"
    command.save()
    assert looked(61)[1] == ("NORMAL", "PROVEN", "Holds nothing.")


class Asks:
    """As far as proving looks at a driver."""

    capabilities = Capabilities(reads_back=True)


def test_devices_that_cannot_prove_have_no_proofs_and_nothing_waits():
    told(device(), segments=[giving(0, 60)])
    assert "devices.tasks.prove" in waiting(now=at(1))
    assert looked(1) == []
    assert "devices.tasks.prove" not in waiting(now=at(1))
    assert "devices.tasks.prove" in waiting(now=at(2))


def test_a_fleet_costs_as_many_statements_as_a_few_devices():
    def fleet(count: int, minute: float) -> int:
        some = [device() for _ in range(count)]
        rows = [DeviceReading(one.pk, at(minute - 9 + n), Decimal(4)) for one in some for n in (0, 4, 8)]
        record_readings(rows, now=at(minute))
        told(*some, segments=[segment(minute, minute + 60, "2.5")], minute=minute - 1)
        rows = [replace(row, at=at(minute + 3), power_kw=Decimal("1.5")) for row in rows[::3]]
        record_readings(rows, now=at(minute + 4))
        with CaptureQueriesContext(connection) as queries:
            prove(now=at(minute + 4))
        assert Proof.objects.filter(state="PROVEN", is_open=True).count() == count
        Proof.objects.all().delete()
        Device.objects.update(power_at=None)
        return len(queries)

    follow_runs(now=at(-300))
    assert fleet(2, 0) == fleet(40, 200)
