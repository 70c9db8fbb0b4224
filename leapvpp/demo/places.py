"""The demo's portfolio as plain tables: who, where, under which program."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5


@dataclass(frozen=True, slots=True)
class Region:
    """A transmission region: its clock, its cities, and how Leap meters what is in it."""

    name: str
    timezone: str
    cities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A market group of the demo; `key` names it in the day's script."""

    key: str
    name: str
    program: str
    zone: str
    region: str

    @property
    def leap_id(self) -> str:
        """Return the group's id in Leap."""
        return leap_id(self.key)


@dataclass(frozen=True, slots=True)
class Business:
    """A site with more than one device; `devices` names entries of `CATALOGUE`."""

    name: str
    region: str
    city: str
    devices: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a device of the catalogue is: sizes are drawn between the two, in kW and hours of storage."""

    name: str
    kind: str
    least_kw: float
    most_kw: float
    hours: float = 0.0
    may_export: bool = False


REGIONS = {
    "CAISO": Region(
        "CAISO", "America/Los_Angeles", ("Oakland", "San Jose", "Fresno", "Long Beach", "Irvine")
    ),
    "NYISO": Region("NYISO", "America/New_York", ("Manhattan", "Brooklyn", "Queens", "Yonkers")),
    "ERCOT": Region("ERCOT", "America/Chicago", ("Houston", "Dallas", "Midland", "San Antonio")),
    "ISONE": Region("ISONE", "America/New_York", ("Worcester", "Lowell", "Quincy", "Salem")),
    "PJM": Region("PJM", "America/New_York", ("Newark", "Trenton", "Philadelphia", "Baltimore")),
}

GROUPS = (
    GroupPlan("cca-north", "CCA Bay Area", "CCA", "CAISO PG&E Bay Area", "CAISO"),
    GroupPlan("cca-south", "CCA LA Basin", "CCA", "CAISO SCE LA Basin", "CAISO"),
    GroupPlan("cca-guide", "CCA of Leap's guide", "CCA", "CAISO PG&E Bay Area", "CAISO"),
    GroupPlan("elrp", "ELRP emergency", "ELRP", "CAISO statewide", "CAISO"),
    GroupPlan("dsgs", "DSGS batteries", "CEC-DSGS", "CAISO statewide", "CAISO"),
    GroupPlan("scr", "SCR Zone J", "NYISO-SCR", "NYISO Zone J", "NYISO"),
    GroupPlan("csrp", "ConEd CSRP", "CONED-CSRP", "NYISO Zone J", "NYISO"),
    GroupPlan("dlrp", "ConEd DLRP", "CONED-DLRP", "NYISO Zone J", "NYISO"),
    GroupPlan("ers-houston", "ERS-30 Houston", "ERCOT-ERS", "ERCOT Houston", "ERCOT"),
    GroupPlan("ers-west", "ERS-10 West and North", "ERCOT-ERS", "ERCOT North", "ERCOT"),
    GroupPlan("cs", "ConnectedSolutions", "NATGRID-CS", "ISO-NE WCMA", "ISONE"),
    GroupPlan("cps", "Clean Peak", "MA_DOER-CPS", "ISO-NE WCMA", "ISONE"),
    GroupPlan("pjm-nj", "Capacity New Jersey", "PJM-CAPACITY", "PJM PSEG", "PJM"),
    GroupPlan("pjm-pa", "Capacity Mid-Atlantic", "PJM-CAPACITY", "PJM PECO", "PJM"),
)

GUIDE_IDS = {
    "cca-guide": "11aa7aae-24e5-455f-91e9-e0f5f145f2ae",
    "Dogpatch Bakery utility": "abae2779-e392-4f00-b0cf-32e716204f78",
    "Temescal Library utility": "bbae2779-e392-4f00-b0cf-32e716204f78",
}
"""The ids in the group dispatch of Leap's guide, so that whoever posts it sees devices act."""


def leap_id(name: str) -> str:
    """Return the id that the demo's Leap gives to what is called so; always the same."""
    return GUIDE_IDS.get(name) or str(uuid5(NAMESPACE_URL, f"demo:{name}"))


CATALOGUE = {
    "hvac": Kind("Rooftop unit", "HVAC", 15, 60),
    "chiller": Kind("Chiller plant", "HVAC", 120, 400),
    "cold": Kind("Cold store", "HVAC", 80, 260),
    "thermostat": Kind("Thermostat", "THERMOSTAT", 2, 4),
    "battery": Kind("Battery container", "BATTERY", 125, 500, hours=2, may_export=True),
    "wall": Kind("Wall battery", "BATTERY", 5, 10, hours=2.7, may_export=True),
    "chargers": Kind("Charging depot", "EV_CHARGER", 50, 180),
    "charger": Kind("Car charger", "EV_CHARGER", 7, 11.5),
    "boiler": Kind("Water heating", "WATER_HEATER", 20, 60),
    "generator": Kind("Standby generator", "GENERATOR", 250, 800),
    "pump": Kind("Pump station", "LOAD", 150, 600),
    "line": Kind("Production line", "LOAD", 200, 900),
}

_CCA_NORTH, _CCA_SOUTH = ("cca-north", "elrp"), ("cca-south", "elrp")
_STACK, _PAIR = ("scr", "csrp", "dlrp"), ("scr", "csrp")


