"""A row of a file ↔ a meter as Leap is asked to create it, with everything that would be refused said before.

Every problem names a column and says what to do. Sources: Leap's OpenAPI document "Create Meters" 1.1.0,
"Partner-created Meters" and "Onboard Overview", read 2026-11.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from meters.domain.onboarding_columns import (
    BY_NAME,
    COLUMNS,
    DEPRECATED,
    REQUIRED,
    Column,
    Kind,
    column_of,
)
from meters.formulas import restore

PROGRAM: Final = "program"
"""A column of ours: for which program to check the row. It is not sent."""
WHY: Final = "why"
"""A column of ours in files of failed rows: what to correct. It is not read."""
OURS: Final = (PROGRAM, WHY)
MOST_ROWS: Final = 20_000
REFERENCE: Final = "partner_reference"
FIRST_ROW: Final = 2
"""Of what stands under the header, as a spreadsheet counts."""
LONGEST_CELL: Final = 2000
SGIP_AFTER: Final = date(2023, 6, 30)
"""Batteries installed later must say whether they receive SGIP funding."""
_YES: Final = frozenset({"true", "yes", "y", "1"})
_NO: Final = frozenset({"false", "no", "n", "0"})
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

Cells = Mapping[str, str]
Asset = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row would be refused: the column, and what to do."""

    column: str
    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A row as Leap would be sent it, and what is wrong with it."""

    reference: str
    asset: Asset
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ProgramRule:
    """What a program asks of a meter that is created for it.

    `codes`: as Leap writes them; `needs`: further columns that must be filled; `by_customer`: the customer
    has to authorize it in Leap Connect, and a created meter only adds to what the customer gave.
    """

    codes: tuple[str, ...]
    name: str
    region: str
    states: tuple[str, ...] = ()
    meter_types: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    by_customer: bool = False


_CUSTOMER_REFERENCE = ("customer.partner_customer_reference",)
RULES: Final = (
    ProgramRule(
        ("CEC-DSGS", "CEC-DSGS-OPTION3"),
        "California DSGS, option 3",
        "CAISO",
        states=("CA",),
        meter_types=("DEVICE",),
        needs=("site.number_of_devices",),
    ),
    ProgramRule(
        ("CEC-DSGS-OPTION2", "CEC-DSGS-OPTION4"),
        "California DSGS, options 2 and 4",
        "CAISO",
        states=("CA",),
        meter_types=("DEVICE",),
    ),
    ProgramRule(
        ("MA_DOER-CPS",),
        "Massachusetts Clean Peak",
        "ISONE",
        states=("MA",),
        meter_types=("DEVICE", "UTILITY_METER"),
        needs=("isone.in_connected_solutions",),
    ),
    ProgramRule(
        ("EVERSOURCE-CS", "NATGRID-CS", "RIE-CS", "UNITIL-CS", "ENERGYHUB-CS"),
        "ConnectedSolutions",
        "ISONE",
        meter_types=("DEVICE", "UTILITY_METER"),
        needs=("customer.dispatch_option",),
    ),
    ProgramRule(("ERCOT-ERS",), "Texas ERS", "ERCOT", states=("TX",), meter_types=("UTILITY_METER",)),
    ProgramRule(
        ("CCA", "CAISO-CCA-SC_ONLY", "ENERGY-ONLY", "ELRP", "CAISO-ELRP-A4", "DRAM"),
        "California capacity, energy and ELRP",
        "CAISO",
        meter_types=("UTILITY_METER",),
        needs=_CUSTOMER_REFERENCE,
        by_customer=True,
    ),
    ProgramRule(
        ("NYISO-SCR", "CONED-CSRP", "CONED-DLRP"),
        "New York SCR, CSRP and DLRP",
        "NYISO",
        meter_types=("UTILITY_METER",),
        needs=_CUSTOMER_REFERENCE,
        by_customer=True,
    ),
    ProgramRule(
        ("PSEGLI-CSRP", "PSEGLI-DLRP"),
        "New York CSRP and DLRP of PSEG Long Island",
        "NYISO",
        meter_types=("UTILITY_METER",),
        needs=(*_CUSTOMER_REFERENCE, "nyiso.company_type"),
        by_customer=True,
    ),
    ProgramRule(
        ("PJM-CAPACITY",),
        "PJM capacity",
        "PJM",
        meter_types=("UTILITY_METER",),
        needs=_CUSTOMER_REFERENCE,
        by_customer=True,
    ),
)
BY_PROGRAM: Final = {code: rule for rule in RULES for code in rule.codes}
_WHY: Final = {
    "site.number_of_devices": "as several batteries may stand behind one inverter",
    "isone.in_connected_solutions": "yes or no",
    "customer.dispatch_option": "DAILY or TARGETED",
    "customer.partner_customer_reference": "the refId of the customer's Leap Connect link, as the"
    " customer has to authorize this program",
    "nyiso.company_type": "see the list of company types",
}


class FileRefused(ValueError):
    """A file cannot be read at all; the text says why and what to do."""


def read_file(text: str) -> list[dict[str, str]]:
    """Read the rows of a file of meters. Raises FileRefused as `read_csv` does."""
    return read_csv(text, wrong=unknown_columns)


def columns_but(allowed: Sequence[str]) -> Callable[[Iterable[str]], list[Problem]]:
    """Return what finds fault with a header that has other columns, or one of them twice."""

    def wrong(names: Iterable[str]) -> list[Problem]:
        found = Counter(names)
        text = f"The columns are {', '.join(allowed)}, each once."
        return [Problem(name, text) for name, count in found.items() if count > 1 or name not in allowed]

    return wrong


def read_csv(text: str, *, wrong: Callable[[Iterable[str]], list[Problem]]) -> list[dict[str, str]]:
    """Read the rows of a CSV file as cells by column, with commas or, as some spreadsheets write, semicolons.

    Raises FileRefused when it is no CSV, has no rows or too many, or a header with which `wrong` finds fault.
    """
    header = text.lstrip("\ufeff").split("\n", 1)[0]
    delimiter = ";" if ";" in header and "," not in header else ","
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as broken:
        raise FileRefused(f"The file is not CSV: {broken}.") from None
    if faults := wrong(names):
        raise FileRefused(" ".join(f"Column “{one.column[:60]}”: {one.text}" for one in faults[:10]))
    if not rows or len(rows) > MOST_ROWS:
        raise FileRefused(f"The file must have between 1 and {MOST_ROWS:,} rows under its header.")
    if any(len(row) > len(names) for row in rows):
        raise FileRefused("A row has more cells than the header. Put cells that hold a comma into quotes.")
    return [
        {name: restore(cell) for name, cell in zip(names, row, strict=False) if cell.strip()} for row in rows
    ]


def unknown_columns(names: Iterable[str]) -> list[Problem]:
    """Return what is wrong with the header of a file."""
    problems = []
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.append(Problem(name, "This column stands twice; keep one."))
        elif name not in OURS and column_of(name) is None:
            problems.append(Problem(name, _unknown(name)))
        seen.add(name)
    return problems


def _unknown(name: str) -> str:
    if better := DEPRECATED.get(name):
        return f"Leap no longer wants this column; use {better}."
    close = difflib.get_close_matches(name[:100], [*BY_NAME, PROGRAM], n=1, cutoff=0.85)
    return f"Leap knows no such column{f'; did you mean {close[0]}?' if close else '. Take it out.'}"


def check_row(cells: Cells) -> Checked:
    """Read one row; empty cells are left out. Columns that are not known are a problem of the row."""
    given = {name: text.strip() for name, text in cells.items() if text.strip()}
    program = given.pop(PROGRAM, "").upper()
    given.pop(WHY, None)
    problems: list[Problem] = unknown_columns(given)
    values: dict[str, Any] = {}
    for name, text in given.items():
        column = column_of(name)
        if column is None:
            continue
        value, problem = read_cell(column, text)
        if problem:
            problems.append(Problem(name, problem))
        else:
            values[name] = value
    values |= _defaults(values)
    known = values.keys() | {one.column for one in problems}
    problems += [
        Problem(name, f"Fill in {_label(name)}; Leap asks it of every meter.") for name in _missing(known)
    ]
    problems += _across(values)
    problems += _for_program(program, values, known=known)
    return Checked(given.get(REFERENCE, "")[:256], nest(values), tuple(problems))


def check_rows(rows: Sequence[Cells]) -> list[Checked]:
    """Read all rows of a file; a reference that stands in two of them is a problem of the second."""
    first: dict[str, int] = {}
    checked = []
    for number, cells in enumerate(rows, start=FIRST_ROW):
        one = check_row(cells)
        if one.reference and one.reference in first:
            text = f"Row {first[one.reference]} has this reference too; each meter needs its own."
            one = Checked(one.reference, one.asset, (*one.problems, Problem(REFERENCE, text)))
        first.setdefault(one.reference, number)
        checked.append(one)
    return checked


def read_cell(column: Column, text: str) -> tuple[Any, str]:
    """Return what a cell means to Leap, and what is wrong with it or ""."""
    if len(text) > LONGEST_CELL:
        return None, f"Shorten it: it has {len(text):,} characters."
    if _CONTROLS.search(text):
        return None, "Take out the control characters; retyping the cell helps."
    if column.kind in {Kind.WORD, Kind.WORDS}:
        return _read_words(column, text)
    if column.kind in {Kind.NUMBER, Kind.WHOLE}:
        return _read_number(column, text)
    if column.kind is Kind.YES_NO:
        word = text.lower()
        return word in _YES, "" if word in _YES | _NO else "Write true or false."
    if column.kind is Kind.DATE:
        return _read_date(text)
    if column.kind is Kind.EMAIL:
        is_good = _EMAIL.fullmatch(text) and len(text) <= 128
        return text, "" if is_good else "Write an address as name@example.com, 128 characters at most."
    text = text.upper() if column.rule.startswith("two letters") else text
    if column.signs is not None and not column.signs.fullmatch(text):
        return None, f"Write {column.rule}."
    return text, ""


def _read_words(column: Column, text: str) -> tuple[Any, str]:
    words = [
        re.sub(r"[\s-]+", "_", part.strip()).upper() for part in re.split(r"[;,|]", text) if part.strip()
    ]
    odd = [word for word in words if word not in column.words]
    if odd or not words or (column.kind is Kind.WORD and len(words) > 1):
        close = difflib.get_close_matches(odd[0][:100] if odd else "", column.words, n=1, cutoff=0.6)
        offered = f"{close[0]} perhaps; it" if close and len(column.words) > 12 else "It"
        listed = ", ".join(column.words)
        several = "one or more, by semicolons, of " if column.kind is Kind.WORDS else "one of "
        return None, f"{offered} must be {several}{listed}."
    return (list(dict.fromkeys(words)) if column.kind is Kind.WORDS else words[0]), ""


def _read_number(column: Column, text: str) -> tuple[Any, str]:
    plain = text.replace(",", "") if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", text) else text
    wanted = "a whole number" if column.kind is Kind.WHOLE else "a number"
    span = f"{wanted} from {column.least:,g} to {column.most:,.0f}"
    if not _NUMBER.fullmatch(plain):
        return None, f"Write {span}, without a unit."
    value = float(plain)
    if not math.isfinite(value) or not column.least <= value <= column.most:
        percent = " Percent is written as 95, not as 0.95." if "percentage" in column.name else ""
        return None, f"Write {span}.{percent}"
    if column.kind is Kind.WHOLE and value != int(value):
        return None, f"Write {span}."
    return (int(value) if value == int(value) else value), ""


def _read_date(text: str) -> tuple[Any, str]:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        return date.fromisoformat(text).isoformat(), ""
    except ValueError:
        return None, "Write a date as 2026-03-31: year, month, day."


def _defaults(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is filled in: the country, also of a bill of which anything is given."""
    found = {}
    for prefix in ("customer.", "customer.billing."):
        is_given = prefix == "customer." or any(name.startswith(prefix) for name in values)
        if is_given and f"{prefix}country_code" not in values:
            found[f"{prefix}country_code"] = BY_NAME[f"{prefix}country_code"].default
    return found


