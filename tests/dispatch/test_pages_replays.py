"""The pages and the API of replays: asking, waiting, the answer, and what can go wrong."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from dispatch.domain.policies import NOTHING
from dispatch.policies import save_policy
from dispatch.policy_models import PolicyVersion, ResponsePolicy
from dispatch.reading.replay_words import headline
from dispatch.replay_models import PolicyReplay
from dispatch.replaying import work_on_replays
from tests.builders import at, device, meter
from tests.dispatch.decided import event
from tests.dispatch.rows import NOW
from tests.dispatch.test_replaying import told
from tests.people import bearer, person

pytestmark = pytest.mark.django_db

FIGURES = {
    "delivered_kwh": 44_000.0,
    "device_hours": 212.0,
    "runs": 40,
    "commitments_kept": 30,
    "commitments_broken": 1,
    "voluntary_served": 8,
    "voluntary_skipped": 0,
}
LESS = FIGURES | {"delivered_kwh": 41_200.0, "device_hours": 100.0, "commitments_broken": 4}
SENTENCES = {
    "less, and more broken": (
        LESS,
        "Under Pack v3 the fleet would have delivered 41.2 MWh instead of 44 MWh (−6 %), broken 3 "
        "commitments more and run 112 h less.",
    ),
    "the other way round": (
        FIGURES | {"commitments_broken": 0, "voluntary_skipped": 2},
        "Under Pack v3 the fleet would have delivered the same 44 MWh, broken 1 commitment fewer and skipped "
        "2 voluntary events more.",
    ),
    "nothing otherwise": (FIGURES, "Under Pack v3 the fleet would have done just the same."),
}


@pytest.mark.parametrize(("after", "sentence"), SENTENCES.values(), ids=SENTENCES.keys())
def test_the_headline_says_what_would_have_been_otherwise(after, sentence):
    said = headline(
        label="Pack v3", whom="the fleet", result={"events": 1, "before": FIGURES, "after": after}
    )
    assert said == sentence


@pytest.fixture
def policy() -> ResponsePolicy:
    """Half an hour a day; and an award of two hours on the days that are replayed."""
    one = meter()
    device(one, external_id="pack-1", name="Pack <one>")
    row = event("award", one, start=60, end=180, kw="8", programs=["CCA"])
    told(row, 0)
    content = {**NOTHING, "name": "Pack", "hours_a_day": Decimal("0.5")}
    return save_policy(policy_id=None, content=content, by="ana", now=NOW)


TYPED = {
    "first": "2026-07-13",
    "last": "2026-07-15",
    "scope": "FLEET",
    "target": "",
    "baseline": "IN_FORCE",
}


def test_a_replay_is_asked_for_followed_and_read(client, now, policy):
    client.force_login(person("operator"))
    form = client.get(f"/policies/{policy.pk}/replays/add/").content.decode()
    assert '<option value="FLEET" selected>' in form
    answer = client.post(f"/policies/{policy.pk}/replays/add/", TYPED)
    assert answer.status_code == 302, answer.content.decode()
    path = answer["Location"]
    waiting = client.get(path).content.decode()
    assert "Waiting for a worker" in waiting
    assert f'hx-get="{path}"' in waiting
    work_on_replays(now=NOW)
    shown = client.get(path).content.decode()
    assert (
        "Under Pack v1 the fleet would have delivered 4 kWh instead of 16 kWh (−75 %), broken 1 "
        "commitment more and run 1.5 h less." in shown
    )
    assert "Dropped: 30 min a day are used by CCA (rank 1). Policy Pack v1." in shown
    assert "Pack &lt;one&gt;" in shown
    assert "hx-get" not in shown.partition('id="replay"')[2].partition(">")[0]
    assert path in client.get(f"/policies/{policy.pk}/").content.decode()


def test_what_cannot_be_replayed_is_said_on_the_form(client, now, policy):
    client.force_login(person("operator"))
    answer = client.post(f"/policies/{policy.pk}/replays/add/", TYPED | {"last": "2026-12-31"})
    assert answer.status_code == 422
    assert "Only past days can be replayed." in answer.content.decode()


def test_days_without_events_and_a_failure_have_their_own_words(client, now, policy):
    client.force_login(person("viewer"))
    empty = PolicyReplay.objects.create(
        policy=policy,
        label="Pack v1",
        content={},
        scope="FLEET",
        baseline="NONE",
        starts_at=at(-9000),
        ends_at=at(-6000),
        requested_by="ana",
        requested_at=NOW,
        touched_at=NOW,
    )
    work_on_replays(now=NOW)
    path = f"/policies/{policy.pk}/replays/{empty.pk}/"
    assert "No dispatch asked anything of the fleet in these days." in client.get(path).content.decode()
    PolicyReplay.objects.update(state="FAILED", result=None, detail="It broke off 3 times.")
    assert "This replay failed.</b> It broke off 3 times." in client.get(path).content.decode()
    assert client.get(f"/policies/{policy.pk}/replays/{empty.pk + 1}/").status_code == 404


def test_what_is_typed_is_tried_without_being_saved(client, now, policy):
    client.force_login(person("admin"))
    typed = {key: "" if said is None else said for key, said in policy.content().items() if said is not False}
    answer = client.post(f"/policies/{policy.pk}/edit/", typed | {"hours_a_day": "1", "replay": "1"})
    assert answer.status_code == 302, answer.content.decode()
    replay = PolicyReplay.objects.get()
    assert (replay.label, replay.content["hours_a_day"]) == ("Pack v1 (draft)", 1.0)
    assert PolicyVersion.objects.count() == 1


def test_the_api_asks_for_a_replay_and_reads_its_answer(client, now, policy):
    path = f"/api/v1/policies/{policy.pk}/replays/"
    body = {"starts_at": at(-600).isoformat(), "ends_at": at(600).isoformat(), "scope": "fleet"}
    ask = {"data": body, "content_type": "application/json", "headers": bearer("operator")}
    made = client.post(path, **ask)
    assert made.status_code == 201, made.content
    assert (made.json()["state"], made.json()["result"]) == ("waiting", None)
    work_on_replays(now=NOW)
    reader = bearer("viewer")
    shown = client.get(f"{path}{made.json()['id']}/", headers=reader).json()
    assert (shown["state"], shown["policy"], shown["result"]["after"]["delivered_kwh"]) == (
        "done",
        "Pack v1",
        4.0,
    )
    assert [each["id"] for each in client.get(path, headers=reader).json()["results"]] == [shown["id"]]
    ask["data"] = body | {"ends_at": (NOW + timedelta(days=1)).isoformat()}
    refused = client.post(path, **ask).json()["errors"]
    assert refused == {"non_field_errors": ["Only past days can be replayed."]}
    assert client.post(path, **ask | {"headers": reader}).status_code == 403