def _rows(region: str, text: str, groups: tuple[str, ...]) -> tuple[Business, ...]:
    """Read `name; city; device device …` lines."""
    cells = (line.split(";") for line in text.strip().splitlines())
    return tuple(
        Business(name.strip(), region, city.strip(), tuple(devices.split()), groups)
        for name, city, devices in cells
    )


BUSINESSES = (
    *_rows(
        "CAISO",
        """
        Lakeshore Grocers; Oakland; cold hvac battery
        Tule Valley Packing; Fresno; cold line
        Bayline Transit Yard; Oakland; chargers chargers battery
        Mission Peak College; San Jose; hvac hvac boiler
        Coyote Creek Offices; San Jose; hvac hvac thermostat
        Estuary Brewing; Oakland; cold boiler
        Orchard Data Hall; San Jose; battery chiller
        San Joaquin Water; Fresno; pump pump
        """,
        _CCA_NORTH,
    ),
    *_rows(
        "CAISO",
        """
        Harborside Logistics; Long Beach; chargers cold battery
        Pacific Crest Mall; Irvine; hvac hvac hvac
        Signal Hill Ice; Long Beach; cold cold
        Santiago Hospital Annex; Irvine; chiller generator
        Alamitos Film Stages; Long Beach; hvac battery
        Laguna Hotel; Irvine; hvac boiler chargers
        Dominguez Foods; Long Beach; cold line
        Back Bay Water; Irvine; pump
        """,
        _CCA_SOUTH,
    ),
    *_rows(
        "NYISO",
        """
        40 Front Street; Manhattan; chiller generator
        Hudson Yards West Tower; Manhattan; chiller hvac
        Bowery Residences; Manhattan; hvac thermostat
        Riverside Medical Pavilion; Manhattan; chiller generator
        Chelsea Market Lofts; Manhattan; hvac hvac
        Midtown Galleria; Manhattan; chiller chargers
        Gowanus Cold Works; Brooklyn; cold cold
        Atlantic Terminal Offices; Brooklyn; hvac hvac
        Navy Yard Fabrication; Brooklyn; line battery
        Sunset Park Print; Brooklyn; line
        Flatbush Apartments; Brooklyn; hvac boiler thermostat
        """,
        _STACK,
    ),
    *_rows(
        "NYISO",
        """
        Long Island City Studios; Queens; hvac battery
        Jamaica Bus Depot; Queens; chargers chargers
        Flushing Commons; Queens; hvac hvac
        Astoria Bakery; Queens; line boiler
        Maspeth Distribution; Queens; cold chargers
        Rockaway Pump Works; Queens; pump
        Getty Square Towers; Yonkers; hvac hvac
        Saw Mill Research Park; Yonkers; chiller generator
        Nepperhan Textiles; Yonkers; line
        Ludlow Marina; Yonkers; chargers
        Tibbetts Arena; Yonkers; chiller
        """,
        _PAIR,
    ),
    *_rows(
        "ERCOT",
        """
        Ship Channel Resins; Houston; line line
        Bayou Cold Chain; Houston; cold generator
        Westheimer Medical; Houston; generator chiller
        Katy Steel Service; Houston; line
        Energy Corridor Plaza; Houston; hvac generator
        Galena Park Tank Farm; Houston; pump pump
        Pasadena Compression; Houston; line
        Space City Hosting; Houston; battery generator
        Buffalo Bayou Water; Houston; pump
        """,
        ("ers-houston",),
    ),
    *_rows(
        "ERCOT",
        """
        Permian Water Midstream; Midland; pump pump
        Spraberry Gas Lift; Midland; line
        Trinity Foundry; Dallas; line generator
        Deep Ellum Data; Dallas; generator battery
        Love Field Hangars; Dallas; hvac chargers
        Mesquite Distribution; Dallas; cold
        Alamo Ice and Cold; San Antonio; cold cold
        Mission Reach Water; San Antonio; pump
        Pearl Brewery Works; San Antonio; boiler line
        """,
        ("ers-west",),
    ),
    *_rows(
        "PJM",
        """
        Ironbound Plating; Newark; line
        Port Newark Reefers; Newark; cold cold
        Passaic Falls Paper; Newark; line generator
        Penn Gateway Offices; Newark; hvac hvac
        Assunpink Foods; Trenton; cold boiler
        Delaware Canal Pumps; Trenton; pump
        State House Annex; Trenton; chiller
        """,
        ("pjm-nj",),
    ),
    *_rows(
        "PJM",
        """
        Schuylkill Cold Storage; Philadelphia; cold cold
        Fishtown Makers Hall; Philadelphia; line hvac
        University Science Block; Philadelphia; chiller generator
        Navy Yard Fleet Depot; Philadelphia; chargers battery
        Inner Harbor Aquatics; Baltimore; pump boiler
        Canton Can Works; Baltimore; line
        Patapsco Wastewater; Baltimore; pump generator
        """,
        ("pjm-pa",),
    ),
    *_rows(
        "CAISO",
        """
        Dogpatch Bakery; Oakland; hvac
        Temescal Library; Oakland; hvac thermostat
        """,
        ("cca-guide",),
    ),
)

HOME_STREETS = {
    "CAISO": ("Alder Way", "Mesa Drive", "Cedar Court", "Palm Avenue", "Laurel Lane", "Sequoia Street"),
    "ISONE": ("Elm Street", "Birch Lane", "Maple Avenue", "Oak Terrace", "Mill Road", "Harbor Street"),
}
