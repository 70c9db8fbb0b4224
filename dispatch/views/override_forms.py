"""The forms in which a person overrules the plan."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.db.models import Q

from devices.models import Device
from dispatch.models import OverrideAction, OverrideScope
from meters.models import MarketGroup, Meter

WHEN = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
UNKNOWN_TARGET = {
    OverrideScope.DEVICE: "No device has this id. Copy it from the device's page.",
    OverrideScope.METER: "No meter has this id. Copy it from the meter's page.",
    OverrideScope.MARKET_GROUP: "No market group has this id. Copy it from the group's page.",
}
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
    """The same for a device, a meter, a market group or the whole fleet, now or later."""

    scope = forms.ChoiceField(label="Whom", choices=OverrideScope.choices, initial=OverrideScope.DEVICE)
    target = forms.CharField(
        label="Id",
        max_length=128,
        required=False,
        help_text="The device's external id, or Leap's id of the meter or group. Empty for the whole fleet.",
    )
    starts_at = forms.DateTimeField(
        label="From", required=False, widget=WHEN, help_text="Empty: from now on."
    )
    field_order = ["scope", "target", "action", "target_kw", "starts_at", "ends_at", "reason", "confirm_commitment"]

    def clean(self) -> dict[str, Any]:
        """Find the target and put the window in order."""
        cleaned = super().clean() or self.cleaned_data
        scope, typed = cleaned.get("scope"), cleaned.get("target", "").strip()
        starts_at, ends_at = cleaned.get("starts_at"), cleaned.get("ends_at")
        if starts_at and ends_at and ends_at <= starts_at:
            self.add_error("ends_at", "The end must lie after the start.")
        if scope == OverrideScope.FLEET:
            cleaned["target"] = ""
        elif scope:
            found = _find(OverrideScope(scope), typed)
            if found is None:
                self.add_error("target", UNKNOWN_TARGET[OverrideScope(scope)])
            cleaned["target"] = found or typed
        return cleaned


def _find(scope: OverrideScope, typed: str) -> str | None:
    """Look a target up by the id it is known under."""
    if not typed:
        return None
    if scope is OverrideScope.METER:
        return Meter.objects.filter(meter_id=typed.lower()).values_list("meter_id", flat=True).first()
    if scope is OverrideScope.MARKET_GROUP:
        groups = MarketGroup.objects.filter(Q(market_group_id=typed) | Q(market_group_id=typed.lower()))
        return groups.values_list("market_group_id", flat=True).first()
    return Device.objects.filter(external_id=typed).values_list("external_id", flat=True).first()
