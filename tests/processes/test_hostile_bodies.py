"""Hostile and odd deliveries over real sockets to the production server: the exact answer and the exact row.

What the bodies mean is tested without a server, in `tests/domain/test_payloads.py`.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.bodies import EVENT, OTHER_EVENT, as_bytes, body, group_body, meter_body, timeslot
from tests.processes.running import web_server

URL = "/webhooks/leap/dispatch/"
KEY = {"X-Api-Key": "key-one"}
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Portal:
    """A web server with a database of its own."""

    port: int
    database: str

    def post(self, sent: Any = b"", *, method: str = "POST", headers: dict = KEY, path: str = URL, **more):
        """Return status, answer and headers of one request."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body=sent, headers=headers, **more)
            answer = connection.getresponse()
            text = answer.read()
        return answer.status, json.loads(text) if text else None, answer.headers

    def row(self, sent: bytes) -> tuple | None:
        """Return (status, repeats, reason) of the stored body, None when it is not stored."""
        digest = hashlib.sha256(sent).hexdigest()
        rows = self.select("SELECT sha256, status, repeat_count, reason FROM dispatch_dispatchnotification")
        found = [row[1:] for row in rows if row[0] == digest]
        assert len(found) <= 1
        return found[0] if found else None

    def select(self, sql: str) -> list[tuple]:
        with self.connect() as connection:
            return list(connection.execute(sql))

    @contextmanager
    def connect(self) -> Iterator:
        if self.database.startswith("postgres"):
            with psycopg.connect(self.database) as connection:
                yield connection
            return
        import sqlite3  # noqa: PLC0415 - only here

        with closing(sqlite3.connect(self.database.removeprefix("sqlite:///"), timeout=30)) as connection:
            connection.isolation_level = None
            yield connection


@pytest.fixture(scope="module")
def portal(tmp_path_factory) -> Iterator[Portal]:
    with web_server(tmp_path_factory.mktemp("portal")) as (port, database):
        yield Portal(port, database)


@dataclass(frozen=True)
class Delivery:
    """What is sent, what must be answered, and the stored row's status ("" for none)."""

    sent: object
    status: int
    answer: str
    stored: str
    headers: dict = field(default_factory=dict)
    stored_bytes: bytes | None = None


def unique(document: dict | None = None) -> bytes:
    """The bytes of a body that no other test sends."""
    return as_bytes((document or meter_body()) | {"unique": uuid4().hex})


def damaged(find: bytes, replacement: bytes) -> bytes:
    return unique().replace(find, replacement)


BOMB = gzip.compress(b" " * (26 * MEBIBYTE))
GOOD = unique()
DEEP = b'"deep": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000

