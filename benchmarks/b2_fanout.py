"""B2: one group notification of 10,000 meters × 24 hourly timeslots → schedules committed, commands due.

`python benchmarks/b2_fanout.py [METERS ...]` takes other sizes. The measuring is in `fanout.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("fanout.py")), *sys.argv[1:])
