"""B2: one group notification of 10,000 meters × 24 hourly timeslots → schedules committed, commands due.

`python -m benchmarks.b2_fanout [METERS ...]` takes other sizes. The measuring is in `fanout.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("fanout.py")), *sys.argv[1:])
