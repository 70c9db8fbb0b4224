"""The connection to Leap, against a Leap of our own on a socket: seen, mended, tested, keys changed."""

from __future__ import annotations

import logging
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.changing_leap import ask_for, send_waiting, waiting
from dispatch.checking_leap import check_if_due, request_check
from dispatch.intake import key_uses
from dispatch.queue import TEND_LEAP
from dispatch.tasks import tend_leap_connection
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import DispatchWebhook, Header, Level, Subscription
from meters.connection_models import LeapAct, LeapCheck, WebhookKeyUse
from meters.fingerprints import fingerprint
from tests.bodies import body
from tests.people import bearer, person

KEY = "a-key-of-the-simulator"
NEW, OLD = "the-new-webhook-key-0123456789", "the-old-webhook-key-0123456789"
FOREIGN = "a-foreign-secret-of-somebody"
SECRETS = (KEY, NEW, OLD, FOREIGN)

pytestmark = pytest.mark.django_db


@pytest.fixture
def leap(settings, monkeypatch):
    """A Leap of our own, with the key that the portal has; no key was noted in this process."""
    monkeypatch.setattr(key_uses, "_noted_at", {})
    with LeapSimulator(api_key=KEY) as simulator:
        settings.LEAP_API_KEY, settings.LEAP_API_BASE_URL = KEY, simulator.url
        settings.LEAP_WEBHOOK_KEYS, settings.PORTAL_URL = [NEW, OLD], "http://127.0.0.1:1"
        yield simulator


@pytest.fixture
def boss(client):
    client.force_login(person("admin"))
    return client


