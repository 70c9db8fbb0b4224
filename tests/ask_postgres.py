"""Exit with 0 if a PostgreSQL answers at the address given, so that a test run there makes sense."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import psycopg


def answers(url: str) -> bool:
    """Tell whether the server lets the address's user in."""
    try:
        psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
