"""Devices that fare alike under what is tried: a lane before, a lane after, and what differs in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from devices.domain.schedule import Mode, Segment
from devices.models import Device, SegmentMode
from dispatch.domain.comparing import Case, watts_of
from dispatch.domain.events import Event, Window
from dispatch.domain.plans import UnservedSlice
from dispatch.domain.programs import label_of
from dispatch.domain.sentences import short
from dispatch.preview import PlanPreview
from dispatch.reading import words
from dispatch.reading.axis import Axis
from dispatch.reading.devices import MODE_WORDS

NAMES_SHOWN = 3
LOW = 56  # percent of the lane's height below which a label has no room


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment placed on the axis; `height` in percent of the lane."""

    part: int
    parts: int
    height: int
    is_commitment: bool
    is_max: bool
    label: str
    title: str

    @property
    def top(self) -> int:
        """Say where its upper edge lies, in percent from above."""
        return 100 - self.height

    @property
    def is_low(self) -> bool:
        """Tell whether the label stands above the segment instead of in it."""
        return self.height < LOW

    @property
    def tenth(self) -> int:
        """Give the height in tenths, rounded up, to stand a label on."""
        return -(-self.height // 10)


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence about one window: `kind` is does, stops or undone."""

    kind: str
    window: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class CaseRow:
    """Devices that fare alike, with both lanes and the reasons."""

    devices: tuple[tuple[int, str], ...]
    more: int
    is_changed: bool
    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    lines: tuple[Line, ...]


def case_rows(cases: Sequence[Case], *, result: PlanPreview, axis: Axis) -> tuple[CaseRow, ...]:
    """Place the lanes; one query for the names of the devices that are named."""
    named = [device_id for case in cases for device_id in case.device_ids[:NAMES_SHOWN]]
    names = {device.pk: str(device) for device in Device.objects.filter(pk__in=named)}
    events = {each.event.event_id: each.event for each in result.events}
    return tuple(
        CaseRow(
            devices=tuple((pk, names.get(pk, "")) for pk in case.device_ids[:NAMES_SHOWN]),
            more=max(len(case.device_ids) - NAMES_SHOWN, 0),
            is_changed=case.is_changed,
            before=_pieces(case.before.segments, case, rated=result.rated_watts, axis=axis),
            after=_pieces(case.after.segments, case, rated=result.rated_watts, axis=axis),
            lines=tuple(_lines(case, events=events, zone=axis.zone)),
        )
        for case in cases
    )


def _pieces(
    segments: Iterable[Segment], case: Case, *, rated: Mapping[int, int], axis: Axis
) -> tuple[Piece, ...]:
    """Place segments; the highest of both lanes, or the rated power, fills the lane."""
    own = rated[case.device_ids[0]]
    both = (*case.before.segments, *case.after.segments)
    full = max([own, *(watts_of(each, rated=own) for each in both)]) or 1
    placed = []
    for each in segments:
        if each.mode is Mode.IDLE or each.start >= axis.end or each.end <= axis.start:
            continue
        part, parts = axis.place(each.start, each.end)
        placed.append(
            Piece(
                part=part,
                parts=parts,
                height=max(round(watts_of(each, rated=own) / full * 100), 20),
                is_commitment=each.is_commitment,
                is_max=each.target_kw is None,
                label="max" if each.target_kw is None else words.number(each.target_kw),
                title=f"{_does(each)}, {words.window(each.start, each.end, zone=axis.zone)}. {each.reason}",
            )
        )
    return tuple(placed)


def _does(segment: Segment) -> str:
    mode = MODE_WORDS[SegmentMode(segment.mode)]
    if segment.mode is Mode.IDLE:
        return mode
    kind = "commitment" if segment.is_commitment else "voluntary"
    return f"{mode} {words.power(segment.target_kw)}, {kind}"


def _lines(case: Case, *, events: Mapping[int, Event], zone: tzinfo) -> Iterable[Line]:
    """Tell what the devices do anew, what they no longer do, and what they leave undone anew."""
    for segment in case.after.segments:
        if segment not in case.before.segments:
            yield _line("does", segment, zone=zone)
    still = {(each.start, each.end, _does(each)) for each in case.after.segments}
    for segment in case.before.segments:
        if (segment.start, segment.end, _does(segment)) not in still:
            yield _line("stops", segment, zone=zone)
    known = {_key(each) for each in case.before.unserved}
    for gap in case.after.unserved:
        if _key(gap) not in known and gap.event_id in events:
            event = events[gap.event_id]
            name = label_of(event.programs) or short(event.leap_event_id)
            window = words.window(gap.window.start, gap.window.end, zone=zone)
            yield Line("undone", window, f"{name} is not served", gap.reason)


def _line(kind: str, segment: Segment, *, zone: tzinfo) -> Line:
    window = words.window(segment.start, segment.end, zone=zone)
    return Line(kind, window, _does(segment), segment.reason if kind == "does" else "")


def _key(gap: UnservedSlice) -> tuple[int, Window, str]:
    return gap.event_id, gap.window, gap.reason
