"""How gunicorn runs the portal: few processes, many threads, so that slow senders block nobody.

`gunicorn --config python:leapvpp.webserver leapvpp.wsgi:application`
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from leapvpp.environment import whole_number

worker_class = "gthread"
workers = whole_number("WEB_WORKERS", 2)
threads = 8
preload_app = True
timeout = 60
graceful_timeout = 5
keepalive = 5
loglevel = "warning"
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108 - memory, so that a slow disk does not look like a hung worker
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def when_ready(server: Any) -> None:
    """Keep what is loaded out of the collector's way, so that forked processes go on sharing it."""
    gc.collect()
    gc.freeze()
