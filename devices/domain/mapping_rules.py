"""Which devices belong behind which meters, by what Leap's `partner_reference` says. Never a guess.

A device's meter is known by the device's id, or by a customer or site id before it; a utility meter by a
customer or site id. Two devices that fit one meter, or two meters that name the same, are listed and left to
people. What is mapped already stays.

Source: Leap, "Utility Meters vs Devices": partner_reference and refId of each kind of meter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Pair = tuple[int, int]
"""The primary keys of a meter and of a device behind it."""

ONE_DEVICE: Final = frozenset({"DEVICE", "SUBMETER"})
"""Types of meters, as Leap writes them, that are no whole site."""


class Form(StrEnum):
    """What a reference is made of."""

    DEVICE = "device"
    BEFORE_DEVICE = "before-device"
    AFTER_DEVICE = "after-device"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a reference is read. `separator` stands between the customer's or site's id and the device's."""

    form: Form = Form.DEVICE
    ignores_case: bool = False
    separator: str = ""

    def folded(self, text: str) -> str:
        """Return a text as it is compared; the blanks around it never count."""
        text = text.strip()
        return text.casefold() if self.ignores_case else text


@dataclass(frozen=True, slots=True)
class MeterNamed:
    """A meter that Leap may dispatch, with the reference it was given."""

    id: int
    reference: str
    meter_type: str = ""
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class DeviceNamed:
    """A device by its external id, and the name of its site; "" for none."""

    id: int
    external_id: str
    site: str = ""


class Doubt(StrEnum):
    """Why a rule leaves meters to people."""

    SAME_REFERENCE = "same-reference"
    SEVERAL_DEVICES = "several-devices"
    SEVERAL_METERS = "several-meters"
    SEVERAL_SITES = "several-sites"
    ONE_DEVICE_OF_A_SITE = "one-device-of-a-site"


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Meters of one reference that a rule does not decide, and the devices that would fit."""

    doubt: Doubt
    reference: str
    meters: tuple[int, ...]
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a rule would add, what it finds there already, and what it leaves; in the order of the meters.

    `unmatched_meters` have no device and get none; `unmatched_devices` no meter.
    """

    pairs: tuple[Pair, ...]
    held: int
    ambiguous: tuple[Ambiguous, ...]
    unmatched_meters: tuple[int, ...]
    unmatched_devices: tuple[int, ...]
    archived: int


def propose(
    *,
    rule: Rule,
    meters: Iterable[MeterNamed],
    devices: Sequence[DeviceNamed],
    mapped: Collection[Pair],
) -> Proposal:
    """Say what the rule would add to the pairs that are mapped. Archived meters are passed over."""
    listed = list(meters)
    live = [meter for meter in listed if not meter.is_archived]
    decided, ambiguous = _decide(rule=rule, meters=live, devices=devices)
    held = set(mapped)
    new = tuple(pair for pair in decided if pair not in held)
    with_device = {meter for meter, _ in held} | {meter for meter, _ in decided}
    with_meter = {device for _, device in held} | {device for _, device in decided}
    told = with_device | {meter for each in ambiguous for meter in each.meters}
    return Proposal(
        pairs=new,
        held=len(decided) - len(new),
        ambiguous=ambiguous,
        unmatched_meters=tuple(each.id for each in live if each.id not in told),
        unmatched_devices=tuple(each.id for each in devices if each.id not in with_meter),
        archived=len(listed) - len(live),
    )


def _decide(
    *, rule: Rule, meters: Sequence[MeterNamed], devices: Sequence[DeviceNamed]
) -> tuple[list[Pair], tuple[Ambiguous, ...]]:
    by_key = _by_key(rule, devices)
    by_reference: defaultdict[str, list[MeterNamed]] = defaultdict(list)
    for meter in meters:
        if reference := rule.folded(meter.reference):
            by_reference[reference].append(meter)
    found: list[tuple[MeterNamed, Sequence[DeviceNamed]]] = []
    ambiguous = []
    for reference, named in by_reference.items():
        fitting = [device for key in _keys(reference, rule) for device in by_key.get(key, ())]
        if not fitting:
            continue
        if doubt := _doubt(rule, named, fitting):
            ambiguous.append(_ambiguous(doubt, named, fitting))
        else:
            found.append((named[0], fitting))
    claims = Counter(device.id for _, fitting in found for device in fitting)
    pairs: list[Pair] = []
    for meter, its in found:
        if any(claims[device.id] > 1 for device in its):
            ambiguous.append(_ambiguous(Doubt.SEVERAL_METERS, [meter], its))
        else:
            pairs += [(meter.id, device.id) for device in its]
    return pairs, tuple(ambiguous)


def _ambiguous(doubt: Doubt, meters: Sequence[MeterNamed], devices: Iterable[DeviceNamed]) -> Ambiguous:
    return Ambiguous(
        doubt=doubt,
        reference=meters[0].reference,
        meters=tuple(meter.id for meter in meters),
        devices=tuple(sorted({device.id for device in devices})),
    )


def _by_key(rule: Rule, devices: Iterable[DeviceNamed]) -> Mapping[str, Sequence[DeviceNamed]]:
    found: defaultdict[str, list[DeviceNamed]] = defaultdict(list)
    for device in devices:
        key = rule.folded(device.site if rule.form is Form.SITE else device.external_id)
        if key:
            found[key].append(device)
    return found


def _keys(reference: str, rule: Rule) -> Iterable[str]:
    """Yield what of a reference may be the id: all of it, or each part before or behind a separator."""
    separator = rule.folded(rule.separator)
    if rule.form in {Form.DEVICE, Form.SITE}:
        yield reference
    elif separator:
        place = reference.find(separator)
        while place >= 0:
            is_before = rule.form is Form.BEFORE_DEVICE
            yield reference[place + len(separator) :] if is_before else reference[:place]
            place = reference.find(separator, place + 1)


def _doubt(rule: Rule, meters: Sequence[MeterNamed], devices: Sequence[DeviceNamed]) -> Doubt | None:
    """Say why nothing may be concluded; `None` when one meter is meant, and its devices are sure."""
    if len(meters) > 1:
        return Doubt.SAME_REFERENCE
    if rule.form is not Form.SITE:
        return Doubt.SEVERAL_DEVICES if len(devices) > 1 else None
    if len({device.site for device in devices}) > 1:
        return Doubt.SEVERAL_SITES
    is_one_device = meters[0].meter_type.upper() in ONE_DEVICE
    return Doubt.ONE_DEVICE_OF_A_SITE if is_one_device and len(devices) > 1 else None
