"""A PostgreSQL server of the tests' own, which may be killed without hurting anybody; for `make torture`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from leapvpp.supervision.children import family
from tests.devices.mqtt_devices import free_port
from tests.processes.running import is_over, wait_until


class PrivatePostgres:
    """One server on a port of its own; what it has committed is on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self._run(
            "initdb",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--username=postgres",
            "-D",
            "data",
        )

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c max_connections=200"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def kill(self) -> None:
        """End every process of it at once; none that does not run."""
        file = self.folder / "data" / "postmaster.pid"
        if not file.exists():
            return
        server = int(file.read_text().split()[0])
        os.kill(server, signal.SIGSTOP)  # so that it has no more children
        everything = {server, *family(server)}
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(partial(is_over, everything), what="the end of the database")
        file.unlink()  # where nobody buries the dead, it would take the process for alive

    def _run(self, program: str, *words: str) -> None:
        """Run a program of it, as the user postgres where this is root, as whom it does not run."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
        path = str(found[-1]) if found else program
        person = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run([*person, path, *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """Give a server that is not started yet, and end it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = PrivatePostgres(folder)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
