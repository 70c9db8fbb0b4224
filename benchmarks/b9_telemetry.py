"""B9: a minute of readings of 10,000 devices → readings, minutes, quarters of an hour and the newest of each.

`python -m benchmarks.b9_telemetry [DEVICES ...]` takes other sizes. The measuring is in `telemetry.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("telemetry.py")), *sys.argv[1:])
