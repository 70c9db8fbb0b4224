"""B1: notifications taken durably a second, beside a bare view that only inserts the body.

The measuring is in `intake.py`.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import on_each_database

if __name__ == "__main__":
    on_each_database(str(Path(__file__).with_name("intake.py")))
