"""Which devices belong behind which meters, by Leap's partner_reference: a table of cases, and no guess."""

from __future__ import annotations

import time

import pytest

from devices.domain.mapping_rules import Ambiguous, DeviceNamed, Doubt, Form, MeterNamed, Rule, propose

DEVICES = (
    DeviceNamed(1, "bat-1", site="North"),
    DeviceNamed(2, "BAT-1", site="South"),
    DeviceNamed(3, "hvac-3", site="North"),
    DeviceNamed(4, "site-7-bat-1"),
)
EXACT = Rule()
ANY_CASE = Rule(ignores_case=True)
BEFORE = Rule(Form.BEFORE_DEVICE, separator="-")
SLASH = Rule(Form.BEFORE_DEVICE, separator="::", ignores_case=True)
AFTER = Rule(Form.AFTER_DEVICE, separator="@")
SITE = Rule(Form.SITE)


def doubt(why, reference, meters, *devices):
    return Ambiguous(why, reference, tuple(meters), devices)


CASES = {
    "the device's own id": (EXACT, {10: "hvac-3"}, [(10, 3)], []),
    "blanks around it do not count": (EXACT, {10: " hvac-3 "}, [(10, 3)], []),
    "case counts": (EXACT, {10: "HVAC-3"}, [], []),
    "unless it does not": (ANY_CASE, {10: "HVAC-3"}, [(10, 3)], []),
    "two devices but for case": (
        ANY_CASE,
        {10: "Bat-1"},
        [],
        [doubt(Doubt.SEVERAL_DEVICES, "Bat-1", [10], 1, 2)],
    ),
    "two meters of one reference": (
        EXACT,
        {10: "bat-1", 11: "bat-1", 12: "hvac-3"},
        [(12, 3)],
        [doubt(Doubt.SAME_REFERENCE, "bat-1", [10, 11], 1)],
    ),
    "two meters of a reference nobody has": (EXACT, {10: "x", 11: "x"}, [], []),
    "no reference": (EXACT, {10: "", 11: "   "}, [], []),
    "the site before the device": (BEFORE, {10: "north-hvac-3"}, [(10, 3)], []),
    "a separator inside both": (
        BEFORE,
        {10: "c-site-7-bat-1"},
        [],
        [doubt(Doubt.SEVERAL_DEVICES, "c-site-7-bat-1", [10], 1, 4)],
    ),
    "the id alone is not that form": (BEFORE, {10: "hvac"}, [], []),
    "one device of two customers": (
        BEFORE,
        {10: "a-hvac-3", 11: "b-hvac-3"},
        [],
        [
            doubt(Doubt.SEVERAL_METERS, "a-hvac-3", [10], 3),
            doubt(Doubt.SEVERAL_METERS, "b-hvac-3", [11], 3),
        ],
    ),
    "a long separator": (SLASH, {10: "N::HVAC-3"}, [(10, 3)], []),
    "the device before the site": (AFTER, {10: "hvac-3@north"}, [(10, 3)], []),
    "no separator says nothing": (Rule(Form.BEFORE_DEVICE), {10: "hvac-3"}, [], []),
    "a site's name": (SITE, {10: "North"}, [(10, 1), (10, 3)], []),
    "a site of nobody": (SITE, {10: ""}, [], []),
    "two utility meters of a site": (
        SITE,
        {10: "North", 11: "North"},
        [],
        [doubt(Doubt.SAME_REFERENCE, "North", [10, 11], 1, 3)],
    ),
}


@pytest.mark.parametrize(("rule", "references", "pairs", "ambiguous"), CASES.values(), ids=CASES.keys())
def test_a_rule_maps_what_is_sure_and_lists_the_rest(rule, references, pairs, ambiguous):
    meters = [MeterNamed(id, reference) for id, reference in references.items()]
    found = propose(rule=rule, meters=meters, devices=DEVICES, mapped=[])
    assert (list(found.pairs), list(found.ambiguous)) == (pairs, ambiguous)


def test_two_sites_that_differ_in_case_alone_are_not_told_apart():
    devices = [DeviceNamed(1, "a", site="north"), DeviceNamed(2, "b", site="North")]
    rule = Rule(Form.SITE, ignores_case=True)
    (found,) = propose(rule=rule, meters=[MeterNamed(10, "NORTH")], devices=devices, mapped=[]).ambiguous
    assert (found.doubt, found.devices) == (Doubt.SEVERAL_SITES, (1, 2))


@pytest.mark.parametrize(("kind", "is_sure"), [("UTILITY_METER", True), ("", True), ("device", False)])
def test_a_device_meter_gets_no_whole_site(kind, is_sure):
    found = propose(rule=SITE, meters=[MeterNamed(10, "North", kind)], devices=DEVICES, mapped=[])
    assert bool(found.pairs) is is_sure
    assert [one.doubt for one in found.ambiguous] == ([] if is_sure else [Doubt.ONE_DEVICE_OF_A_SITE])


def test_what_is_mapped_stays_and_what_is_archived_is_passed_over():
    meters = [
        MeterNamed(10, "bat-1"),
        MeterNamed(11, "hvac-3"),
        MeterNamed(12, "hvac-3", is_archived=True),
        MeterNamed(13, "nobody"),
        MeterNamed(14, "mapped by hand"),
    ]
    found = propose(rule=EXACT, meters=meters, devices=DEVICES, mapped={(10, 1), (14, 3)})
    assert found.pairs == ((11, 3),)  # though the device sits behind another meter already
    assert (found.held, found.archived) == (1, 1)
    assert (found.unmatched_meters, found.unmatched_devices) == ((13,), (2, 4))


def test_a_large_fleet_is_laid_beside_its_devices_once():
    """Looking at all of it for each meter took a minute and more for 100,000, in a page and in a task."""
    names = [f"bat-{number}" for number in range(30_000)]
    meters = [MeterNamed(place, name, "OTHER", is_archived=False) for place, name in enumerate(names)]
    began = time.process_time()
    found = propose(
        rule=EXACT,
        meters=meters,
        devices=[DeviceNamed(place, name) for place, name in enumerate(names)],
        mapped=[],
    )
    assert len(found.pairs) == len(names)
    assert time.process_time() - began < 3
