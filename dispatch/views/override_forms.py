"""The forms in which a person overrules the plan."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms

from dispatch.models import OverrideAction, OverrideScope
from dispatch.overrides import OverrideRefused, find_target

WHEN = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
ACTION_HELP = (
    "Hold: devices go idle and take no request. Opt out: the customer does not take part. "
    "Force: devices run, whatever is asked."
)


class DeviceOverrideForm(forms.Form):
    """What, until when and why; for one device whose page it stands on.

    Times are typed in the page's zone: the view activates it around cleaning and drawing.
    """

    action = forms.ChoiceField(
        label="What", choices=OverrideAction.choices, initial=OverrideAction.HOLD, widget=forms.RadioSelect
    )
    target_kw = forms.DecimalField(
        label="Power in kW",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=3,
        help_text="For Force. Empty: its rated power.",
    )
    ends_at = forms.DateTimeField(
        label="Until",
        widget=WHEN,
        error_messages={
            "required": "Say until when; every override ends by itself.",
            "invalid": "Write a date and a time.",
        },
    )
    reason = forms.CharField(
        max_length=500,
        error_messages={"required": "Say why, for the people on the next shift."},
    )
    confirm_commitment = forms.BooleanField(
        label="Give up a commitment, if there is one", required=False, help_text="Leap is not told."
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now

    def clean_ends_at(self) -> datetime:
        """Refuse an end that is past."""
        ends_at: datetime = self.cleaned_data["ends_at"]
        if ends_at <= self.now:
            raise forms.ValidationError("Choose a time that is yet to come.")
        return ends_at


class OverrideForm(DeviceOverrideForm):
    """The same for a device, a meter, a market group, a program or the whole fleet, now or later."""

    scope = forms.ChoiceField(label="Whom", choices=OverrideScope.choices, initial=OverrideScope.DEVICE)
    target = forms.CharField(
        label="Id",
        max_length=128,
        required=False,
        widget=forms.TextInput(attrs={"list": "groups", "autocomplete": "off"}),
        help_text="The device's external id, Leap's id of the meter or group, or the program's code, as CCA: "
        "then its events alone are meant. Empty for the whole fleet.",
    )
    starts_at = forms.DateTimeField(
        label="From", required=False, widget=WHEN, help_text="Empty: from now on."
    )
    field_order = [
        "scope",
        "target",
        "action",
        "target_kw",
        "starts_at",
        "ends_at",
        "reason",
        "confirm_commitment",
    ]

    def clean(self) -> dict[str, Any]:
        """Find the target and put the window in order."""
        cleaned = super().clean() or self.cleaned_data
        scope, typed = cleaned.get("scope"), cleaned.get("target", "").strip()
        starts_at, ends_at = cleaned.get("starts_at"), cleaned.get("ends_at")
        if starts_at and ends_at and ends_at <= starts_at:
            self.add_error("ends_at", "The end must lie after the start.")
        if scope and not typed and scope != OverrideScope.FLEET:
            self.add_error("target", "Type the id of what is meant, or choose the whole fleet.")
        elif scope:
            try:
                cleaned["target"] = find_target(scope, typed)
            except OverrideRefused as refused:
                self.add_error("target", str(refused))
        return cleaned
