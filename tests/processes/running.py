"""A whole portal in processes of its own, as `manage.py up` runs it, with a database of its own."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg

from leapvpp.supervision.children import family

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120
"""How long anything may take before a test gives up; no test depends on how long it really takes."""
AS_INSTALLED = {
    "DJANGO_SETTINGS_MODULE": "leapvpp.settings",
    "ENV_FILE": "none",
    "SECRET_KEY": "only-for-tests-0123456789-0123456789-0123456789",
    "LEAP_WEBHOOK_KEYS": "key-one",
    "LEAP_API_KEY": "",
}
"""The settings that users have, where the tests' own would turn off what is tried."""
SAYS_WHERE = "The portal runs at "


def wait_until(seen: Callable[[], Any], *, what: str, patience: float = PATIENCE_SECONDS) -> Any:
    """Return the first true value of `seen`; fail with its latest value if none comes."""
    deadline = time.monotonic() + patience
    while not (latest := seen()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen; the latest seen was {latest!r}")
        time.sleep(0.2)
    return latest


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The address of an empty database of the kind that DATABASE_URL names."""
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        yield f"sqlite:///{folder / 'portal.sqlite3'}"
        return
    name = f"up_{uuid4().hex[:12]}"
    parts = urlsplit(server)
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield parts._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def first_row(database: str, question: str) -> Any:
    """Ask the database at an address, past everything that is tried, and return the first row."""
    if database.startswith("postgres"):
        with psycopg.connect(database) as asked:
            return asked.execute(question.encode()).fetchone()
    with sqlite3.connect(database.removeprefix("sqlite:///"), timeout=30) as asked:
        return asked.execute(question).fetchone()


@contextmanager
def web_server(folder: Path, *, settings: str = "tests.settings") -> Iterator[tuple[int, str]]:
    """Run the web server alone, as `manage.py up` does, on an empty database; give port and database."""
    with empty_database(folder) as address, socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        environment = os.environ | {"DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                import_module("leapvpp.management.commands.up").web_command(listener.fileno()),
                cwd=ROOT,
                env=environment | {"DJANGO_SETTINGS_MODULE": settings},
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )
        try:
            yield listener.getsockname()[1], address
        finally:
            server.terminate()
            server.wait(timeout=60)


class Portal:
    """A running portal: its address, its processes, its command line."""

    def __init__(self, *, folder: Path, database: str, environment: Mapping[str, str]) -> None:
        self.log = folder / "portal.log"
        self.environment = os.environ | {
            "DATABASE_URL": database,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PORT": "0",
            **environment,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        line = wait_until(self._address_line, what="the start of the portal")
        self.url = line.removeprefix(SAYS_WHERE)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def _address_line(self) -> str:
        assert self.process.poll() is None, self.log.read_text()
        lines = self.log.read_text().splitlines()
        return next((line for line in lines if line.startswith(SAYS_WHERE)), "")

    def manage(self, *command: str) -> str:
        """Run a command against this portal's database and return what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, code: str) -> Any:
        """Run Python in a process of its own against this portal's rows; return the JSON it prints."""
        return json.loads(self.manage("shell", "--no-imports", "--command", code))

    def sign_in(self) -> None:
        """Have every later request carry an operator's key."""
        key = self.manage("create_api_key", "test", "--role", "operator").strip()
        self.client.headers["authorization"] = f"Bearer {key}"

    def get(self, path: str, **parameters: Any) -> list[dict]:
        """Return all the results of a list of the API, page after page."""
        address = httpx.URL(f"/api/v1/{path}", params={"page_size": 1000, **parameters})
        results: list[dict] = []
        while address:
            answer = self.client.get(address)
            assert answer.status_code == 200, answer.text
            results += answer.json()["results"]
            address = answer.json()["next"]
        return results

    def programs(self) -> dict[str, int]:
        """Return the supervisor's children by what they are."""
        found = {}
        for pid in family(self.process.pid):
            words = command_line(pid)
            if parent_of(pid) == self.process.pid:
                kinds = {"guardian": "guardian.py", "web": "gunicorn", cluster_of(pid): "qcluster"}
                kind = next((k for k, word in kinds.items() if word in words), words.split()[-1])
                found[kind] = pid
        return found

    def everything(self) -> set[int]:
        """Return the supervisor and every process below it."""
        return {self.process.pid, *family(self.process.pid)}


def command_line(pid: int) -> str:
    """Return the words a process was started with; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def cluster_of(pid: int) -> str:
    """Return what the supervisor calls the worker cluster that a process leads."""
    try:
        is_for_commands = b"Q_CLUSTER_NAME=commands" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return "worker"
    return "command worker" if is_for_commands else "worker"


def parent_of(pid: int) -> int:
    """Return a process's parent; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def living(pids: set[int]) -> set[int]:
    """Return those that still run."""
    return {pid for pid in pids if parent_of(pid) and state_of(pid) not in "ZX"}


def is_over(pids: set[int]) -> bool:
    """Tell whether none of the processes runs."""
    return not living(pids)


def state_of(pid: int) -> str:
    """Return the letter the system gives a process's state; X if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


@contextmanager
def running_portal(folder: Path, **environment: str) -> Iterator[Portal]:
    """Run a portal on a free port with these settings besides, and stop it at the end."""
    with empty_database(folder) as database:
        portal = Portal(folder=folder, database=database, environment=environment)
        try:
            yield portal
        finally:
            if portal.process.poll() is None:
                portal.process.terminate()
            portal.process.wait(timeout=PATIENCE_SECONDS)
