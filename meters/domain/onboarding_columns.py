"""The fields of a meter to create, as columns of a flat file, with the limits that Leap sets.

A nested field is written with a point: `customer.street_1`. The list `site.site_devices` is written with a
number: `site.site_devices.1.device_type`. Source: Leap's OpenAPI document "Create Meters" 1.1.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_SITE_DEVICES: Final = 20


class Kind(StrEnum):
    """How a cell is read."""

    TEXT = "TEXT"
    WORD = "WORD"
    WORDS = "WORDS"
    NUMBER = "NUMBER"
    WHOLE = "WHOLE"
    YES_NO = "YES_NO"
    DATE = "DATE"
    EMAIL = "EMAIL"


@dataclass(frozen=True, slots=True)
class Column:
    """One field. `words`: what it may be; `signs`: how a text is made, as `rule` says; limits included."""

    name: str
    kind: Kind = Kind.TEXT
    label: str = ""
    words: tuple[str, ...] = ()
    signs: re.Pattern[str] | None = None
    rule: str = ""
    least: float = 0
    most: float = 0
    default: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Return where the value stands in what Leap is sent."""
        return tuple(self.name.split("."))


REGIONS: Final = ("CAISO", "ERCOT", "NYISO", "ISONE", "PJM", "SERC", "WECC_SW", "WECC_PC")
LOAD_TYPES: Final = (
    "HVAC",
    "EV_CHARGING",
    "BATTERY_STORAGE",
    "COLD_STORAGE",
    "PUMPING",
    "WATER_HEATING",
    "BUILDING_AUTOMATION",
    "GENERATION",
    "MANUFACTURING",
    "LIGHTING",
    "OTHER",
)
DEVICE_TYPES: Final = (
    "BATTERY",
    "GENERATOR",
    "EV",
    "EV_CHARGER",
    "BIDIRECTIONAL_EV_CHARGER",
    "SMART_THERMOSTAT",
    "AIR_CONDITIONER",
    "HEAT_PUMP",
)
FUELS: Final = ("DIESEL", "NATURAL_GAS", "DUAL_FUEL", "CO_GEN", "ENERGY_STORAGE", "OTHER")
COMPANY_TYPES: Final = (
    "INDIVIDUAL_OR_SOLE_PROPRIETOR",
    "LIMITED_LIABILITY_COMPANY",
    "PARTNERSHIP",
    "CORPORATION",
    "OTHER",
    "EXEMPT_PAYEE",
)
UTILITIES: Final = (
    "PGE",
    "SCE",
    "SDGE",
    "SMUD",
    "LADWP",
    "SVP",
    "CECONY",
    "ORU",
    "PSEGLI",
    "NYS",
    "RIE",
    "EVERSOURCE",
    "NATGRID",
    "UNITIL",
    "PPL",
    "CAPELIGHT",
    "UPLIGHT",
    "UNITED_ILLUMINATED",
    "SMT",
    "AEP_CENTRAL",
    "AEP_NORTH",
    "NUECES_ELECTRIC",
    "ONCOR",
    "CENTERPOINT",
    "ENTERGY_GULF",
    "SWEPCO",
    "TNMP",
    "DEMO",
    "DEMO2",
    "LEAP_TEST_CAISO",
    "LEAP_TEST_NYISO",
    "COMED",
    "BGE",
    "PECO",
    "METED",
    "PENELEC",
    "PSEG",
    "DOMINION",
    "WESTPENN",
    "PENNPOWER",
    "PEPCO",
    "PJM_DEMO",
    "OTHER",
    "NES",
    "MLGW",
    "KUB",
    "NPU",
    "MTEMC",
    "PRECC",
    "HSVU",
    "SRP",
    "PSE",
    "TVA",
)
_LETTERS = "A-Za-z\u00c0-\u024f\u1e00-\u1eff0-9"
_PLAIN = re.compile(rf"[’'+#\"@()/&.,;\s{_LETTERS}\-]{{1,128}}")
_STREET = re.compile(rf"[’'+#\"@()/&.,;\s{_LETTERS}\-|\\]{{1,128}}")
_GROUP = re.compile(rf"[’'+#\"@()/&.,;{_LETTERS}\s_\-]{{1,128}}")
_TITLE = re.compile(rf"[’'+#\"@()/&.,;\s{_LETTERS}\-]{{1,15}}")
_REFERENCE = re.compile(r"[^/\\?\]\[{}!#$%^&*()<>|]{3,256}")
_NAME = re.compile(r"[^\ufffd\u00a0?]{1,128}")
_ZIP = re.compile(r"[0-9]{5}(-[0-9]{4})?")
_STATE = re.compile(r"[A-Z]{2}")
_PLAIN_RULE = "at most 128 letters, digits, blanks and ' + # \" @ ( ) / & . , ; -"
_REFERENCE_RULE = "3 to 256 characters, none of / \\ ? [ ] { } ! # $ % ^ & * ( ) < > |"
_ZIP_RULE = "five digits, or five and four as 94103-1234; a spreadsheet may have dropped a leading zero"
_STATE_RULE = "two letters, as CA"


