"""Measures intake beside a bare view under the same server, on the database that DATABASE_URL names.

Eight clients post over real sockets to the production server, first as fast as they can, then 100 a second
on a fixed timetable (latency counts from when a request was due). The reference has no middleware, no key and
no duplicates to look for: what is measured is everything that a webhook needs beyond one insert.
"""

from __future__ import annotations

import http.client
import os
import statistics
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import django

from benchmarks.harness import report
from tests.bodies import METER, as_bytes, group_body, timeslot
from tests.processes.running import web_server

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
CLIENTS = 8
KEY = "key-one"
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
RATE = 100


def small_body() -> bytes:
    return as_bytes({"meter_dispatches": [{"meter_id": METER, "timeslots": [timeslot(str(uuid4()))]}]})


def large_body() -> bytes:
    meters = [str(uuid4()) for _ in range(100)]
    return as_bytes(group_body(*(timeslot(str(uuid4()), level="group") for _ in range(24)), meters=meters))


class Client:
    """One connection that stays open, as a proxy in front of the portal keeps it."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, body: bytes) -> None:
        headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
        self.connection.request("POST", "/webhooks/leap/dispatch/", body=body, headers=headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"{answer.status} {text!r}")


def run_clients(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def most_per_second(port: int, make: Callable[[], bytes]) -> float:
    """Post as fast as the answers come; return answers a second."""
    done: list[float] = []
    until = time.perf_counter() + SECONDS

    def work() -> None:
        client = Client(port)
        while time.perf_counter() < until:
            client.post(make())
            done.append(time.perf_counter())

    run_clients(work)
    return len(done) / SECONDS


def latencies_ms(port: int, make: Callable[[], bytes]) -> list[float]:
    """Post on a fixed timetable; return how long after its due time each answer came, sorted."""
    found: list[float] = []
    numbers = count()
    begin = time.perf_counter() + 0.5

    def work() -> None:
        client = Client(port)
        while (number := next(numbers)) < SECONDS * RATE:
            due = begin + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            client.post(make())
            found.append((time.perf_counter() - due) * 1000)

    run_clients(work)
    return sorted(found)


def measure(settings: str) -> dict[str, float]:
    figures = {}
    with TemporaryDirectory() as folder, web_server(Path(folder), settings=settings) as (port, _):
        Client(port).post(small_body())
        for name, make in (("small", small_body), ("large", large_body)):
            figures[f"{name}_per_s"] = round(most_per_second(port, make), 1)
            spread = latencies_ms(port, make)
            figures[f"{name}_p50_ms"] = round(statistics.median(spread), 1)
            figures[f"{name}_p99_ms"] = round(spread[int(len(spread) * 0.99) - 1], 1)
    return figures


def main() -> None:
    django.setup()
    portal, bare = measure("tests.settings"), measure("benchmarks.reference_settings")
    kind = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    for size in ("small", "large"):
        report(
            "B1",
            portal=portal[f"{size}_per_s"],
            reference=bare[f"{size}_per_s"],
            unit="/s",
            database=kind,
            size=size,
            p50_ms=portal[f"{size}_p50_ms"],
            p99_ms=portal[f"{size}_p99_ms"],
            reference_p50_ms=bare[f"{size}_p50_ms"],
            reference_p99_ms=bare[f"{size}_p99_ms"],
        )


if __name__ == "__main__":
    main()
