"""Run the whole portal on one machine: web, workers and dispatcher under one supervisor."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from leapvpp.environment import text
from leapvpp.queue import CLUSTERS, Cluster
from leapvpp.supervision.children import Program
from leapvpp.supervision.supervisor import Supervisor
from leapvpp.supervision.watch import Watch

BACKLOG = 1024
CLUSTER_PARTS = 3  # below its leader: the sentinel, the monitor and the pusher, beside the workers


class Command(BaseCommand):
    """Migrates, then keeps everything running until Ctrl-C or SIGTERM."""

    requires_system_checks = []  # `migrate` makes them, and loads for them what is not needed here
    help = "Migrate, then run web, workers and dispatcher on HOST and PORT until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the switch for the demo."""
        parser.add_argument("--demo", action="store_true", help="Build a portfolio to look at and feed it.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Take the port, bring the database up to date, start everything, and stop it all at the end."""
        host, port = text("HOST", "127.0.0.1"), read_port()
        # The socket is opened here and outlives every restart of the web processes, so nobody is refused.
        with open_socket(host, port) as listener:
            migrate()
            greeting = [f"The portal runs at http://{_shown(host)}:{listener.getsockname()[1]}"]
            greeting += self._demo() if options["demo"] else self._hint()
            connections.close_all()
            supervisor = Supervisor(programs(listener, demo=options["demo"]))
            watch = Watch(
                started_at=lambda name: supervisor.children[name].started_at, complain=supervisor.complain
            )
            watch.start()
            greeter = Greeter(listener, greeting)
            supervisor.run(greeter.look)
            watch.is_over.set()

    def _demo(self) -> list[str]:
        user, password = import_module("leapvpp.demo").prepare(now=timezone.now())
        return [f"Sign in: {user} / {password}"]

    def _hint(self) -> list[str]:
        if User.objects.exists():
            return []
        return ["Nobody can sign in yet. Make a user: python manage.py createsuperuser"]


class Greeter:
    """Says where the portal is once it answers."""

    def __init__(self, listener: socket.socket, lines: list[str]) -> None:
        self.address = listener.getsockname()
        self.lines = lines

    def look(self) -> None:
        """Print the lines, once, as soon as the web process answers."""
        if self.lines and self._answers():
            sys.stdout.write("\n".join([*self.lines, "Stop with Ctrl-C.", ""]))
            sys.stdout.flush()
            self.lines = []

    def _answers(self) -> bool:
        host = "127.0.0.1" if self.address[0] in {"0.0.0.0", "::"} else self.address[0]  # noqa: S104 - compared
        asked = http.client.HTTPConnection(host, self.address[1], timeout=1)
        try:
            asked.request("GET", "/healthz", headers={"Host": "127.0.0.1"})
            return asked.getresponse().status < 500
        except OSError:
            return False
        finally:
            asked.close()


def read_port() -> int:
    """Return PORT. Raises CommandError if it is no port."""
    value = text("PORT", "8000")
    if not value.isdecimal() or int(value) > 65535:
        raise CommandError(f"PORT is {value!r}. Set it to a number up to 65535, for example PORT=8001.")
    return int(value)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises CommandError with a sentence if it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise CommandError(
            f"Port {port} on {host} cannot be had: {error.strerror}."
            f" Set another, for example PORT={port + 1}."
        ) from error
    return listener


def migrate() -> None:
    """Check the settings and bring the database up to date, in a process that gives its memory back.

    Raises: CommandError if that fails.
    """
    command = [
        sys.executable,
        str(settings.BASE_DIR / "manage.py"),
        "migrate",
        "--verbosity",
        "0",
        "--no-input",
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - the line above
    if done.returncode == 0:
        sys.stderr.write(done.stderr)
        return
    last = done.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
    raise CommandError(f"The database cannot be brought up to date: {last[0]}")


def programs(listener: socket.socket, *, demo: bool) -> list[Program]:
    """Return what to run: web on the held socket, workers, dispatcher, and what is set beside them."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    found = [
        Program(name="web", argv=web_command(listener.fileno()), pass_fds=(listener.fileno(),)),
        *(cluster_program(cluster, manage=manage) for cluster in CLUSTERS),
        Program(name="dispatcher", argv=[*manage, "dispatcher"]),
    ]
    if settings.MQTT_URL:
        found.append(Program(name="mqtt listener", argv=[*manage, "mqtt_listener"]))
    if settings.OCPP_LISTEN:
        found.append(Program(name="ocpp server", argv=[*manage, "ocpp_server"]))
    if demo:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        found.append(Program(name="demo", argv=[*manage, "demo_feed", "--url", address]))
    return found


def cluster_program(cluster: Cluster, *, manage: Sequence[str]) -> Program:
    """Return how a worker cluster is run."""
    return Program(
        name=cluster.process,
        argv=[*manage, "qcluster"],
        family_size=cluster.settings["workers"] + CLUSTER_PARTS,
        environment={"Q_CLUSTER_NAME": cluster.name},
    )


def web_command(fd: int) -> list[str]:
    """Return the web server's command line; how it runs stands in `leapvpp.webserver`."""
    gunicorn = [sys.executable, "-m", "gunicorn", "leapvpp.wsgi:application"]
    return [
        *gunicorn,
        *("--chdir", str(settings.BASE_DIR)),
        *("--config", "python:leapvpp.webserver"),
        *("--bind", f"fd://{fd}"),
    ]


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