def words(answer) -> str:
    """The page's text without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def shown(client) -> str:
    """The page after the worker was at work; no secret stands in it, nor in the API, nor in a row."""
    tend_leap_connection()
    page = client.get("/leap/")
    api = client.get("/api/v1/leap-connection/")
    rows = repr([*LeapAct.objects.values(), *LeapCheck.objects.values(), *WebhookKeyUse.objects.values()])
    for secret in SECRETS:
        assert secret not in page.content.decode() + api.content.decode() + rows
    return words(page)


def do(client, kind: str, target: str = ""):
    return client.post("/leap/act/", {"kind": kind, "target": target, "confirm": "1"}, follow=True)


def dispatch_hook(url: str, key: str = OLD, name: str = "X-API-Key") -> DispatchWebhook:
    return DispatchWebhook(url=url, headers=(Header(name=name, value=key),))


OURS = "http://127.0.0.1:1/webhooks/leap/dispatch"
HELD = {
    "nothing": ({}, "Nothing is registered: Leap pushes no dispatch to us."),
    "elsewhere": (
        {"group": dispatch_hook("https://other.example/x?token=a-foreign-secret-of-somebody")},
        "not ours",
    ),
    "a strange key": ({"group": dispatch_hook(OURS, FOREIGN)}, "a key that is not in LEAP_WEBHOOK_KEYS"),
    "another header": ({"group": dispatch_hook(OURS, NEW, "x-token")}, "Leap sends no header x-api-key"),
    "an older key": ({"group": dispatch_hook(OURS, OLD)}, "Leap still sends an older key"),
    "all well": ({"group": dispatch_hook(f"{OURS}/", NEW)}, "Ours, with our header and key."),
    "both levels": (
        {"group": dispatch_hook(OURS, NEW), "meter": dispatch_hook(OURS, NEW)},
        "Both levels are registered: what Leap asks at both comes twice, and one of them is acted upon.",
    ),
}


@pytest.mark.parametrize(("held", "sentence"), HELD.values(), ids=HELD.keys())
def test_the_page_says_what_leap_holds_and_what_is_wrong_with_it(boss, leap, held, sentence):
    leap.pusher.webhooks.update({Level(level): hook for level, hook in held.items()})
    text = shown(boss)
    assert sentence in text
    room = words(boss.get("/"))
    is_well = sentence.startswith(("Ours", "Both"))
    # Nothing tells of meters here, which the control room says when all else is well.
    assert ("Leap tells us nothing of meters" in room) == is_well
    assert "The connection to Leap needs mending" in room


def test_a_webhook_is_set_with_a_record_of_before_and_after(boss, leap):
    leap.pusher.webhooks[Level.GROUP] = dispatch_hook("https://other.example/", FOREIGN)
    shown(boss)
    asked = boss.post("/leap/act/", {"kind": "SET_WEBHOOK", "target": "group"})
    assert "Have Leap post dispatches here?" in words(asked) and not LeapAct.objects.exists()
    do(boss, "SET_WEBHOOK", "group")
    assert "Ours, with our header and key." in shown(boss)
    held = leap.pusher.webhooks[Level.GROUP]
    assert (held.url, held.headers[0].value) == (f"{OURS}/", NEW)
    act = LeapAct.objects.get()
    assert (act.state, act.asked_by, act.before["url"]) == ("DONE", "a-admin", "https://other.example/")
    assert (act.before["key"], act.after["key"]) == ("", fingerprint(NEW))
    assert "other level is registered" in words(
        boss.post("/leap/act/", {"kind": "SET_WEBHOOK", "target": "meter"})
    )
    do(boss, "DELETE_WEBHOOK", "group")
    assert "Nothing is registered: Leap pushes no dispatch" in shown(boss)
    assert Level.GROUP not in leap.pusher.webhooks


@pytest.mark.django_db(transaction=True)
def test_platform_events_are_subscribed_to_once_tested_repaired_and_deleted(
    boss, leap, live_server, settings
):
    settings.PORTAL_URL = live_server.url
    shown(boss)
    do(boss, "SUBSCRIBE")
    do(boss, "SUBSCRIBE")  # as after a crash: it is there, so it is set anew
    shown(boss)
    ((name, held),) = leap.pusher.subscriptions.items()
    assert (held.receiver_url, len(held.event_types)) == (f"{live_server.url}/webhooks/leap/events/", 7)
    do(boss, "TEST_SUBSCRIPTION", name)
    assert "Our webhook answered 202 in" in shown(boss)
    assert WebhookKeyUse.objects.get().fingerprint == fingerprint(NEW)
    leap.pusher.subscriptions[name] = Subscription(
        webhook_id=name,
        receiver_url=held.receiver_url,
        event_types=("meter.created", "meter.moved"),
        headers=(),
    )
    request_check(now=timezone.now())
    text = shown(boss)
    assert "It does not tell of: meter.enrollment.global-status.updated" in text
    do(boss, "UPDATE_SUBSCRIPTION", name)
    assert "Ours, with our header and key." in shown(boss)
    assert "meter.moved" in leap.pusher.subscriptions[name].event_types
    do(boss, "DELETE_SUBSCRIPTION", name)
    assert "Leap tells us nothing of meters" in shown(boss)
    assert not leap.pusher.subscriptions


def test_a_key_is_changed_in_two_steps_and_the_page_says_when_the_old_one_may_go(boss, leap, settings):
    settings.LEAP_WEBHOOK_KEYS = [OLD]
    leap.pusher.webhooks[Level.GROUP] = dispatch_hook(OURS)
    assert "To change the key: make a new one" in shown(boss)
    made = boss.post("/leap/key/")
    new = re.search(r'id="new-key" value="([\w-]{43})"', made.content.decode())
    assert new and "no-store" in made["Cache-Control"]

    settings.LEAP_WEBHOOK_KEYS = [NEW, OLD]
    post(boss, OLD)
    assert "The portal runs with both keys." in shown(boss)
    do(boss, "SEND_NEW_KEY")
    text = shown(boss)
    assert leap.pusher.webhooks[Level.GROUP].headers[0].value == NEW
    assert f"{fingerprint(OLD)} an older one. Leap sends it with nothing. Last used for dispatches" in text
    assert "Keep it until" in text

    long_ago = timezone.now() - timedelta(hours=1)
    WebhookKeyUse.objects.update(latest_at=long_ago)
    answer = LeapCheck.objects.get().answer
    answer["webhooks"][0]["since"] = long_ago.isoformat()
    LeapCheck.objects.update(answer=answer)
    assert "Safe to take out" in shown(boss)


def post(client, key: str) -> None:
    answer = client.post(
        "/webhooks/leap/dispatch/", body(), content_type="application/json", headers={"x-api-key": key}
    )
    assert answer.status_code in {200, 202}


def test_the_use_of_a_key_is_written_once_a_minute(client, leap):
    post(client, NEW)
    before = WebhookKeyUse.objects.get()
    post(client, NEW)
    after = WebhookKeyUse.objects.get()
    assert (after.fingerprint, after.door, after.latest_at) == (
        fingerprint(NEW),
        "DISPATCH",
        before.latest_at,
    )
    post(client, OLD)
    assert WebhookKeyUse.objects.count() == 2
    assert client.post("/webhooks/leap/dispatch/", headers={"x-api-key": "x"}).status_code == 401
    assert WebhookKeyUse.objects.count() == 2


REFUSALS = {
    "a key of elsewhere": ("another-key", "Leap refuses the key (403)"),
    "nobody there": (KEY, "Leap is away"),
}


@pytest.mark.parametrize(("key", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_leap_that_refuses_or_is_silent_is_told_in_words_and_the_last_answer_stays(
    boss, leap, settings, key, sentence, caplog
):
    leap.pusher.webhooks[Level.GROUP] = dispatch_hook(f"{OURS}/", NEW)
    shown(boss)
    settings.LEAP_API_KEY = key
    if key == KEY:
        leap.pusher.go_away(lasts=timedelta(minutes=1))
    request_check(now=timezone.now())
    with caplog.at_level(logging.DEBUG):
        text = shown(boss)
    assert sentence in text and "Ours, with our header and key." in text
    assert not any(secret in caplog.text for secret in (*SECRETS, key))
    do(boss, "DELETE_WEBHOOK", "group")
    tend_leap_connection()
    assert LeapAct.objects.get().state == "FAILED"


def test_an_act_left_half_done_is_closed_and_leap_is_asked_what_it_holds(leap):
    now = timezone.now()
    act = ask_for("SET_WEBHOOK", target="group", by="otto", now=now)
    LeapAct.objects.update(state="SENDING", sent_at=now - timedelta(minutes=5))
    LeapCheck.objects.create(tried_at=now, answered_at=now)
    assert waiting(now=now) == (TEND_LEAP,)
    assert send_waiting(now=now) == 0
    act.refresh_from_db()
    assert (act.state, LeapCheck.objects.get().requested_at is not None) == ("UNKNOWN", True)
    assert Level.GROUP not in leap.pusher.webhooks


def test_a_worker_with_other_keys_tells_leap_none_of_them(leap, settings):
    act = ask_for("SET_WEBHOOK", target="group", by="otto", now=timezone.now())
    settings.LEAP_WEBHOOK_KEYS = [OLD]
    send_waiting(now=timezone.now())
    act.refresh_from_db()
    assert (act.state, "restart" in act.detail) == ("FAILED", True)
    assert not leap.pusher.webhooks


def test_leap_is_asked_hourly_and_by_one_at_a_time(leap):
    now = timezone.now()
    assert (check_if_due(now=now), check_if_due(now=now)) == (True, False)
    LeapCheck.objects.update(tried_at=now - timedelta(minutes=61))
    assert waiting(now=now) == (TEND_LEAP,)
    LeapCheck.objects.update(claimed_until=now + timedelta(seconds=1))
    assert not waiting(now=now)


def test_without_an_address_of_our_own_nothing_is_set(boss, leap, settings):
    settings.LEAP_API_BASE_URL = "https://api.staging.leap.energy"
    LeapCheck.objects.create(
        tried_at=timezone.now(), answered_at=timezone.now(), base_url=settings.LEAP_API_BASE_URL
    )
    page = words(boss.get("/leap/"))
    assert "not known: set PORTAL_URL" in page and "staging" in page
    assert "Set PORTAL_URL to the address" in words(do(boss, "SUBSCRIBE"))
    settings.PORTAL_URL = "http://portal.example"
    assert "Leap posts to https addresses on port 443 alone." in words(boss.get("/leap/"))
    assert not LeapAct.objects.exists()


def test_without_a_key_the_page_says_what_to_set(boss, settings):
    assert "Leap cannot be asked." in words(boss.get("/leap/"))
    assert "LEAP_API_KEY is not set" in words(boss.post("/leap/check/", follow=True))
    assert "Nothing was done" in words(do(boss, "SUBSCRIBE"))
    assert not waiting(now=timezone.now())


@pytest.mark.parametrize("kind", ["", "NONSENSE", "SET_WEBHOOK", "TEST_SUBSCRIPTION"])
def test_what_leap_does_not_hold_is_not_changed(boss, leap, kind):
    assert "Leap holds nothing like that any more." in words(do(boss, kind, "nobody"))


def test_the_api_tells_the_same(client, leap):
    leap.pusher.webhooks[Level.GROUP] = dispatch_hook(OURS)
    tend_leap_connection()
    said = client.get("/api/v1/leap-connection/", headers=bearer("viewer")).json()
    assert (said["environment"], said["is_working"]) == ("simulator", True)
    group = said["dispatch_webhooks"][0]
    assert (group["id"], group["is_ours"], group["key"]) == ("group", True, fingerprint(OLD))
    assert group["findings"][0]["kind"] == "warn"
    assert [key["is_first"] for key in said["webhook_keys"]] == [True, False]


def test_after_the_keys_changed_leap_is_asked_again_within_a_minute(leap, settings):
    now = timezone.now()
    check_if_due(now=now)
    assert not waiting(now=now + timedelta(minutes=2))
    settings.LEAP_WEBHOOK_KEYS = [NEW]
    assert waiting(now=now + timedelta(minutes=2)) == (TEND_LEAP,)