DELIVERIES = {
    "meter level": Delivery(unique(), 202, "accepted", "RECEIVED"),
    "group level": Delivery(unique(group_body()), 202, "accepted", "RECEIVED"),
    "both levels": Delivery(unique(meter_body() | group_body()), 202, "accepted", "RECEIVED"),
    "no content type": Delivery(unique(), 202, "accepted", "RECEIVED", {"Content-Type": "text/plain"}),
    "odd accept": Delivery(unique(), 202, "accepted", "RECEIVED", {"Accept": "text/html"}),
    "gzip": Delivery(gzip.compress(GOOD), 202, "accepted", "RECEIVED", {"Content-Encoding": "gzip"}, GOOD),
    "byte order mark": Delivery(b"\xef\xbb\xbf" + unique(), 202, "accepted", "RECEIVED"),
    "one bad neighbour": Delivery(
        unique(meter_body(timeslot(energy_kw=-5), timeslot(OTHER_EVENT))), 202, "accepted", "RECEIVED"
    ),
    "1e999 kW": Delivery(
        damaged(b'"energy_kw": 10', b'"energy_kw": 1e999'), 202, "quarantined", "QUARANTINED"
    ),
    "401 digits": Delivery(
        damaged(b'"energy_kw": 10', b'"energy_kw": ' + b"9" * 401), 202, "quarantined", "QUARANTINED"
    ),
    "a doubled key": Delivery(
        damaged(b'"cancelled": false', b'"cancelled": false, "cancelled": true'),
        202,
        "quarantined",
        "QUARANTINED",
    ),
    "a meter called x": Delivery(unique(meter_body(meter="x")), 202, "quarantined", "QUARANTINED"),
    "nothing": Delivery(as_bytes({}), 202, "quarantined", "QUARANTINED"),
    "no dispatches": Delivery(as_bytes({"meter_dispatches": []}), 202, "quarantined", "QUARANTINED"),
    "the old shape": Delivery(unique({"timeslot": {}, "meter_id": "x"}), 202, "quarantined", "QUARANTINED"),
    "null characters": Delivery(
        damaged(b'"unique": "', rb'"partner_reference": "\u0000\ud800", "unique": "'),
        202,
        "accepted",
        "RECEIVED",
    ),
    "empty": Delivery(b"", 400, "rejected", ""),
    "cut at half": Delivery(unique()[:150], 400, "rejected", "REJECTED"),
    "NaN": Delivery(damaged(b'"energy_kw": 10', b'"energy_kw": NaN'), 400, "rejected", "REJECTED"),
    "5,000 digits": Delivery(damaged(b": 10,", b": " + b"9" * 5000 + b","), 400, "rejected", "REJECTED"),
    "100,000 brackets": Delivery(b"[" * 100_000, 400, "rejected", "REJECTED"),
    "5,000 deep": Delivery(damaged(b'"unique"', DEEP + b', "unique"'), 400, "rejected", "REJECTED"),
    "a list": Delivery(b"[]", 400, "rejected", "REJECTED"),
    "null": Delivery(b"null", 400, "rejected", "REJECTED"),
    "two documents": Delivery(unique() + b"{}", 400, "rejected", "REJECTED"),
    "a comment": Delivery(unique() + b"// x", 400, "rejected", "REJECTED"),
    "latin-1": Delivery(damaged(b'"CCA"', b'"\xe9"'), 400, "rejected", "REJECTED"),
    "UTF-16": Delivery(unique().decode().encode("utf-16"), 400, "rejected", "REJECTED"),
    "not gzip": Delivery(unique(), 400, "rejected", "REJECTED", {"Content-Encoding": "gzip"}),
    "gzip cut short": Delivery(
        gzip.compress(unique())[:-12], 400, "rejected", "REJECTED", {"Content-Encoding": "gzip"}
    ),
    "another encoding": Delivery(unique(), 400, "rejected", "REJECTED", {"Content-Encoding": "br"}),
    "inflates over 25 MiB": Delivery(BOMB, 413, "rejected", "REJECTED", {"Content-Encoding": "gzip"}),
    "over 25 MiB": Delivery(b" " * (26 * MEBIBYTE), 413, "rejected", ""),
}


@pytest.mark.parametrize("delivery", DELIVERIES.values(), ids=DELIVERIES.keys())
def test_a_delivery_gets_its_answer_and_its_row(portal, delivery):
    try:
        status, answer, headers = portal.post(delivery.sent, headers=KEY | delivery.headers)
    except (ConnectionResetError, BrokenPipeError):
        assert delivery.status == 413, "only a body too large may be cut off while it is sent"
        return
    assert (status, answer["status"]) == (delivery.status, delivery.answer)
    assert headers["Content-Type"] == "application/json"
    row = portal.row(delivery.stored_bytes or delivery.sent)
    assert (row[0] if row else "") == delivery.stored
    assert set(answer) == ({"status", "reason"} if delivery.answer == "rejected" else {"id", "status"})


def test_a_chunked_body_without_a_length_is_read_to_its_end(portal):
    sent = unique()
    pieces = iter([sent[:7], sent[7:300], sent[300:]])
    status, answer, _ = portal.post(
        pieces, headers=KEY | {"Transfer-Encoding": "chunked"}, encode_chunked=True
    )
    assert (status, answer["status"]) == (202, "accepted")
    assert portal.row(sent)[0] == "RECEIVED"


def test_an_empty_chunked_body_is_not_accepted(portal):
    status, answer, _ = portal.post(
        iter([]), headers=KEY | {"Transfer-Encoding": "chunked"}, encode_chunked=True
    )
    assert (status, answer["status"]) == (400, "rejected")


