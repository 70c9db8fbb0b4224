"""Template tags of the pages: power, times, marks, verdicts, icons. Described in docs/pages.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch.reading import words
from dispatch.reading.looks import Look, State

LABEL_PARTS: Final = 16
"""How far from its line the chip of the present may cover a label, in parts of an axis."""

register = template.Library()

VERDICT_ICONS = {"ok": "tick", "warn": "warn", "bad": "bad", "plain": ""}


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """Draw an icon of the sprite; decoration only, words stand beside it."""
    if not name:
        return SafeString("")
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="#i-{}"></use></svg>', css, name
    )


@register.filter
def kw(value: Decimal | None) -> str:
    """Write power with its unit; None is "maximum"."""
    return words.power(value)


@register.filter
def flow(value: Decimal) -> str:
    """Say what a device takes, or gives where that is negative."""
    return words.flow(value)


@register.filter
def number(value: Decimal | int) -> str:
    """Write a number with thousands separators."""
    return words.number(value)


@register.filter
def programs(names: list[str]) -> str:
    """Write programs as people say them."""
    return words.programs(names)


@register.filter
def cap(name: str) -> str:
    """Write up to where performance is paid."""
    return words.cap(name)


@register.filter
def why_not(reason: str) -> str:
    """Write a refusal's reason so that it can follow "not served:"."""
    return words.why_not(reason)


@register.filter
def ago(at: datetime | None, now: datetime) -> str:
    """Write a time as seen from now, either side of it; "never" for none."""
    return words.relative(at, now=now) if at else "never"


@register.filter
def in_words(span: timedelta) -> str:
    """Write a length of time."""
    return words.length(span)


@register.filter
def is_under(part: int, now: int | None) -> bool:
    """Say whether the chip of the present covers what stands small below an axis label."""
    return now is not None and -LABEL_PARTS < part - now < LABEL_PARTS / 2


@register.simple_tag
def in_zone(text: str, near: datetime, zone: tzinfo) -> str:
    """Write the UTC times of day in a stored sentence as times of the zone; `near` says of which day."""
    return words.in_zone(text, near=near, zone=zone)


@register.simple_tag
def moment(at: datetime, zone: tzinfo, style: str = "full") -> SafeString:
    """Write one time in the zone with UTC on hover. `style`: full, clock, day."""
    text = {
        "full": words.moment(at, zone=zone),
        "clock": words.clock(at, zone=zone),
        "day": words.day(at, zone=zone),
    }[style]
    return _time(at, text)


@register.simple_tag
def day_clock(at: datetime, zone: tzinfo, now: datetime) -> SafeString:
    """Write a time of today as a time, any other with its day, with UTC on hover."""
    return _time(at, words.day_clock(at, now=now, zone=zone))


def _time(at: datetime, text: str) -> SafeString:
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S} UTC", text
    )


@register.simple_tag
def window(start: datetime, end: datetime, zone: tzinfo, style: str = "full") -> SafeString:
    """Write `[start, end)` with the zone and UTC in quiet ink. `style`: full (with the day), times, local."""
    text = words.window(start, end, zone=zone)
    if style == "full":
        text = f"{words.day(start, zone=zone)}, {text}"
    utc = "" if text.endswith(" UTC") else words.window_utc(start, end, zone=zone)
    if style == "local":
        return format_html('<span class="nowrap" title="{}">{}</span>', utc, text)
    return format_html('<span class="nowrap">{}</span> <span class="utc">{}</span>', text, utc)


@register.simple_tag
def around(
    precondition_from: datetime | None,
    ramp_seconds: int | None,
    recover_until: datetime | None,
    zone: tzinfo,
) -> SafeString:
    """Write what is before, in and after a segment in a line of its own, UTC on hover; else nothing."""
    text = words.around(precondition_from, ramp_seconds, recover_until, zone=zone)
    if not text:
        return SafeString("")
    utc = words.around(precondition_from, ramp_seconds, recover_until, zone=UTC)
    return format_html('<span class="row-under is-around" title="{}, UTC">{}</span>', utc, text)


@register.simple_tag
def mark(look: Look | str, label: str = "") -> SafeString:
    """Draw a state mark: shape, edge and word, never colour alone. `look`: a Look, or a state's name."""
    shown = look if isinstance(look, Look) else Look(State(look))
    text = label or shown.words
    if shown.state is State.TEST and "TEST" not in text.upper():
        text = f"TEST {text}"
    struck = "struck" if shown.state is State.CANCELLED else ""
    return format_html(
        '<span class="mark {}" title="{}">{}<span class="{}">{}</span>{}</span>',
        shown.css,
        shown.words,
        icon(shown.icon),
        struck,
        text,
        SafeString("") if text == shown.words else format_html('<span class="sr">, {}</span>', shown.words),
    )


@register.simple_tag
def verdict(kind: str, text: str) -> SafeString:
    """Draw a verdict chip. `kind`: ok, warn, bad, plain."""
    return format_html(
        '<span class="verdict is-{}">{}<span>{}</span></span>', kind, icon(VERDICT_ICONS[kind]), text
    )


@register.inclusion_tag("parts/share.html")
def share(total: Decimal | int, label: str, **parts: Decimal | int) -> dict[str, object]:
    """Draw one stacked bar. `parts`: name=amount in drawing order; names are classes of the stylesheet."""
    whole = Decimal(total or 1)
    start = Decimal(0)
    drawn = []
    for name, amount in parts.items():
        width = min(Decimal(amount) / whole, 1 - start) * 100
        if width > 0:
            drawn.append({"name": name.replace("_", "-"), "x": f"{start * 100:.2f}", "width": f"{width:.2f}"})
        start += width / 100
    return {"drawn": drawn, "label": label}
