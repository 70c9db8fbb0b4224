"""What Leap would refuse of a meter is said before, naming the column and what to do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meters.domain.onboarding import (
    FileRefused,
    check_row,
    check_rows,
    flatten,
    nest,
    read_file,
    template_columns,
)
from meters.domain.onboarding_columns import COLUMNS, Kind, column_of, site_device_columns

HOME = {
    "partner_reference": "home-1",
    "transmission_region": "CAISO",
    "customer_classification": "RESIDENTIAL",
    "meter_type": "DEVICE",
    "load_types": "BATTERY_STORAGE",
    "customer.street_1": "132 Oak Street",
    "customer.postal_code": "94103",
    "customer.city": "San Francisco",
    "customer.state_or_province_code": "CA",
}
BOSTON = HOME | {
    "transmission_region": "ISONE",
    "customer.state_or_province_code": "MA",
    "customer.postal_code": "02139",
}
NEW_BATTERY = {"device.install_date": "2023-07-01", "device.device_type": "BATTERY"}

CASES = {
    "all that Leap asks": (HOME, {}),
    "as people write it": (
        HOME
        | {
            "transmission_region": "caiso",
            "load_types": "battery storage; ev-charging",
            "meter_type": "device",
        },
        {},
    ),
    "no reference": (HOME | {"partner_reference": " "}, {"partner_reference": "Fill in your reference"}),
    "a reference with a slash": (HOME | {"partner_reference": "a/b/c"}, {"partner_reference": "none of /"}),
    "a reference too short": (
        HOME | {"partner_reference": "ab"},
        {"partner_reference": "3 to 256 characters"},
    ),
    "an unknown region": (
        HOME | {"transmission_region": "CAL"},
        {"transmission_region": "one of CAISO, ERCOT"},
    ),
    "an unknown load type": (
        HOME | {"load_types": "HVAC;HEATER"},
        {"load_types": "one or more, by semicolons"},
    ),
    "a postal code that lost its zero": (
        BOSTON | {"customer.postal_code": "2139"},
        {"customer.postal_code": "dropped a leading zero"},
    ),
    "a postal code of nine": (HOME | {"customer.postal_code": "94103-1234"}, {}),
    "a state in full": (
        HOME | {"customer.state_or_province_code": "California"},
        {"customer.state_or_province_code": "two letters"},
    ),
    "a street with a foreign letter": (HOME | {"customer.street_1": "12 Große Straße"}, {}),
    "a street with a sign": (
        HOME | {"customer.street_1": "12 Main <b>"},
        {"customer.street_1": "at most 128"},
    ),
    "a null character": (
        HOME | {"device.device_model": "a\0b"},
        {"device.device_model": "control characters"},
    ),
    "half a character": (
        HOME | {"device.device_model": "a\ud800"},
        {"device.device_model": "control characters"},
    ),
    "a cell without an end": (
        HOME | {"device.device_model": "x" * 9999},
        {"device.device_model": "Shorten it"},
    ),
    "a share for a percentage": (
        HOME | {"device.battery_max_state_of_charge_percentage": "0.95"},
        {"device.battery_max_state_of_charge_percentage": "written as 95, not as 0.95"},
    ),
    "two percent": (HOME | {"device.battery_max_state_of_charge_percentage": "2"}, {}),
    "the least above the most": (
        HOME
        | {
            "device.battery_max_state_of_charge_percentage": "50",
            "device.battery_min_state_of_charge_percentage": "60",
        },
        {"device.battery_min_state_of_charge_percentage": "below the largest"},
    ),
    "a number with a unit": (
        HOME | {"device.battery_power_capacity_kw": "5 kW"},
        {"device.battery_power_capacity_kw": "without a unit"},
    ),
    "no number": (
        HOME | {"device.battery_power_capacity_kw": "NaN", "device.battery_energy_capacity_kwh": "9" * 400},
        {"device.battery_power_capacity_kw": "number", "device.battery_energy_capacity_kwh": "number"},
    ),
    "a thousand with a comma": (HOME | {"device.battery_power_capacity_kw": "1,250.5"}, {}),
    "half an hour": (
        HOME | {"device.battery_duration_hours": "2.5"},
        {"device.battery_duration_hours": "whole"},
    ),
    "a date of a spreadsheet": (
        HOME | {"customer.partner_offering_date": "3/31/2026"},
        {"customer.partner_offering_date": "as 2026-03-31"},
    ),
    "a day that is none": (
        HOME | {"customer.partner_offering_date": "2026-02-30"},
        {"customer.partner_offering_date": "as 2026-03-31"},
    ),
    "neither yes nor no": (
        HOME | {"device.is_connected_to_solar": "maybe"},
        {"device.is_connected_to_solar": "true"},
    ),
    "no address of mail": (
        HOME | {"customer.end_customer_email": "anna"},
        {"customer.end_customer_email": "name@example.com"},
    ),
    "half a bill": (
        HOME | {"customer.billing.city": "Fresno"},
        {
            "customer.billing.street_1": "Fill in",
            "customer.billing.postal_code": "Fill in",
            "customer.billing.state_or_province_code": "Fill in",
        },
    ),
    "a device on the site without a type": (
        HOME | {"site.site_devices.2.model": "Store"},
        {"site.site_devices.2.device_type": "Fill in"},
    ),
    "a field of another region": (
        HOME | {"nyiso.cbl_method": "AVERAGE_DAY"},
        {"nyiso.cbl_method": "NYISO alone"},
    ),
    "a new battery in California": (HOME | NEW_BATTERY, {"caiso.is_receiving_sgip_funding": "30 June 2023"}),
    "a battery of the last old day": (HOME | NEW_BATTERY | {"device.install_date": "2023-06-30"}, {}),
    "a new battery that tells": (HOME | NEW_BATTERY | {"caiso.is_receiving_sgip_funding": "no"}, {}),
    "a new battery elsewhere": (BOSTON | NEW_BATTERY, {}),
    "DSGS option 3": (HOME | {"program": "CEC-DSGS"}, {"site.number_of_devices": "behind one inverter"}),
    "DSGS option 3, told": (HOME | {"program": "cec-dsgs", "site.number_of_devices": "2"}, {}),
    "DSGS option 4": (HOME | {"program": "CEC-DSGS-OPTION4"}, {}),
    "DSGS of a utility meter": (
        HOME | {"program": "CEC-DSGS-OPTION4", "meter_type": "UTILITY_METER"},
        {"meter_type": "is for DEVICE"},
    ),
    "DSGS in Boston": (
        BOSTON | {"program": "CEC-DSGS-OPTION4"},
        {"transmission_region": "in CAISO, not in ISONE", "customer.state_or_province_code": "CA alone"},
    ),
    "Clean Peak": (BOSTON | {"program": "MA_DOER-CPS"}, {"isone.in_connected_solutions": "yes or no"}),
    "Clean Peak, told": (BOSTON | {"program": "MA_DOER-CPS", "isone.in_connected_solutions": "true"}, {}),
    "ConnectedSolutions": (
        BOSTON | {"program": "NATGRID-CS"},
        {"customer.dispatch_option": "DAILY or TARGETED"},
    ),
    "ConnectedSolutions, told": (BOSTON | {"program": "NATGRID-CS", "customer.dispatch_option": "daily"}, {}),
    "a dispatch option where there is none": (
        HOME | {"program": "CEC-DSGS-OPTION4", "customer.dispatch_option": "DAILY"},
        {"customer.dispatch_option": "Only ConnectedSolutions"},
    ),
    "a program that customers authorize": (
        HOME | {"program": "ELRP", "meter_type": "UTILITY_METER"},
        {"customer.partner_customer_reference": "Leap Connect link"},
    ),
    "one that a customer authorized": (
        HOME
        | {
            "program": "ELRP",
            "meter_type": "UTILITY_METER",
            "customer.partner_customer_reference": "customer-7",
        },
        {},
    ),
    "a program nobody knows": (HOME | {"program": "FOO"}, {"program": "No such program"}),
    "a column nobody knows": (
        HOME | {"customer.town": "Fresno"},
        {"customer.town": "Leap knows no such column"},
    ),
    "a column that is old": (
        HOME | {"site.generator_model_year": "1999"},
        {"site.generator_model_year": "use site.site_devices.1.model_year"},
    ),
}


@pytest.mark.parametrize(("cells", "problems"), CASES.values(), ids=CASES.keys())
def test_what_leap_would_refuse_is_said_before(cells, problems):
    found = {problem.column: problem.text for problem in check_row(cells).problems}
    assert found.keys() == problems.keys()
    for column, words in problems.items():
        assert words in found[column]


def test_a_row_becomes_what_leap_is_sent():
    cells = HOME | {
        "program": "CEC-DSGS",
        "why": "as it failed before",
        "device.battery_power_capacity_kw": "5.00",
        "device.is_connected_to_solar": "Yes",
        "site.number_of_devices": "2",
        "site.site_devices.10.device_type": "EV",
        "site.site_devices.2.device_type": "BATTERY",
        "site.site_devices.2.power_capacity_kw": "7.5",
    }
    assert check_row(cells).asset == {
        "partner_reference": "home-1",
        "transmission_region": "CAISO",
        "customer_classification": "RESIDENTIAL",
        "meter_type": "DEVICE",
        "load_types": ["BATTERY_STORAGE"],
        "customer": {
            "street_1": "132 Oak Street",
            "postal_code": "94103",
            "city": "San Francisco",
            "state_or_province_code": "CA",
            "country_code": "US",
        },
        "device": {"battery_power_capacity_kw": 5, "is_connected_to_solar": True},
        "site": {
            "number_of_devices": 2,
            "site_devices": [{"device_type": "BATTERY", "power_capacity_kw": 7.5}, {"device_type": "EV"}],
        },
    }


def values(column) -> st.SearchStrategy:
    numbers = st.integers(int(column.least), min(int(column.most), 99))
    return {
        Kind.WORD: st.sampled_from(column.words or ("-",)),
        Kind.WORDS: st.lists(st.sampled_from(column.words or ("-",)), min_size=1, unique=True),
        Kind.NUMBER: numbers,
        Kind.WHOLE: numbers,
        Kind.YES_NO: st.booleans(),
        Kind.DATE: st.dates().map(lambda day: day.isoformat()),
        Kind.EMAIL: st.just("a@b.example"),
    }.get(column.kind, st.just("94103" if column.rule.startswith("five") else "ABC"))


@settings(max_examples=25)  # each looks at some forty columns
@given(st.data())
def test_a_meter_written_as_a_row_is_read_back_as_it_was(data):
    offered = [each for each in COLUMNS if not each.rule.startswith("two letters")]
    columns = data.draw(st.lists(st.sampled_from(offered), unique_by=lambda each: each.name))
    asset = nest({column.name: data.draw(values(column)) for column in columns})
    asset.setdefault("customer", {})["country_code"] = "US"
    if "billing" in asset["customer"]:
        asset["customer"]["billing"]["country_code"] = "US"

    assert check_row(flatten(asset)).asset == asset


def test_two_rows_with_one_reference_are_told_of_each_other():
    first, second = check_rows([HOME, HOME])
    assert first.problems == ()
    assert "Row 2 has this reference too" in second.problems[0].text


FILES = {
    "nothing": ("", "between 1 and 20,000 rows"),
    "a header alone": ("partner_reference\n", "between 1 and 20,000 rows"),
    "a column twice": ("load_types,load_types\na,b\n", "stands twice"),
    "a column almost right": ("customer.stret_1\na\n", "did you mean customer.street_1"),
    "a cell too many": ("load_types\na,b\n", "more cells than the header"),
    "a quote that does not end": ('load_types\n"a', "not CSV"),
}


@pytest.mark.parametrize(("text", "words"), FILES.values(), ids=FILES.keys())
def test_a_file_that_cannot_be_read_says_why(text, words):
    with pytest.raises(FileRefused, match=words):
        read_file(text)


def test_files_of_spreadsheets_are_read():
    expected = [{"partner_reference": "=home", "load_types": "HVAC"}]
    assert read_file("\ufeffpartner_reference,load_types,customer.city\r\n'=home,HVAC,\r\n,,\r\n") == expected
    assert read_file("partner_reference;load_types\n=home;HVAC") == expected


def test_the_columns_of_a_template_are_known_and_begin_with_what_is_needed():
    names = template_columns("CEC-DSGS")
    assert names[0] == "program" and names.index("site.number_of_devices") < names.index("device.device_type")
    assert len(set(names)) == len(names) == len(COLUMNS) + 1
    assert all(column_of(each.name) == each for each in site_device_columns(20))
    assert column_of("site.site_devices.21.model") is None
