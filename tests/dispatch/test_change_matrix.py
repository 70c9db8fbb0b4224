"""Plays `docs/changes.md` row by row: what is held, and what Leap's search makes of it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from dispatch.models import DispatchEvent, EventRevision, Source
from dispatch.queries import status_of
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from tests.bodies import as_bytes, at, meter_body, text, timeslot

pytestmark = pytest.mark.django_db

DOCUMENT = Path(__file__).parents[2] / "docs" / "changes.md"
VERSIONS: dict[str, dict] = {
    "O": {},
    "M": {"energy_kw": 12},
    "C": {"cancelled": True},
    "E": {"end_time": text(at(265))},
    "X": {"end_time": text(at(320))},
    "R": {"energy_kw": 9},
}
HEARD = {"before": 180, "during": 270, "after": 330}
A_DAY = 24 * 60


def rows() -> list[dict[str, str]]:
    """Return the rows of the document's table under the names of its head."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, cells, strict=True)) for cells in body]


def name(row: dict[str, str]) -> str:
    return f"{row['change']} {row['heard']} {row['delivery']}"


def say(version: str, *, minute: float, source: Source = Source.WEBHOOK) -> None:
    slots = meter_body(timeslot(**VERSIONS[version]))
    said = slots if source is Source.WEBHOOK else {"results": slots["meter_dispatches"]}
    receive(body=as_bytes(said), source=source, received_at=at(minute))
    record_waiting(now=at(minute))


def play(row: dict[str, str]) -> float:
    """Deliver the row's versions; return the minute after the last."""
    versions = row["arrives"].split()
    minute = float(HEARD[row["heard"]])
    if len(set(versions)) > 1 and versions[0] == "O":
        say(versions.pop(0), minute=minute - A_DAY)
    for version in versions:
        say(version, minute=minute)
        minute += 1
    return minute


def held(*, minute: float) -> str:
    """Return what is held, in the document's words."""
    event = DispatchEvent.objects.get()
    words = {"SCHEDULED": "scheduled", "ACTIVE": "runs", "COMPLETED": "over"}
    status = status_of(event, now=at(minute))
    said = words.get(status, status.label.lower())
    if not event.is_cancelled:
        said += f", {float(event.energy_kw or 0):g} kW until {event.ends_at:%H:%M}"
    return said if event.is_confirmed else f"{said} (unconfirmed)"


def history() -> str:
    kinds = EventRevision.objects.order_by("number").values_list("kind", flat=True)
    return ", ".join(kind.lower().replace("_", " ") for kind in kinds)


@pytest.mark.parametrize("row", rows(), ids=name)
def test_what_is_held_without_a_search(row):
    minute = play(row)
    assert (held(minute=minute), history()) == (row["held, search off"], row["revisions, search off"])


@pytest.mark.parametrize("row", rows(), ids=name)
def test_what_is_held_until_the_search_answers_and_after(row, settings):
    settings.LEAP_API_KEY = "a-key"
    minute = play(row)
    assert held(minute=minute) == row["held, search on"]
    say(row["true"], minute=minute, source=Source.POLL)
    assert held(minute=minute) == row["after the search"]
    assert "unconfirmed" not in row["after the search"]


def test_the_table_holds_every_combination():
    found = {key: len(list(same)) for key, same in groupby(sorted(map(name, rows())))}
    for change in ("create", "modify", "cancel"):
        for heard in HEARD:
            for delivery in ("in order", "late", "twice"):
                assert found[f"{change} {heard} {delivery}"] == 1
