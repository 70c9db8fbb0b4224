"""What the benchmarks share: one printed line and one JSON file a figure, and databases of their own.

A figure counts beside its reference in the same run: machines differ, ratios hold.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "benchmarks"
POSTGRES_URL = os.environ.get("DATABASE_URL", "")
if not POSTGRES_URL.startswith("postgres"):
    POSTGRES_URL = "postgres://postgres@127.0.0.1:5432/postgres"

T = TypeVar("T")


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Return how long the work took by the wall clock, and what it returned."""
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


def best_of(times: int, work: Callable[[], object]) -> float:
    """Return the shortest of several runs, the one least disturbed by others."""
    return min(seconds(work)[0] for _ in range(times))


def report(name: str, *, portal: float, reference: float, unit: str, **more: object) -> None:
    """Print one line and write the same as JSON. `ratio` is portal / reference."""
    ratio = portal / reference if reference else 0.0
    detail = " ".join(f"{key}={value}" for key, value in more.items())
    figures = f"{name} portal={portal:.3g}{unit} reference={reference:.3g}{unit} ratio={ratio:.2f}"
    print(f"{figures} {detail}".rstrip())
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {
        "name": name,
        "portal": portal,
        "reference": reference,
        "ratio": ratio,
        "unit": unit,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **more,
    }
    parts = [*name.split(), *(str(more[key]) for key in ("database", "size") if key in more)]
    file = RESULTS / f"{'-'.join(parts)}.json"
    file.write_text(json.dumps(content, indent=2, default=str) + "\n")


def on_each_database(script: str, *arguments: str) -> None:
    """Run a script once on SQLite and once on PostgreSQL, each with a database of its own."""
    for url in (f"sqlite:///{ROOT / 'build' / 'bench.sqlite3'}", POSTGRES_URL):
        if url.startswith("postgres") and not _answers(url):
            print(f"{Path(script).stem}: no PostgreSQL answers, left out")
            continue
        (ROOT / "build").mkdir(exist_ok=True)
        environment = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, script, *arguments], env=environment, check=True)


def _answers(url: str) -> bool:
    probe = "import sys, psycopg; psycopg.connect(sys.argv[1], connect_timeout=3).close()"
    return (
        subprocess.run([sys.executable, "-c", probe, url], capture_output=True, check=False).returncode == 0
    )
