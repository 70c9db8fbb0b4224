import pytest
from django.forms import MultiWidget
from django.urls import reverse

from devices.admin import DeviceAdmin
from devices.commanding import run_due_commands
from devices.models import (
    Command,
    CommandAttempt,
    Device,
    DeviceSchedule,
    MeterDevice,
    SimulatedDevice,
)
from devices.scheduling import replace_schedules
from meters.models import MarketGroup, MarketGroupMembership, Meter, Site
from tests.builders import NOW, device, group, meter, segment
from tests.people import person

pytestmark = pytest.mark.django_db
MODELS = [Site, Meter, MarketGroup, Device, DeviceSchedule, Command, CommandAttempt, SimulatedDevice]


@pytest.fixture
def desk(client):
    """The browser of somebody who administers."""
    client.force_login(person("admin"))
    return client


def changelist(name):
    return reverse(f"admin:{name}_changelist")


def press(desk, name, action, rows, **fields):
    data = {"action": action, "_selected_action": [row.pk for row in rows]} | fields
    return desk.post(changelist(name), data, follow=True)


def form_of(desk, address):
    """What a browser would send back unchanged."""
    page = desk.get(address)
    forms = [page.context["adminform"].form]
    for inline in page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    values = {}
    for field in (field for form in forms for field in form):
        if isinstance(field.field.widget, MultiWidget):
            parts = field.field.widget.decompress(field.value())
            values |= {f"{field.html_name}_{number}": part for number, part in enumerate(parts)}
        else:
            values[field.html_name] = field.value()
        if field.field.show_hidden_initial:
            values[field.html_initial_name] = field.value()
    return {name: value for name, value in values.items() if value is not None}


def full_house():
    """A row of every model, and a command that failed."""
    one = meter(name="Alum Rock", site=Site.objects.create(name="San José"))
    group(one)
    battery = device(one, external_id="bat-1")
    SimulatedDevice.objects.create(device=battery, fault="REJECT")
    replace_schedules(desired={battery.pk: (segment(0, 10**7),)}, now=NOW)
    run_due_commands(now=NOW)
    return one, battery


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_and_row_opens_in_constant_queries(desk, model, django_assert_max_num_queries):
    full_house()
    for _ in range(5):
        device(meter(site=Site.objects.first()))
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    with django_assert_max_num_queries(12):
        assert desk.get(address, {"q": "bat"} if model is not Site else {}).status_code == 200
    with django_assert_max_num_queries(12):
        assert desk.get(address).status_code == 200
    change = reverse(
        f"admin:{model._meta.app_label}_{model._meta.model_name}_change",
        args=[model._default_manager.first().pk],
    )
    assert desk.get(change).status_code == 200


@pytest.mark.parametrize("name", ["meters_meter", "devices_device"])
def test_the_lists_lead_to_the_import_and_export_of_files(desk, name):
    page = desk.get(changelist(name)).text
    kind = name.partition("_")[2]
    assert reverse(f"dispatch:{kind}-import") in page
    assert reverse(f"dispatch:{kind}-export") in page


def test_a_hundred_meters_are_mapped_to_a_device_with_one_press(desk):
    meters = [meter() for _ in range(100)]
    battery = device()
    asked = press(desk, "meters_meter", "map_to", meters)
    assert asked.status_code == 200
    assert MeterDevice.objects.count() == 0
    done = press(desk, "meters_meter", "map_to", meters, map="Map", others=[battery.pk])
    assert "Pairs added: 100, removed: 0." in done.text
    assert battery.meters.count() == 100
    assert Device.objects.get().plan_requested_at
    assert not Meter.objects.filter(plan_requested_at=None).exists()


def test_devices_can_be_moved_to_another_meter(desk):
    old, new = meter(), meter()
    fleet = [device(old), device(old)]
    press(desk, "devices_device", "map_to", fleet, map="Map", others=[new.pk], is_replacing="on")
    assert (old.devices.count(), new.devices.count()) == (0, 2)


@pytest.mark.parametrize(("name", "make"), [("meters_meter", meter), ("devices_device", device)])
def test_planning_again_is_asked_for_through_the_rows(desk, name, make):
    row, other = make(), make()
    press(desk, name, "plan_again", [row])
    row.refresh_from_db()
    other.refresh_from_db()
    assert row.plan_requested_at
    assert other.plan_requested_at is None


def test_retry_tries_what_failed_and_says_why_the_rest_is_not_tried(desk):
    _, battery = full_house()
    accepted = device()
    replace_schedules(desired={accepted.pk: (segment(0, 10**7),)}, now=NOW)
    run_due_commands(now=NOW)
    page = press(desk, "devices_command", "try_again", Command.objects.all())
    assert "Commands to be tried again: 1." in page.text
    assert "The device has accepted this command. (1)" in page.text
    assert battery.commands.get().state == "PENDING"


