"""Mapping many devices at once, by a rule or a file of pairs: seen before, undone with a button."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from rest_framework import serializers

from devices import mapping_files
from devices.api.mapping import PairIn, read_pairs
from devices.domain.mapping_rules import Form, Pair, Rule
from devices.mapping import MappingChange
from devices.mapping_batches import (
    NothingToUndo,
    apply_batch,
    keep_rule,
    kept_rule,
    latest_batch,
    read_proposal,
    rule_as_json,
    undo,
)
from devices.models import MeterDevice
from dispatch.reading import mapping as reading
from dispatch.reading.words import counted
from dispatch.views.files import csv_file
from dispatch.views.importing import sentence_of, sentences_of, text_of
from meters.api.csv_import import rows_of
from meters.mapping_models import MappingSource

PAGE = "dispatch:mapping"
FORMS = [
    (Form.DEVICE.value, "The reference is the device's external id"),
    (Form.BEFORE_DEVICE.value, "A customer or site id, a separator, then the device's external id"),
    (Form.AFTER_DEVICE.value, "The device's external id, a separator, then a customer or site id"),
    (Form.SITE.value, "The reference is a site's name: all devices of the site"),
]


class RuleForm(forms.Form):
    """How a reference names devices."""

    form = forms.ChoiceField(
        label="What Leap's reference says", choices=FORMS, initial=Form.DEVICE.value, widget=forms.RadioSelect
    )
    separator = forms.CharField(
        label="Separator",
        max_length=8,
        required=False,
        strip=False,
        initial="-",
        help_text="Between the two, such as - or ::",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    ignores_case = forms.BooleanField(label="Capitals do not count", required=False)

    def clean(self) -> dict[str, Any]:
        """Ask for a separator where one is needed."""
        cleaned = super().clean() or self.cleaned_data
        needs_one = cleaned.get("form") in {Form.BEFORE_DEVICE, Form.AFTER_DEVICE}
        if needs_one and not cleaned.get("separator", "").strip():
            self.add_error("separator", "Write what stands between the two ids.")
        return cleaned

    def rule(self) -> Rule:
        """Return the rule that was chosen."""
        cleaned = self.cleaned_data
        form = Form(cleaned["form"])
        has_separator = form in {Form.BEFORE_DEVICE, Form.AFTER_DEVICE}
        return Rule(form, cleaned["ignores_case"], cleaned["separator"].strip() if has_separator else "")


@require_GET
def mapping(request: HttpRequest) -> HttpResponse:
    """Show what a rule would add; without one asked for, the kept one or the simplest."""
    kept = kept_rule()
    form = RuleForm(request.GET) if "form" in request.GET else RuleForm(_as_data(kept or Rule()))
    diff = reading.read_rule(form.rule(), now=timezone.now()) if form.is_valid() else None
    context = {
        "form": form,
        "diff": diff,
        "kept": kept,
        "is_kept": diff is not None and kept == form.rule(),
        "latest": latest_batch(),
    }
    return render(request, "dispatch/mapping.html", context, status=200 if diff else 422)


def _as_data(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = {"form": rule.form.value, "separator": rule.separator or "-"}
    return data | ({"ignores_case": "on"} if rule.ignores_case else {})


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def mapping_apply(request: HttpRequest) -> HttpResponse:
    """Add what the rule proposes, all of it as it was seen, or the pairs that were ticked."""
    form = RuleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose a rule first.")
        return redirect(PAGE)
    rule = form.rule()
    address = f"{reverse(PAGE)}?{form_query(request)}"
    proposed = read_proposal(rule).pairs
    if "chosen" in request.POST:
        ticked = {_pair(value) for value in request.POST.getlist("pair")}
        proposed = tuple(pair for pair in proposed if pair in ticked)
        if not proposed:
            messages.info(request, "Nothing was changed: tick the pairs to map.")
            return redirect(address)
    elif request.POST.get("digest") != reading.digest_of(proposed):
        messages.warning(
            request, "Nothing was changed: meanwhile the rule finds something else. Look again below."
        )
        return redirect(address)
    change = apply_batch(
        add=proposed,
        source=MappingSource.RULE,
        rule=rule_as_json(rule),
        by=request.user.get_username(),
        now=timezone.now(),
    )
    _tell(request, change)
    return redirect(address)


def form_query(request: HttpRequest) -> str:
    """Return the rule that was sent as part of an address."""
    query = request.POST.copy()
    for name in set(query) - {"form", "separator", "ignores_case"}:
        del query[name]
    return query.urlencode()


def _pair(value: str) -> Pair:
    """Read a ticked pair; what is none matches nothing."""
    meter, _, device = value.partition("-")
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in (meter, device)):
        return (0, 0)
    return int(meter), int(device)


def _tell(request: HttpRequest, change: MappingChange) -> None:
    """Say what was done, and how to undo it."""
    gone = f", {change.removed:,} taken away" if change.removed else ""
    messages.success(
        request,
        f"{counted(change.added, one='pair')} added{gone}. Being planned; Undo stands below.",
    )


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def mapping_undo(request: HttpRequest) -> HttpResponse:
    """Take the latest batch back."""
    batch = request.POST.get("batch", "")
    try:
        number = int(batch) if batch.isascii() and batch.isdecimal() and len(batch) < 19 else 0
        change = undo(number, by=request.user.get_username(), now=timezone.now())
    except NothingToUndo as refused:
        messages.warning(request, f"Nothing was undone. {refused}")
        return redirect(PAGE)
    back = f", {counted(change.added, one='pair')} put back" if change.added else ""
    messages.success(
        request, f"Undone: {counted(change.removed, one='pair')} taken away{back}. Apply again to redo."
    )
    return redirect(PAGE)


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def mapping_keep(request: HttpRequest) -> HttpResponse:
    """Have the rule map new meters after each sync, or stop that."""
    form = RuleForm(request.POST)
    by, now = request.user.get_username(), timezone.now()
    if "stop" in request.POST:
        keep_rule(None, by=by, now=now)
        messages.success(request, "New meters are mapped by people again. What was mapped stays.")
    elif form.is_valid():
        keep_rule(form.rule(), by=by, now=now)
        messages.success(request, "New meters without a device are mapped by this rule after each sync.")
    return redirect(f"{reverse(PAGE)}?{form_query(request)}")


@require_GET
def mapping_export(request: HttpRequest) -> HttpResponse:
    """Write all pairs as a file that could be imported again."""
    return csv_file("mapping.csv", mapping_files.COLUMNS, mapping_files.cells_of(MeterDevice.objects.all()))


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.administer", raise_exception=True)
def mapping_import(request: HttpRequest) -> HttpResponse:
    """Show what a file of pairs would change; apply it when that was seen."""
    is_whole = "whole" in request.POST
    if request.method == "GET":
        return _page(request)
    try:
        text = text_of(request)
        pairs, errors = read_pairs(rows_of(text, row_serializer=PairIn))
    except serializers.ValidationError as refused:
        return _page(request, problem=sentence_of(refused), is_whole=is_whole, status=422)
    if errors:
        listed = [
            (position + mapping_files.FIRST_ROW, sentences_of(each))
            for position, each in sorted(errors.items())
        ]
        return _page(request, text=text, errors=listed, is_whole=is_whole, status=422)
    diff = mapping_files.compare(pairs, is_whole=is_whole)
    now = timezone.now()
    if "apply" in request.POST:
        by = request.user.get_username()
        change = apply_batch(add=diff.added, remove=diff.removed, source=MappingSource.FILE, by=by, now=now)
        _tell(request, change)
        return redirect(PAGE)
    return _page(request, text=text, diff=reading.read_file(diff, now=now), is_whole=is_whole)


def _page(request: HttpRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    context["columns"] = mapping_files.COLUMNS
    return render(request, "dispatch/mapping_import.html", context, status=status)
