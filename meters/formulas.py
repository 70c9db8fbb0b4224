"""Cells that a spreadsheet would run as formulas: disarmed on the way out, restored on the way in."""

from __future__ import annotations

import re

_RUNS = re.compile(r"'*[=+\-@\t\r]")


def disarm(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would run; `restore` takes it away again.

    >>> disarm("=1+1"), disarm("'=1+1"), disarm("O'Hare")
    ("'=1+1", "''=1+1", "O'Hare")
    """
    return f"'{cell}" if _RUNS.match(cell) else cell


def restore(cell: str) -> str:
    """Take one apostrophe from before what a spreadsheet would run.

    >>> restore("'=1+1"), restore("=1+1"), restore("'quoted'")
    ('=1+1', '=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _RUNS.match(cell) else cell
