"""What a spreadsheet would run is disarmed, and comes back as it was."""

from __future__ import annotations

import pytest

from meters.formulas import disarm, restore

RUNS = ["=1+1", "+1", "-1", "@a", "\t=1", "'=1+1", "''-1"]
RESTS = ["", "Alum Rock", "O'Hare", "'quoted'", "a=b", "9.6"]


@pytest.mark.parametrize("cell", [*RUNS, *RESTS])
def test_a_cell_comes_back_as_it_was(cell):
    assert restore(disarm(cell)) == cell


@pytest.mark.parametrize("cell", RUNS)
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(cell):
    assert disarm(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", RESTS)
def test_anything_else_is_left_alone(cell):
    assert disarm(cell) == cell
