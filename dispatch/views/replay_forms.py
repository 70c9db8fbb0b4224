"""The form in which somebody asks for a replay of past days."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from django import forms

from dispatch.domain.events import Window
from dispatch.reading.axis import midnight
from dispatch.replay_models import Baseline, ReplayScope

DAYS_BACK = 30
_DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class ReplayForm(forms.Form):
    """Which days, on whom, and compared with what. Days are the page's zone's."""

    first = forms.DateField(label="First day", widget=_DAY)
    last = forms.DateField(label="Last day", widget=_DAY)
    scope = forms.ChoiceField(label="Tried on", choices=ReplayScope.choices)
    target = forms.CharField(
        label="Id",
        max_length=128,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Leap's id of the group or meter, or the device's external id. Empty for the others.",
    )
    baseline = forms.ChoiceField(label="Compared with", choices=Baseline.choices)
    taking_late = forms.BooleanField(
        label="Take events that came once they were over as told a day ahead", required=False
    )

    def __init__(self, *args: Any, late_help: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["taking_late"].help_text = (
            late_help or "Such as those of days before the portal was there."
        )

    def asked(self, *, zone: tzinfo, now: datetime) -> dict[str, Any]:
        """Return what was typed as `request_replay` takes it."""
        said = dict(self.cleaned_data)
        window = window_of(said.pop("first"), said.pop("last"), zone=zone, now=now)
        return {**said, "starts_at": window.start, "ends_at": window.end}


def last_month(*, zone: tzinfo, now: datetime) -> tuple[date, date]:
    """Return the first and the last day that are offered: a month until today."""
    today = now.astimezone(zone).date()
    return today - timedelta(days=DAYS_BACK), today


def window_of(first: date, last: date, *, zone: tzinfo, now: datetime) -> Window:
    """Return the time of whole days; today only as far as it has gone."""
    end = midnight(last + timedelta(days=1), zone=zone)
    return Window(midnight(first, zone=zone), min(end, now) if last <= now.astimezone(zone).date() else end)
