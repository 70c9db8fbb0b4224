"""How large the trials are: as CI bears it, or in full with TORTURE=1 (`make torture`)."""

from __future__ import annotations

import os
from typing import TypeVar

IS_FULL = bool(os.environ.get("TORTURE"))
Size = TypeVar("Size")


def size(small: Size, *, full: Size) -> Size:
    """Return the small size, or the full one under torture."""
    return full if IS_FULL else small