def test_a_body_shorter_than_it_says_is_not_acknowledged(portal):
    sent = unique()
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: key-one\r\n"
    head += f"Content-Length: {len(sent) + 100}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", portal.port), timeout=60) as connection:
        connection.sendall(head.encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert not answer or b" 400 " in answer.splitlines()[0]
    assert portal.row(sent) is None


@pytest.mark.parametrize("name", ["x-api-key", "X-API-KEY"])
@pytest.mark.parametrize("key", ["key-one", "key-two"])
def test_either_live_key_is_right_in_any_case_of_the_header(portal, name, key):
    assert portal.post(unique(), headers={name: key})[0] == 202


WRONG_KEYS = {
    "none": [],
    "empty": [("X-Api-Key", "")],
    "wrong": [("X-Api-Key", "key-onf")],
    "not ASCII": [("X-Api-Key", "kéy")],
    "doubled": [("X-Api-Key", "key-one"), ("X-Api-Key", "key-one")],
    "in another header": [("Authorization", "key-one")],
}


@pytest.mark.parametrize("headers", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_without_the_key_nothing_is_stored_but_a_count(portal, headers):
    sent = unique()
    before = portal.select(
        "SELECT COALESCE(SUM(count), 0) FROM dispatch_rejecteddelivery WHERE cause = 'key'"
    )
    lines = [f"POST {URL}?key=key-one HTTP/1.1", "Host: localhost", f"Content-Length: {len(sent)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    with socket.create_connection(("127.0.0.1", portal.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + sent)
        answer = connection.makefile("rb").read()
    assert b" 401 " in answer.splitlines()[0]
    assert portal.row(sent) is None
    after = portal.select("SELECT SUM(count) FROM dispatch_rejecteddelivery WHERE cause = 'key'")
    assert after[0][0] == before[0][0] + 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_posting_is_allowed(portal, method):
    status, _, headers = portal.post(unique(), method=method)
    assert (status, headers["Allow"]) == (405, "POST")


def test_the_address_works_without_its_last_slash(portal):
    assert portal.post(unique(), path=URL.rstrip("/"))[0] == 202


def test_the_same_bytes_from_many_at_once_are_stored_once(portal):
    sent = unique()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: portal.post(sent)[:2], range(40)))
    assert sorted(status for status, _ in answers) == [200] * 39 + [202]
    assert len({answer["id"] for _, answer in answers}) == 1
    assert portal.row(sent)[:2] == ("RECEIVED", 39)


def test_what_cannot_be_used_is_put_aside_with_the_reason_of_each_timeslot(portal):
    _, answer, _ = portal.post(unique(meter_body(timeslot(energy_kw=-5), timeslot("b", cancelled="no"))))
    items = portal.select(
        "SELECT notification_id, position, leap_event_id, outcome, reason FROM dispatch_notificationitem"
    )
    assert sorted(item[1:] for item in items if item[0] == answer["id"]) == [
        (0, EVENT, "QUARANTINED", "energy_kw is out of range."),
        (1, "b", "QUARANTINED", "cancelled is neither true nor false."),
    ]


def test_the_same_rejected_bytes_are_counted_and_rejected_again(portal):
    sent = unique() + b"!"
    assert [portal.post(sent)[0] for _ in range(3)] == [400, 400, 400]
    assert portal.row(sent)[:2] == ("REJECTED", 2)


def test_a_database_that_does_not_answer_is_a_503_and_the_next_try_is_taken(portal):
    sent = unique()
    is_sqlite = portal.database.startswith("sqlite")
    with portal.connect() as connection:
        connection.execute("BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE dispatch_dispatchnotification")
        status, answer, headers = portal.post(sent)
        connection.execute("ROLLBACK")
    assert (status, answer["status"]) == (503, "unavailable")
    assert int(headers["Retry-After"]) > 0
    assert portal.row(sent) is None
    assert portal.post(sent)[0] == 202


def test_the_key_is_not_kept(portal):
    sent = body(timeslot(OTHER_EVENT), unique="the key is not kept")
    portal.post(sent, headers=KEY | {"Cookie": "key-one", "Authorization": "Bearer key-one"})
    kept = portal.select("SELECT headers FROM dispatch_dispatchnotification")
    assert "key-one" not in str(kept)
    assert "host" in str(kept)