def test_saving_a_device_plans_it_and_leaves_a_workers_fields_alone(desk, monkeypatch):
    one, battery = full_house()
    Device.objects.update(plan_requested_at=None)
    address = reverse("admin:devices_device_change", args=[battery.pk])
    form = form_of(desk, address) | {"rated_power_kw": "7.5"}
    save = DeviceAdmin.save_model

    def save_after_a_worker(*args, **kwargs):
        Device.objects.update(schedule_version=9)
        save(*args, **kwargs)

    monkeypatch.setattr(DeviceAdmin, "save_model", save_after_a_worker)
    assert desk.post(address, form).status_code == 302
    battery.refresh_from_db()
    assert (str(battery.rated_power_kw), battery.schedule_version) == ("7.500", 9)
    assert battery.plan_requested_at
    one.refresh_from_db()
    assert one.plan_requested_at is None


def test_a_state_of_charge_said_by_an_admin_is_of_now_and_weighed_first(desk):
    _, battery = full_house()
    Device.objects.update(plan_requested_at=None)
    address = reverse("admin:devices_device_change", args=[battery.pk])
    for percent, is_said in (("80", True), ("", False)):
        form = form_of(desk, address) | {"state_of_charge_percent": percent}
        assert desk.post(address, form).status_code == 302
        battery.refresh_from_db()
        assert (battery.state_of_charge_at is not None) is is_said
        assert (battery.plan_requested_at, battery.weigh_requested_at is not None) == (None, True)


def test_saving_nothing_plans_nothing(desk):
    one, battery = full_house()
    Meter.objects.update(plan_requested_at=None)
    Device.objects.update(plan_requested_at=None)
    battery.refresh_from_db()
    for name, row in [("devices_device", battery), ("meters_meter", one)]:
        address = reverse(f"admin:{name}_change", args=[row.pk])
        assert desk.post(address, form_of(desk, address)).status_code == 302
        row.refresh_from_db()
        assert row.plan_requested_at is None


def test_mapping_a_device_on_the_meters_page_plans_both(desk):
    one, battery = meter(), device()
    address = reverse("admin:meters_meter_change", args=[one.pk])
    form = form_of(desk, address) | {"meter_devices-0-device": battery.pk}
    assert desk.post(address, form).status_code == 302
    one.refresh_from_db()
    battery.refresh_from_db()
    assert list(one.devices.all()) == [battery]
    assert one.plan_requested_at
    assert battery.plan_requested_at


def test_a_new_meter_gets_leaps_id_in_lower_case_and_is_planned(desk):
    address = reverse("admin:meters_meter_add")
    assert desk.post(address, form_of(desk, address) | {"meter_id": "ABAE2779-E392"}).status_code == 302
    one = Meter.objects.get()
    assert one.meter_id == "abae2779-e392"
    assert one.plan_requested_at


def test_a_changed_membership_plans_its_meter(desk):
    one = meter()
    market = group(one)
    address = reverse("admin:meters_marketgroup_change", args=[market.pk])
    form = form_of(desk, address) | {"memberships-0-starts_at_0": "2026-02-01"}
    assert desk.post(address, form).status_code == 302
    assert MarketGroupMembership.objects.get().starts_at.month == 2
    one.refresh_from_db()
    market.refresh_from_db()
    assert one.plan_requested_at
    assert market.compare_requested_at


@pytest.mark.parametrize("is_deleted", [False, True], ids=["moved to another group", "taken out"])
def test_a_meters_changed_membership_has_its_groups_compared(desk, is_deleted):
    market, other, idle = group(one := meter()), group(), group()
    address = reverse("admin:meters_meter_change", args=[one.pk])
    change = {"memberships-0-DELETE": "on"} if is_deleted else {"memberships-0-group": other.pk}
    assert desk.post(address, form_of(desk, address) | change).status_code == 302
    asking = MarketGroup.objects.filter(compare_requested_at__isnull=False)
    assert set(asking) == ({market} if is_deleted else {market, other})
    assert idle not in asking


def test_what_was_told_cannot_be_edited_and_a_told_device_cannot_be_deleted(desk):
    one, battery = full_house()
    for name, row in [
        ("devices_command", Command.objects.get()),
        ("devices_deviceschedule", battery.schedules.get()),
    ]:
        assert (
            desk.post(reverse(f"admin:{name}_change", args=[row.pk]), {"state": "FAILED"}).status_code == 403
        )
    for name, row in [("devices_device", battery), ("meters_meter", one)]:
        assert desk.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert desk.get(reverse("admin:devices_device_delete", args=[device().pk])).status_code == 200


def test_setting_a_fault_leaves_what_the_device_holds(desk):
    _, battery = full_house()
    address = reverse("admin:devices_simulateddevice_change", args=[battery.simulated.pk])
    form = form_of(desk, address)
    SimulatedDevice.objects.update(accepted_version=5)
    desk.post(address, form | {"fault": "SILENT"})
    held = SimulatedDevice.objects.get()
    assert (held.fault, held.accepted_version) == ("SILENT", 5)
