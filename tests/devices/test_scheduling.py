import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from devices.commanding import run_due_commands
from devices.domain.schedule import InvalidSchedule
from devices.models import Command, DeviceSchedule, ScheduleSegment, SimulatedDevice
from devices.scheduling import replace_schedules
from tests.builders import NOW, at, device, segment

pytestmark = pytest.mark.django_db


def replace(desired, now=NOW):
    with transaction.atomic():
        return replace_schedules(desired={one.pk: segments for one, segments in desired.items()}, now=now)


def commands(one):
    return list(one.commands.order_by("pk").values_list("kind", "state"))


def test_a_first_schedule_is_version_one_with_a_due_command_and_a_wake_up():
    battery = device()
    wanted = (segment(10, 40, "4.5"), segment(40, 60, None))
    assert replace({battery: wanted}).changed == (battery.pk,)
    schedule = DeviceSchedule.objects.get()
    command = Command.objects.get()
    assert (schedule.version, schedule.state) == (1, "PENDING")
    assert tuple(row.to_value() for row in schedule.segments.order_by("starts_at")) == wanted
    assert (command.kind, command.due_at, command.expires_at) == ("SCHEDULE", NOW, at(60))
    assert OrmQ.objects.count() == 1


def test_a_device_with_nothing_to_do_and_nothing_desired_gets_nothing():
    assert replace({device(): ()}).changed == ()
    assert not DeviceSchedule.objects.exists()
    assert not OrmQ.objects.exists()


def test_an_equal_rest_is_no_new_version_however_it_began():
    battery = device()
    replace({battery: (segment(0, 10), segment(10, 60))})
    assert replace({battery: (segment(15, 60),)}, now=at(20)).changed == ()
    assert replace({battery: (segment(15, 61),)}, now=at(20)).changed == (battery.pk,)


def test_a_changed_schedule_supersedes_the_old_version_and_its_open_command():
    battery = device()
    replace({battery: (segment(10, 40),)})
    replace({battery: (segment(10, 30),)}, now=at(5))
    assert commands(battery) == [("SCHEDULE", "SUPERSEDED"), ("SCHEDULE", "PENDING")]
    old, new = battery.schedules.order_by("version")
    assert (old.superseded_at, new.version, new.superseded_at) == (at(5), 2, None)
    assert battery.commands.get(schedule=new).expires_at == at(40)


def test_a_command_that_the_device_refused_is_superseded_too():
    battery = device()
    SimulatedDevice.objects.create(device=battery, fault="REJECT")
    replace({battery: (segment(10, 40),)})
    run_due_commands(now=at(1))
    assert commands(battery) == [("SCHEDULE", "FAILED")]
    replace({battery: (segment(10, 30),)}, now=at(5))
    assert commands(battery) == [("SCHEDULE", "SUPERSEDED"), ("SCHEDULE", "PENDING")]


def test_an_emptied_schedule_is_cleared_for_a_day():
    battery = device()
    replace({battery: (segment(0, 60),)})
    run_due_commands(now=at(1))
    replace({battery: ()}, now=at(20))
    assert commands(battery) == [("SCHEDULE", "ACKNOWLEDGED"), ("CLEAR", "PENDING")]
    assert battery.commands.get(kind="CLEAR").expires_at == at(20 + 24 * 60)
    assert replace({battery: ()}, now=at(21)).changed == ()


def test_a_schedule_that_ran_out_by_itself_needs_no_clearing():
    battery = device()
    replace({battery: (segment(0, 60),)})
    assert replace({battery: ()}, now=at(60)).changed == ()


def test_nonsense_is_refused_before_anything_is_written():
    with pytest.raises(InvalidSchedule):
        replace({device(): (segment(0, 30),), device(): (segment(0, 30), segment(10, 40))})
    assert not DeviceSchedule.objects.exists()


def test_the_database_refuses_a_command_without_an_end():
    battery = device()
    replace({battery: (segment(0, 60),)})
    with pytest.raises(IntegrityError), transaction.atomic():
        Command.objects.update(expires_at=NOW)


def test_statements_do_not_grow_with_the_number_of_devices():
    counts = []
    for size in (2, 40):
        fleet = [device() for _ in range(size)]
        replace({one: (segment(0, 60),) for one in fleet})
        with CaptureQueriesContext(
            connection,
        ) as context:
            replace({one: (segment(0, 50),) for one in fleet}, now=at(1))
        counts.append(len(context))
    assert counts[0] == counts[1]
    assert ScheduleSegment.objects.filter(schedule__superseded_at__isnull=True).count() == 42
