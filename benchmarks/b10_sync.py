"""B10: all meters that Leap lists → meters, groups, memberships, Leap's bodies and the diff.

`python -m benchmarks.b10_sync [METERS ...]` takes other sizes. The measuring is in `sync.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("sync.py")), *sys.argv[1:])
