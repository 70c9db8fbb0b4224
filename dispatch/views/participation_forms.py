"""The form in which a person says who is to rest, take part or leave."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms

from dispatch.reading import meter_picks
from dispatch.taking_part import MOST_METERS
from meters.domain.participation import HAS_END, LONGEST_REASON, Asked, Days, Kind
from meters.participation_models import ParticipationKind

LARGEST_FILE = 2 * 1024 * 1024  # bytes
DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
KINDS = (
    (ParticipationKind.IDLE.label, "The meter rests from the first to the last day, in all programs."),
    (ParticipationKind.END_IDLE.label, "Takes an idle period back; give its exact first and last day."),
    (
        ParticipationKind.PARTICIPATE.label,
        "The meter takes part from the first day on, whatever was set.",
    ),
    (ParticipationKind.DISENROLL.label, "The meter leaves all programs for good."),
)
"""What each kind of request does, in words."""


class ParticipationForm(forms.Form):
    """Whom, what, which days of each meter's own clock, and why."""

    kind = forms.ChoiceField(
        label="What",
        choices=ParticipationKind.choices,
        initial=ParticipationKind.IDLE,
        widget=forms.RadioSelect,
    )
    meter_ids = forms.CharField(
        label="Meters",
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="Leap's ids or partner references, one a line.",
    )
    group = forms.ChoiceField(label="All in a market group", required=False)
    program = forms.ChoiceField(label="All in a program", required=False)
    file = forms.FileField(
        label="Those of a CSV file",
        required=False,
        help_text="With a column meter_id or partner_reference.",
    )
    starts_on = forms.DateField(
        label="First day",
        widget=DAY,
        error_messages={"required": "Say from which day on.", "invalid": "Write a date, as 2026-12-01."},
    )
    ends_on = forms.DateField(
        label="Last day",
        required=False,
        widget=DAY,
        help_text="Of an idle period; it is idle too.",
        error_messages={"invalid": "Write a date, as 2026-12-10."},
    )
    reason = forms.CharField(
        label="Why",
        required=False,
        max_length=LONGEST_REASON,
        help_text="Leap is told it of a disenrollment; else it is for your colleagues.",
    )
    is_gated = forms.BooleanField(
        label="Opt out here too, from the first day on",
        required=False,
        initial=True,
        help_text="For idle and disenroll. Leap may go on calling these meters; their devices stay still.",
    )
    confirm_commitment = forms.BooleanField(
        label="Give up commitments, if there are any",
        required=False,
        help_text="Else the opt-out stops voluntary events alone. Leap is not told.",
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        offered = {"group": meter_picks.groups_offered(), "program": meter_picks.programs_offered()}
        for name, choices in offered.items():
            self.fields[name].choices = [("", "None"), *choices]  # type: ignore[attr-defined]  # a choice field

    def clean_file(self) -> list[str]:
        """Read the meters that a file names."""
        upload = self.cleaned_data["file"]
        if upload is None:
            return []
        if upload.size > LARGEST_FILE:
            raise forms.ValidationError("The file is larger than 2 MiB. Split it.")
        try:
            return meter_picks.names_in_csv(upload.read().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is not UTF-8. Save it as CSV UTF-8.") from None
        except ValueError as refused:
            raise forms.ValidationError(str(refused)) from None

    def clean(self) -> dict[str, Any]:
        """Find the meters meant, all ways of naming them together."""
        cleaned = super().clean() or self.cleaned_data
        names = [*meter_picks.names_in(cleaned.get("meter_ids", "")), *(cleaned.get("file") or ())]
        if len(names) > 2 * MOST_METERS:
            self.add_error("meter_ids", f"A request takes {MOST_METERS:,} meters; this names {len(names):,}.")
            return cleaned
        picked = meter_picks.by_name(names)
        if picked.unknown:
            self.add_error("meter_ids", f"No meter, or more than one, is called {picked.unknown_words}.")
        others: list[str] = []
        if group := cleaned.get("group"):
            others += meter_picks.of_group(group, now=self.now)
        if program := cleaned.get("program"):
            others += meter_picks.of_program(program)
        # Of what is named twice by hand one is told; a group that holds it too is no mistake.
        by_hand = set(picked.meter_ids)
        cleaned["picked"] = [
            *picked.meter_ids,
            *(each for each in dict.fromkeys(others) if each not in by_hand),
        ]
        return cleaned

    def asked(self) -> Asked:
        """Return what is asked; an end that the kind does not have is left out. The form is a valid one."""
        kind = Kind(self.cleaned_data["kind"])
        last = self.cleaned_data["ends_on"] if kind in HAS_END else None
        return Asked(kind, Days(self.cleaned_data["starts_on"], last), reason=self.cleaned_data["reason"])