def _text(name: str, label: str = "", *, most: int, least: int = 1) -> Column:
    return Column(
        name,
        label=label,
        signs=re.compile(rf"(?s).{{{least},{most}}}"),
        rule=f"{least} to {most} characters" if least > 1 else f"at most {most} characters",
    )


def _word(name: str, label: str, words: tuple[str, ...]) -> Column:
    return Column(name, Kind.WORD, label=label, words=words)


def _number(name: str, label: str, *, least: float = 0, most: float = 999_999) -> Column:
    return Column(name, Kind.NUMBER, label=label, least=least, most=most)


def _whole(name: str, label: str, *, least: int = 0, most: int) -> Column:
    return Column(name, Kind.WHOLE, label=label, least=least, most=most)


def _address(prefix: str, where: str) -> tuple[Column, ...]:
    return (
        Column(f"{prefix}street_1", label=f"Street{where}", signs=_STREET, rule=_PLAIN_RULE),
        Column(f"{prefix}street_2", label=f"Apartment or unit{where}", signs=_STREET, rule=_PLAIN_RULE),
        Column(f"{prefix}postal_code", label=f"Postal code{where}", signs=_ZIP, rule=_ZIP_RULE),
        Column(f"{prefix}city", label=f"City{where}", signs=_PLAIN, rule=_PLAIN_RULE),
        Column(f"{prefix}state_or_province_code", label=f"State{where}", signs=_STATE, rule=_STATE_RULE),
        Column(
            f"{prefix}country_code", label=f"Country{where}", signs=_STATE, rule=_STATE_RULE, default="US"
        ),
    )


def _battery(prefix: str) -> tuple[Column, ...]:
    return (
        _number(f"{prefix}battery_max_discharge_rate_kw", "Largest discharge, kW"),
        _number(f"{prefix}battery_max_charge_rate_kw", "Largest charge, kW"),
        _number(
            f"{prefix}battery_max_state_of_charge_percentage",
            "Largest state of charge, %, as 95",
            least=2,
            most=100,
        ),
        _number(f"{prefix}battery_min_state_of_charge_percentage", "Least state of charge, %", most=100),
        _text(f"{prefix}installer", "Installer", most=256),
        Column(f"{prefix}is_connected_to_solar", Kind.YES_NO, label="Connected to solar panels"),
    )


def site_device_columns(number: int | str) -> tuple[Column, ...]:
    """Return the columns of one of the devices on the premises."""
    prefix = f"site.site_devices.{number}."
    return (
        _word(f"{prefix}device_type", "Type", DEVICE_TYPES),
        _text(f"{prefix}model", "Model", most=128),
        _text(f"{prefix}manufacturer", "Manufacturer", most=128),
        _text(f"{prefix}serial_number", "Serial number", most=256),
        _number(f"{prefix}energy_capacity_kwh", "Energy, kWh"),
        _number(f"{prefix}power_capacity_kw", "Power, kW"),
        _whole(f"{prefix}energy_capacity_duration_hours", "Duration, h", most=100),
        _word(f"{prefix}voltage_level", "Charging level", ("EVSE_LEVEL_1", "EVSE_LEVEL_2")),
        _whole(f"{prefix}model_year", "Model year", least=1900, most=2100),
        _word(f"{prefix}fuel_type", "Fuel of a generator", FUELS),
        *_battery(prefix),
    )


