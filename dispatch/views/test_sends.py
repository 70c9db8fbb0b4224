"""Tests: have Leap send one, and see it come back."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from dispatch import sending_tests
from dispatch.models import TestKind
from dispatch.reading import test_sends as reading
from dispatch.reading.zones import page_zone, zone_name, zone_named, zone_words
from dispatch.views.override_forms import WHEN
from meters.models import MarketGroup, Meter

QUARTER = timedelta(minutes=15)


class TestForm(forms.Form):
    """Which test, for whom, when. Times are typed in the page's zone."""

    __test__ = False

    kind = forms.ChoiceField(
        label="Which test", choices=TestKind.choices, initial=TestKind.INTEGRATION, widget=forms.RadioSelect
    )
    group = forms.ChoiceField(label="Market group", required=False)
    meter_id = forms.CharField(
        label="or one meter's id",
        required=False,
        max_length=64,
        help_text="Leap's id, as on the meter's page. Leave the group empty then.",
    )
    starts_at = forms.DateTimeField(
        label="From", widget=WHEN, error_messages={"invalid": "Write a date and a time."}
    )
    ends_at = forms.DateTimeField(
        label="Until", widget=WHEN, error_messages={"invalid": "Write a date and a time."}
    )
    energy_kw = forms.DecimalField(
        label="Power in kW",
        required=False,
        min_value=Decimal("0.01"),
        max_value=100_000,
        max_digits=12,
        decimal_places=3,
        help_text="Empty: the maximum.",
    )
    program = forms.CharField(label="Program", max_length=64, help_text="As Leap writes it, such as CCA.")
    is_approved = forms.BooleanField(
        label="Approve: devices move",
        required=False,
        help_text="For a communication test. Without it Leap only says what it would reach.",
    )

    def __init__(self, *args: Any, groups: tuple[tuple[str, str], ...], now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.fields["group"].choices = [("", "None"), *groups]  # type: ignore[attr-defined]  # a choice field

    def clean(self) -> dict[str, Any]:
        """Find the meters of the group, or the one meter."""
        cleaned = super().clean() or self.cleaned_data
        group, meter_id = cleaned.get("group", ""), cleaned.get("meter_id", "").strip().lower()
        if bool(group) == bool(meter_id):
            self.add_error("group", "Choose a market group, or type one meter's id.")
        elif group:
            cleaned["meter_ids"] = reading.meters_of_group(group, now=self.now)
        elif Meter.objects.filter(meter_id=meter_id).exists():
            cleaned["meter_ids"] = (meter_id,)
        else:
            self.add_error("meter_id", "No meter has this id. Copy it from the meter's page.")
        return cleaned


@require_http_methods(["GET", "POST"])
def tests(request: HttpRequest) -> HttpResponse:
    """List tests with how far each came; an operator sends another."""
    now = timezone.now()
    zone = zone_named(request.POST.get("zone", "")) or page_zone(request)
    with timezone.override(zone):
        groups = reading.groups_offered()
        if request.method == "GET":
            return _show(
                request, TestForm(initial=_usual(groups, now=now), groups=groups, now=now), zone=zone
            )
        if not request.user.has_perm("dispatch.operate"):
            raise PermissionDenied
        form = TestForm(request.POST, groups=groups, now=now)
        if form.is_valid() and _ask(request, form):
            return redirect("dispatch:tests")
        return _show(request, form, zone=zone)


def _usual(groups: tuple[tuple[str, str], ...], *, now: datetime) -> dict[str, Any]:
    """Offer the first group and the hour that begins with the next quarter."""
    start = now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % QUARTER + QUARTER
    key = groups[0][0] if groups else ""
    program = MarketGroup.objects.filter(market_group_id=key).values_list("program", flat=True).first()
    return {
        "group": key,
        "program": program or "CCA",
        "starts_at": start,
        "ends_at": start + timedelta(hours=1),
        "energy_kw": 10,
    }


def _ask(request: HttpRequest, form: TestForm) -> bool:
    """Ask for the test; a refusal stands above the form."""
    wanted = form.cleaned_data
    try:
        test = sending_tests.ask_for_test(
            kind=wanted["kind"],
            market_group_id=wanted["group"],
            meter_ids=wanted["meter_ids"],
            starts_at=wanted["starts_at"],
            ends_at=wanted["ends_at"],
            energy_kw=wanted["energy_kw"],
            program=wanted["program"],
            is_approved=wanted["is_approved"],
            created_by=request.user.get_username(),
            now=form.now,
        )
    except sending_tests.TestRefused as refused:
        form.add_error(None, str(refused))
        return False
    messages.success(
        request, f"{test.get_kind_display()} is on its way to Leap. Its steps appear on this page."
    )
    return True


def _show(request: HttpRequest, form: TestForm, *, zone: tzinfo) -> HttpResponse:
    context = {
        "form": form,
        "list": reading.read_list(request.GET, now=form.now),
        "zone": zone,
        "zone_name": zone_name(zone),
        "zone_words": zone_words(zone),
        "has_key": bool(settings.LEAP_API_KEY),
        "leap_address": settings.LEAP_API_BASE_URL,
    }
    return render(request, "dispatch/tests.html", context, status=422 if form.errors else 200)
