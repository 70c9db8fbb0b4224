"""The forms in which a person says what to try. All but the pasted body stand in the address."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from dispatch.domain.events import GRID_EXPORTS_ALLOWED, UP_TO_NOMINATION, UP_TO_SITE_LOAD
from dispatch.intake.fieldreading import LEAST_KW, MOST_KW, WORST_PRIORITY
from dispatch.intake.payloads import FARTHEST_START
from dispatch.reading import words
from dispatch.reading.whatif import Offer
from dispatch.whatif import Change, WhatIfRefused, find_whom

LARGEST = 2 * 1024 * 1024  # characters; a body posted to the webhook may be larger
QUARTER_HOUR = 900
CAPS = (UP_TO_NOMINATION, UP_TO_SITE_LOAD, GRID_EXPORTS_ALLOWED)
# A changed date or name draws the day anew; without scripts the button does.
REDRAWS = {
    "hx-get": "/preview/",
    "hx-target": "#day",
    "hx-swap": "outerHTML",
    "hx-trigger": "change",
    "hx-include": "closest form",
}


class BodyForm(forms.Form):
    """A body as Leap would post it."""

    body = forms.CharField(
        label="Dispatch body",
        strip=False,
        max_length=LARGEST,
        widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "false"}),
        help_text="JSON with meter_dispatches or group_dispatches, as Leap posts it.",
        error_messages={"required": "Paste a dispatch body first."},
    )


class _Kilowatts(forms.DecimalField):
    def __init__(self, **kwargs: Any) -> None:
        bounds = {"min_value": LEAST_KW, "max_value": MOST_KW}
        super().__init__(**{"max_digits": 9, "decimal_places": 3, "required": False} | bounds | kwargs)


class WindowForm(forms.Form):
    """Who, on which day, from and until; typed in the page's zone.

    An end that is not after the start is on the next day. Afterwards `cleaned_data` has `whom`, `starts_at`
    and `ends_at` too.
    """

    who = forms.CharField(
        label="Who",
        max_length=200,
        widget=forms.TextInput(attrs={"list": "whom", "autocomplete": "off", **REDRAWS}),
        help_text="A market group or a meter: its name, a part of it, or Leap's id.",
        error_messages={"required": "Choose a market group or a meter."},
    )
    date = forms.DateField(
        label="Day",
        widget=forms.DateInput(attrs={"type": "date", **REDRAWS}, format="%Y-%m-%d"),
        error_messages={"required": "Choose a day.", "invalid": "Write a date."},
    )
    start = forms.TimeField(
        label="From",
        widget=forms.TimeInput(attrs={"type": "time", "step": QUARTER_HOUR}, format="%H:%M"),
        error_messages={"required": "Say when it begins.", "invalid": "Write a time of day."},
    )
    end = forms.TimeField(
        label="Until",
        widget=forms.TimeInput(attrs={"type": "time", "step": QUARTER_HOUR}, format="%H:%M"),
        error_messages={"required": "Say when it ends.", "invalid": "Write a time of day."},
    )
    with_devices = False

    def __init__(self, *args: Any, zone: dt.tzinfo, now: dt.datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone, self.now = zone, now

    def clean_who(self) -> str:
        """Find whom is meant."""
        typed: str = self.cleaned_data["who"]
        try:
            found = find_whom(typed, with_devices=self.with_devices) if typed.strip() else None
        except WhatIfRefused as refused:
            raise forms.ValidationError(str(refused)) from None
        self.cleaned_data["whom"] = found
        return typed

    def clean_date(self) -> dt.date:
        """Refuse a day so far away that no event of it would be believed."""
        day: dt.date = self.cleaned_data["date"]
        if not -FARTHEST_START < day - self.now.astimezone(self.zone).date() < FARTHEST_START:
            raise forms.ValidationError("Choose a day within a year from now.")
        return day

    def clean(self) -> dict[str, Any]:
        """Put the window together."""
        cleaned = super().clean() or self.cleaned_data
        window = window_of(cleaned, zone=self.zone)
        if window:
            cleaned["starts_at"], cleaned["ends_at"] = window
            if window[1] <= self.now:
                self.add_error("end", "This is past. Choose a time that is yet to come.")
        elif not {"date", "start", "end"} & self.errors.keys():
            self.add_error("end", "The clock changes that night, so this ends before it begins.")
        return cleaned

    def drawn(self) -> tuple[dt.datetime, dt.datetime] | None:
        """Return the window as far as it can be read, valid or not."""
        if self.is_bound:
            self.is_valid()
            return window_of(self.cleaned_data, zone=self.zone)
        return window_of(self.initial, zone=self.zone)


class DrawForm(WindowForm):
    """An event that nobody asked for."""

    program = forms.CharField(
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"list": "programs", "autocomplete": "off"}),
        help_text="Leap's code. Empty: the group's usual one.",
    )
    kw = _Kilowatts(label="Power in kW", help_text="Empty: the maximum.")
    nomination = _Kilowatts(label="Nomination in kW", help_text="Empty: none.")
    rank = forms.IntegerField(initial=1, min_value=1, max_value=WORST_PRIORITY, help_text="1 is the highest.")
    kind = forms.ChoiceField(
        label="Kind",
        choices=[("commitment", "Commitment"), ("voluntary", "Voluntary")],
        initial="commitment",
        widget=forms.RadioSelect,
    )
    cap = forms.ChoiceField(
        label="Paid up to", choices=[(cap, words.cap(cap).capitalize()) for cap in CAPS], initial=CAPS[1]
    )


class HoldForm(WindowForm):
    """A hold that nobody made: of the whole fleet when no one is named."""

    with_devices = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        who = self.fields["who"]
        who.required = False
        who.help_text = "A market group, meter or device: its name or id. Empty: the whole fleet."


class ChangeForm(forms.Form):
    """A change to a stored event."""

    event = forms.TypedChoiceField(
        label="Event",
        coerce=int,
        error_messages={"required": "Choose an event.", "invalid_choice": "Choose an event of the list."},
    )
    change = forms.ChoiceField(
        label="What becomes of it",
        choices=[
            (Change.CANCEL, "It is cancelled"),
            (Change.END, "It ends at another time"),
            (Change.POWER, "It asks for another power"),
        ],
        initial=Change.CANCEL,
        widget=forms.RadioSelect,
    )
    ends_at = forms.DateTimeField(
        label="Ends at",
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": QUARTER_HOUR}, format="%Y-%m-%dT%H:%M"
        ),
        help_text="For another end.",
        error_messages={"invalid": "Write a date and a time."},
    )
    kw = _Kilowatts(label="Power in kW", help_text="For another power. Empty: the maximum.")

    def __init__(self, *args: Any, offers: Sequence[Offer], now: dt.datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.ids = {each.event_ids[0]: each.event_ids for each in offers}
        self.homes = {pk: each.event_ids[0] for each in offers for pk in each.event_ids}
        choices = [("", "Choose an event"), *((each.event_ids[0], each.label) for each in offers)]
        self.fields["event"].choices = choices  # type: ignore[attr-defined]  # a choice field's own

    def home_of(self, number: str) -> int | None:
        """Return the choice of which a stored event, by its number in an address, is a part."""
        is_number = number.isascii() and number.isdecimal() and len(number) <= 18
        return self.homes.get(int(number)) if is_number else None

    def clean_ends_at(self) -> dt.datetime | None:
        """Refuse a time so far away that it would not be believed."""
        ends_at: dt.datetime | None = self.cleaned_data["ends_at"]
        if ends_at and abs(ends_at - self.now) > FARTHEST_START:
            raise forms.ValidationError("Choose a time within a year from now.")
        return ends_at

    def clean(self) -> dict[str, Any]:
        """Ask for the time that an end needs."""
        cleaned = super().clean() or self.cleaned_data
        if (
            cleaned.get("change") == Change.END
            and not cleaned.get("ends_at")
            and "ends_at" not in self.errors
        ):
            self.add_error("ends_at", "Say when it ends.")
        return cleaned


def window_of(values: Mapping[str, Any], *, zone: dt.tzinfo) -> tuple[dt.datetime, dt.datetime] | None:
    """Return the window of a date and two times of day in a zone; None when one of them is missing."""
    day, start, end = values.get("date"), values.get("start"), values.get("end")
    if not (isinstance(day, dt.date) and isinstance(start, dt.time) and isinstance(end, dt.time)):
        return None
    last = day if end > start else day + dt.timedelta(days=1)
    opens = dt.datetime.combine(day, start, tzinfo=zone).astimezone(dt.UTC)
    closes = dt.datetime.combine(last, end, tzinfo=zone).astimezone(dt.UTC)
    # An hour that the clock skips may turn them round.
    return (opens, closes) if opens < closes else None
