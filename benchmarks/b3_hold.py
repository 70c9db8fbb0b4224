"""B3 hold: a fleet-wide hold of 10,000 devices with a day's schedule → all planned again and stored.

`python -m benchmarks.b3_hold [DEVICES ...]` takes other sizes. The measuring is in `hold.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("hold.py")), *sys.argv[1:])
