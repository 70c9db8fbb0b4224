"""B5 set-points: 1,000 devices that hold no schedule, all due at the same second → told and recorded.

`python -m benchmarks.b5_setpoints [DEVICES ...]` takes other sizes. The measuring is in `herd.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("herd.py")), *sys.argv[1:])
