"""Commands as people read them: what each says, how far it has come, and which are tried again."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.urls import reverse

from devices.commanding import run_due_commands
from devices.domain.schedule import Mode, Segment
from devices.models import Command, CommandAttempt, Device, DeviceSchedule
from devices.scheduling import replace_schedules
from tests.dispatch import set_points
from tests.dispatch.rows import NOW, at, device, event, group, meter, recipients, schedule
from tests.people import person


@pytest.fixture
def told(now, db, settings):
    """A device that takes set-points, in a live event from 17:00 to 19:00."""
    settings.DEVICE_DRIVERS = settings.DEVICE_DRIVERS | set_points.DRIVERS
    named = meter()
    live = event(group(), to=recipients(named))
    return device(named), live


def row_of(text: str, said: str) -> str:
    """The table row that says this."""
    rows = [row for row in re.findall(r"<tr.*?</tr>", text) if said in row]
    assert len(rows) == 1, (said, len(rows))
    return rows[0]


def test_a_set_point_says_its_power_and_until_when_it_holds(page, told):
    command = set_points.told(*told)
    Command.objects.filter(pk=command.pk).update(finished_at=at(0), renewed_at=NOW - timedelta(minutes=1))
    row = row_of(page("/commands/"), "Set to 4.5 kW discharge from 17:00")
    assert "renewed 17:41, lapses 17:44" in row
    assert "Acknowledged" in row
    Command.objects.filter(pk=command.pk).update(renewed_at=NOW - timedelta(minutes=4))
    assert "renewed 17:38, lapsed 17:41" in page("/commands/")


def test_a_replaced_set_point_holds_nothing(page, told):
    command = set_points.told(*told)
    Command.objects.filter(pk=command.pk).update(finished_at=at(0), renewed_at=NOW)
    DeviceSchedule.objects.update(superseded_at=NOW)
    assert "lapses" not in page("/commands/")


def test_a_return_to_normal_is_red_from_its_time_until_it_is_proven(page, told):
    set_points.told(*told)
    restore = Command.objects.filter(kind="CLEAR")
    assert "is-plain" in row_of(page("/commands/"), "Back to normal at 19:00")
    restore.update(due_at=at(0.5))
    assert "is-bad" in row_of(page("/commands/"), "Back to normal at 17:30")
    restore.update(state="ACKNOWLEDGED", attempt_count=1, finished_at=at(0.5))
    assert "Not proven normal" in row_of(page("/commands/"), "Back to normal at 17:30")
    restore.update(proven_at=at(0.5), proof="Reads 0 W.")
    row = row_of(page("/commands/"), "Back to normal at 17:30")
    assert "Verified" in row
    assert "Reads 0 W." in row


@pytest.mark.parametrize(
    ("state", "word"), [("PROVEN", "Verified"), ("DEVIATES", "Deviates"), ("AWAITED", "Acknowledged")]
)
def test_a_proof_of_the_run_is_the_last_word_on_its_command(page, told, state, word):
    set_points.told(*told)
    set_points.proof(*told, state=state)
    row = row_of(page("/commands/"), "Set to 4.5 kW")
    assert f"<span>{word}</span>" in row
    assert f"It was looked at: {state.lower()}." in row


def test_a_proof_of_another_run_says_nothing_of_this_one(page, told):
    set_points.told(*told)
    set_points.proof(*told, state="PROVEN", since=at(-5), ends_at=at(-4), is_open=False)
    set_points.proof(*told, state="PROVEN", kind="NORMAL", since=at(0), ends_at=None)
    assert "Verified" not in page("/commands/")


def test_the_event_keeps_what_carries_it_and_what_takes_it_back(page, told):
    mine, live = told
    schedule(mine, live)
    DeviceSchedule.objects.update(superseded_at=at(0.5))
    back = DeviceSchedule.objects.create(device=mine, version=2, created_at=at(0.5), digest="e")
    set_points.command(back, key="clear", kind="CLEAR", due_at=at(0.5), expires_at=at(24))
    other = event(group("Elsewhere"), to=recipients(meter()), start=at(5), end=at(6))
    schedule(device(), other)
    text = page(f"/commands/?event={live.pk}")
    assert text.count("row-title") == 2
    assert "Back to normal at 17:30" in text
    assert f'<option value="{live.pk}" selected>' in text
    assert "No command matches" in page(f"/commands/?event={other.pk}")


def test_commands_are_found_by_when_they_are_due(page, told):
    set_points.told(*told)
    assert "Set to 4.5 kW" in page("/commands/?due=hour")
    later = page("/commands/?due=next-day")
    assert "Back to normal at 19:00" in later
    assert "Set to 4.5 kW" not in later
    assert "No command matches" in page("/commands/?due=overdue")


def test_all_that_are_shown_and_may_be_are_tried_again(client, now, db):
    named = meter()
    live = event(to=recipients(named))
    for state in ("FAILED", "SENT", "ACKNOWLEDGED"):
        schedule(device(named), live, state=state)
    client.force_login(person("operator"))
    text = client.get("/commands/").content.decode()
    assert "Retry all 2 shown" in text
    shown = re.findall(r'name="command" value="(\d+)"', text)
    accepted = Command.objects.get(state="ACKNOWLEDGED")
    back = "/commands/?page=1"
    answer = client.post(
        "/commands/retry/", {"command": [*shown, accepted.pk, "x"], "next": back}, follow=True
    )
    said = answer.content.decode()
    assert answer.redirect_chain == [(back, 302)]
    assert "2 commands tried again within seconds." in said
    assert "1 command left as found" in said
    assert Command.objects.filter(state="PENDING", next_attempt_at=NOW).count() == 2
    accepted.refresh_from_db()
    assert accepted.state == "ACKNOWLEDGED"


def test_a_refresh_answers_with_the_rows_and_the_tabs_alone(page, told):
    set_points.told(*told)
    text = page("/commands/?kind=setpoint&page=1", **{"hx-request": "true"})
    assert "<html" not in text
    assert '<form class="filters' not in text
    assert 'id="command-tabs"' in text
    assert 'hx-get="/commands/?kind=setpoint&amp;page=1"' in text


def test_the_latest_attempts_are_listed_and_the_others_counted(page, told):
    command = set_points.told(*told)
    CommandAttempt.objects.bulk_create(
        CommandAttempt(command=command, started_at=at(0), outcome="ERROR") for _ in range(40)
    )
    Command.objects.filter(pk=command.pk).update(attempt_count=41)
    row = row_of(page("/commands/"), "Set to 4.5 kW")
    assert "41 attempts" in row
    assert "21 before these" in row


def test_the_file_holds_what_the_list_shows(client, told):
    set_points.told(*told)
    Device.objects.update(name="=cmd()")
    client.force_login(person("viewer"))
    answer = client.get(reverse("dispatch:command-export") + "?kind=setpoint&tz=America/Los_Angeles")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["command"] for row in rows] == ["Set to 4.5 kW discharge from 17:00"]
    assert not rows[0]["device"].startswith("=")


def test_a_device_says_what_it_does_and_what_was_proven(page, told):
    mine, live = told
    set_points.told(mine, live)
    Command.objects.filter(kind="SETPOINT").update(finished_at=NOW)
    set_points.proof(mine, live, state="DEVIATES")
    before = DeviceSchedule.objects.create(
        device=mine, version=0, created_at=at(-6), superseded_at=at(-5), digest="b"
    )
    set_points.command(
        before,
        key="old",
        kind="CLEAR",
        due_at=at(-6),
        expires_at=at(9),
        state="ACKNOWLEDGED",
        proven_at=NOW,
        proof="Read 0 W.",
    )
    Device.objects.update(power_kw="-3.2", power_at=NOW, last_seen_at=NOW - timedelta(seconds=12))
    text = page(f"/devices/{mine.pk}/")
    assert "gives 3.2 kW" in text
    assert "heard 12 s ago" in text
    now_card = text[text.index('id="now"') : text.index('id="about-title"')]
    assert "It was looked at: deviates." in now_card
    assert text.index("Back to normal at 19:00") > text.index("Set to 4.5 kW")


def test_the_event_and_the_stripe_count_who_is_verified(page, told):
    mine, live = told
    set_points.told(mine, live)
    other = device(*mine.meters.all())
    schedule(other, live)
    set_points.proof(mine, live, state="PROVEN")
    set_points.proof(other, live, state="DEVIATES")
    schedule(device(*mine.meters.all()), live)
    text = page(f"/events/{live.pk}/")
    assert "<dt>Verified</dt><dd>1</dd>" in text
    assert "<dt>Acknowledged</dt><dd>3</dd>" in text
    assert "1 does otherwise" in text
    stripe = page("/live/")
    assert "1/3</b> verified" in stripe
    assert "1 to check" in stripe


def test_a_coming_event_counts_set_points_by_who_is_online(page, told, settings):
    named = meter()
    coming = event(
        group("Later"), to=recipients(named), start=at(2), end=at(3), energy_kw=9, unmapped_meters=1
    )
    for is_online in (True, False):
        one = device(named)
        set_points.told(one, coming, state="PENDING")
        Device.objects.filter(pk=one.pk).update(is_online=is_online)
    # It took the value of a run before; of the coming one nothing can be known yet.
    DeviceSchedule.objects.filter(device=one).update(state="ACKNOWLEDGED")
    text = page(f"/events/{coming.pk}/")
    ready = text[text.index('id="ready-title"') : text.index('id="ledger-title"')]
    assert "1 <small>of 2</small>" in ready
    assert "4.5 kW <small>of 9 kW</small>" in ready
    assert "1 offline" in ready
    assert "1 meter without a device" in ready
    assert "cannot be confirmed ahead: 1 device counts as ready by being online." in ready
    assert "1 waits for its time" in text
    room = page("/")
    assert "cannot be confirmed ahead" in room
    assert "1 offline." in room


@pytest.mark.django_db(transaction=True)
def test_what_commanding_writes_of_set_points_is_what_the_page_says(client, now, settings):
    settings.DEVICE_DRIVERS = settings.DEVICE_DRIVERS | set_points.DRIVERS
    mine = device(meter())
    Device.objects.update(driver="inverter")
    run = Segment(
        start=at(0),
        end=at(2),
        mode=Mode.DISCHARGE,
        target_kw=Decimal("4.5"),
        cap="",
        is_commitment=True,
        leap_event_ids=("e",),
        reason="Alone.",
    )
    with transaction.atomic():
        replace_schedules(desired={mine.pk: (run,)}, now=NOW)
    assert run_due_commands(now=NOW) == 1
    client.force_login(person("viewer"))
    text = re.sub(r"\s+", " ", client.get("/commands/?tz=America/Los_Angeles").content.decode())
    row = row_of(text, "Set to 4.5 kW discharge from 17:00")
    assert "told 17:42, lapses 17:45" in row
    assert "Reads DISCHARGE." in row
    assert "<span>Verified</span>" in row
    assert "<span>Planned</span>" in row_of(text, "Back to normal at 19:00")
