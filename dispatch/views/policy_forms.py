"""The forms in which a policy is written and given to somebody."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django import forms

from dispatch.domain.policies import NOTHING
from dispatch.domain.policy_checks import InvalidPolicy, check
from dispatch.policy_models import PolicyScope, ProgramPrice, ResponsePolicy

MOST_USD: Final = 1000


class PolicyForm(forms.ModelForm):
    """What a policy says. It is saved by `dispatch.policies`, never by the form."""

    class Meta:
        model = ResponsePolicy
        fields = list(NOTHING)
        widgets = {
            "blackouts": forms.Textarea(attrs={"rows": 3}),
            "voluntary_hours": forms.Textarea(attrs={"rows": 3}),
        }

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        """Write decimals without the zeros that storing adds."""
        said = super().get_initial_for_field(field, field_name)
        return f"{said.normalize():f}" if isinstance(said, Decimal) else said

    def clean_blackouts(self) -> str:
        """Write lines as the portal keeps them."""
        return _lines(self.cleaned_data["blackouts"])

    def clean_voluntary_hours(self) -> str:
        """Write lines as the portal keeps them."""
        return _lines(self.cleaned_data["voluntary_hours"])

    def clean(self) -> dict[str, Any]:
        """Say what makes no policy, at the field it is about."""
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                check(cleaned)
            except InvalidPolicy as invalid:
                add_problems(self, invalid)
        return cleaned


class AssignForm(forms.Form):
    """Whom a policy is for."""

    scope = forms.ChoiceField(label="Whom", choices=PolicyScope.choices, initial=PolicyScope.DEVICE)
    target = forms.CharField(
        label="Id",
        max_length=128,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="The device's external id, or Leap's id of the meter or group. Empty for the whole fleet.",
    )


class PriceForm(forms.ModelForm):
    """What a program pays. It is saved by `dispatch.prices`, never by the form."""

    class Meta:
        model = ProgramPrice
        fields = ["program", "usd_per_kwh"]
        widgets = {"program": forms.TextInput(attrs={"list": "programs", "autocomplete": "off"})}

    def clean_usd_per_kwh(self) -> Decimal:
        """Refuse what is no price."""
        price: Decimal = self.cleaned_data["usd_per_kwh"]
        if not 0 <= price <= MOST_USD:
            raise forms.ValidationError("Give 0 to 1,000 dollars per kWh.")
        return price

    def validate_unique(self) -> None:
        """Accept a program that has a price: it gets the new one."""


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def add_problems(form: forms.BaseForm, invalid: InvalidPolicy) -> None:
    """Put each sentence at its field."""
    for field, sentence in invalid.problems.items():
        form.add_error(field, sentence)