def _missing(known: Iterable[str]) -> list[str]:
    names = set(known)
    wanted = list(REQUIRED)
    if any(name.startswith("customer.billing.") for name in names):
        parts = ("street_1", "postal_code", "city", "state_or_province_code")
        wanted += [f"customer.billing.{part}" for part in parts]
    devices = {name.rsplit(".", 1)[0] for name in names if name.startswith("site.site_devices.")}
    wanted += [f"{device}.device_type" for device in sorted(devices)]
    return [name for name in wanted if name not in names]


def _label(name: str) -> str:
    column = column_of(name)
    label = column.label if column else name
    return f"{label[:1].lower()}{label[1:]}"


def _across(values: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with values beside each other, whatever the program."""
    problems = []
    least, most = (values.get(f"device.battery_{one}_state_of_charge_percentage") for one in ("min", "max"))
    if least is not None and most is not None and least >= most:
        text = f"It must lie below the largest state of charge, {most:g} %."
        problems.append(Problem("device.battery_min_state_of_charge_percentage", text))
    if _must_say_sgip(values):
        text = "Say true or false: batteries in California installed after 30 June 2023 must tell."
        problems.append(Problem("caiso.is_receiving_sgip_funding", text))
    region = values.get("transmission_region", "")
    for part, wanted in (("caiso", "CAISO"), ("isone", "ISONE"), ("nyiso", "NYISO")):
        odd = [name for name in values if name.startswith(f"{part}.")]
        if odd and region and region != wanted:
            problems.append(Problem(odd[0], f"This is for {wanted} alone; leave it empty in {region}."))
    return problems


def _must_say_sgip(values: Mapping[str, Any]) -> bool:
    is_battery = values.get("device.device_type") == "BATTERY" or "BATTERY_STORAGE" in values.get(
        "load_types", ()
    )
    installed = values.get("device.install_date", "")
    return (
        values.get("transmission_region") == "CAISO"
        and is_battery
        and installed > SGIP_AFTER.isoformat()
        and "caiso.is_receiving_sgip_funding" not in values
    )


def _for_program(program: str, values: Mapping[str, Any], *, known: Iterable[str]) -> list[Problem]:
    """Return what the program that the row names asks beside; one that is unknown asks nothing we know of."""
    if not program:
        return []
    rule = BY_PROGRAM.get(program)
    if rule is None:
        listed = ", ".join(sorted(BY_PROGRAM))
        return [Problem(PROGRAM, f"No such program is known here. Leave it empty, or write one of {listed}.")]
    names = set(known)
    problems = [
        Problem(name, f"{program} needs it: {_WHY[name]}.") for name in rule.needs if name not in names
    ]
    region, meter_type = values.get("transmission_region"), values.get("meter_type")
    state = values.get("customer.state_or_province_code")
    if region and region != rule.region:
        problems.append(Problem("transmission_region", f"{program} is in {rule.region}, not in {region}."))
    if state and rule.states and state not in rule.states:
        problems.append(
            Problem("customer.state_or_province_code", f"{program} is for {', '.join(rule.states)} alone.")
        )
    if meter_type and rule.meter_types and meter_type not in rule.meter_types:
        problems.append(Problem("meter_type", f"{program} is for {' or '.join(rule.meter_types)}."))
    if "customer.dispatch_option" in values and "customer.dispatch_option" not in rule.needs:
        text = f"Only ConnectedSolutions knows it; leave it empty for {program}."
        problems.append(Problem("customer.dispatch_option", text))
    return problems


def nest(values: Mapping[str, Any]) -> Asset:
    """Put flat values into the nested shape that Leap is sent; the devices of a site become a list."""
    asset: Asset = {}
    for name, value in values.items():
        *folders, last = name.split(".")
        place = asset
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    devices = asset.get("site", {}).get("site_devices")
    if isinstance(devices, dict):
        asset["site"]["site_devices"] = [devices[key] for key in sorted(devices, key=int)]
    return asset


def flatten(asset: Mapping[str, Any], *, prefix: str = "") -> dict[str, str]:
    """Write a meter to create as cells of a row: the way back from `nest`, and in from JSON.

    >>> flatten({"load_types": ["HVAC"], "site": {"site_devices": [{"model": "M"}]}})
    {'load_types': 'HVAC', 'site.site_devices.1.model': 'M'}
    """
    cells: dict[str, str] = {}
    for name, value in asset.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            cells |= flatten(value, prefix=f"{path}.")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            numbered = {str(place): each for place, each in enumerate(value, start=1)}
            cells |= flatten(numbered, prefix=f"{path}.")
        elif isinstance(value, list):
            cells[path] = ";".join(_cell(each) for each in value)
        else:
            cells[path] = _cell(value)
    return cells


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def template_columns(program: str = "") -> tuple[str, ...]:
    """Return the columns of a file to fill in: what every meter needs, then the program, then the rest."""
    rule = BY_PROGRAM.get(program)
    first = [*REQUIRED, "customer.country_code", *(rule.needs if rule else ())]
    rest = [column.name for column in COLUMNS if column.name not in first]
    return (PROGRAM, *first, *rest)