COLUMNS: Final = (
    Column("partner_reference", label="Your reference", signs=_REFERENCE, rule=_REFERENCE_RULE),
    _word("transmission_region", "Region", REGIONS),
    _word("customer_classification", "Customer", ("RESIDENTIAL", "COMMERCIAL")),
    _word("meter_type", "Meter type", ("UTILITY_METER", "SUBMETER", "DEVICE")),
    Column("load_types", Kind.WORDS, label="Load types", words=LOAD_TYPES),
    *_address("customer.", ""),
    Column(
        "customer.partner_customer_reference",
        label="Customer's refId of Leap Connect",
        signs=_REFERENCE,
        rule=_REFERENCE_RULE,
    ),
    Column(
        "customer.end_customer_name",
        label="Customer's name",
        signs=_NAME,
        rule="at most 128 characters, no ?",
    ),
    Column("customer.end_customer_email", Kind.EMAIL, label="Customer's e-mail"),
    _text("customer.end_customer_phone_number", "Customer's phone, without a leading 1", least=3, most=32),
    Column("customer.end_customer_company_name", label="Company", signs=_PLAIN, rule=_PLAIN_RULE),
    Column(
        "customer.end_customer_title",
        label="Contact's title",
        signs=_TITLE,
        rule=_PLAIN_RULE.replace("128", "15"),
    ),
    Column("customer.partner_offering_date", Kind.DATE, label="Joined your offering on"),
    _text("customer.partner_offering_name", "Your offering", most=128),
    _word("customer.dispatch_option", "ConnectedSolutions: dispatch", ("DAILY", "TARGETED")),
    Column(
        "customer.is_in_wholesale_capacity_market",
        Kind.YES_NO,
        label="ISO-NE: in the forward capacity market",
    ),
    *_address("customer.billing.", " of the bill"),
    _word("device.device_type", "Device type", DEVICE_TYPES),
    _text("device.device_manufacturer", "Manufacturer", most=128),
    _text("device.device_model", "Model", most=128),
    _text("device.device_serial_number", "Serial number", most=256),
    Column("device.install_date", Kind.DATE, label="Installed on"),
    Column("device.permission_to_operate_date", Kind.DATE, label="Permission to operate of"),
    _number("device.battery_power_capacity_kw", "Battery power, kW"),
    _number("device.battery_energy_capacity_kwh", "Battery energy, kWh"),
    _whole("device.battery_duration_hours", "Battery duration, h", most=100),
    *_battery("device."),
    _whole("site.number_of_devices", "Devices behind this meter", most=99),
    _text("site.load_zone", "Load zone", most=128),
    Column("site.on_site_fossil_generator", Kind.YES_NO, label="Fossil generator on site"),
    Column("site.renewable_generator", Kind.YES_NO, label="Renewable generator on site"),
    Column("caiso.is_receiving_sgip_funding", Kind.YES_NO, label="California: receives SGIP funding"),
    _word("caiso.nem_type", "California: net metering", ("NEM2", "NEM3")),
    Column("isone.in_connected_solutions", Kind.YES_NO, label="New England: also in ConnectedSolutions"),
    _word("nyiso.cbl_method", "New York: baseline", ("AVERAGE_DAY", "WEATHER_ADJUSTED")),
    _word("nyiso.company_type", "New York: company type", COMPANY_TYPES),
    _text("nyiso.existing_nyiso_resource_id", "New York: resource id of NYISO", most=256),
    _text("nyiso.partner_nyiso_resource_name", "New York: your resource name", most=256),
    _word("utility.utility_name", "Utility", UTILITIES),
    _text("utility.electric_service_account_number", "Service account or ESIID", most=128),
    _text("utility.utility_meter_serial_number", "Serial number of the meter", most=256),
    _text("utility.load_serving_entity", "Energy supplier", most=128),
    _text("utility.tariff", "Tariff", most=128),
    _text("utility.voltage", "Voltage level", most=128),
    Column("customer_group", label="Customer group", signs=_GROUP, rule=_PLAIN_RULE),
)
BY_NAME: Final = {column.name: column for column in COLUMNS}
REQUIRED: Final = (
    "partner_reference",
    "transmission_region",
    "customer_classification",
    "meter_type",
    "load_types",
    "customer.street_1",
    "customer.postal_code",
    "customer.city",
    "customer.state_or_province_code",
)
"""Of every meter, beside the country. Source: Leap, "Partner-created Meters"."""
DEPRECATED: Final = {
    "site.generator_capacity_kw": "site.site_devices.1.power_capacity_kw",
    "site.generator_model_year": "site.site_devices.1.model_year",
    "site.generator_manufacturer": "site.site_devices.1.manufacturer",
    "site.generator_fuel_type": "site.site_devices.1.fuel_type",
    "site.generator_serial_number": "site.site_devices.1.serial_number",
}
_SITE_DEVICE = re.compile(r"site\.site_devices\.([1-9][0-9]?)\.[a-z_]+")


def column_of(name: str) -> Column | None:
    """Find a column by its name in a file; `None` for a name that Leap does not know."""
    if column := BY_NAME.get(name):
        return column
    match = _SITE_DEVICE.fullmatch(name)
    if match is None or int(match[1]) > MOST_SITE_DEVICES:
        return None
    return next((each for each in site_device_columns(match[1]) if each.name == name), None)
