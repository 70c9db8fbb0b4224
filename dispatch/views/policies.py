"""Response policies: the list, one of them, writing it, and giving it to devices."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dispatch import policies, prices
from dispatch.domain.policies import NOTHING
from dispatch.domain.policy_checks import InvalidPolicy
from dispatch.domain.policy_templates import TEMPLATES
from dispatch.policy_models import ResponsePolicy
from dispatch.queries import known_programs
from dispatch.reading import policies as reading
from dispatch.reading.replays import read_rows
from dispatch.reading.zones import page_zone
from dispatch.replay_loading import count_late
from dispatch.replay_models import ReplayScope
from dispatch.replaying import ReplayRefused, request_replay
from dispatch.views.policy_forms import AssignForm, PolicyForm, PriceForm, add_problems
from dispatch.views.replay_forms import last_month, window_of

FOLLOW = "Its devices are planned again; only those whose schedule differs get a new one."
PRICED = "Devices under a price of comfort are planned again."
admins_only = permission_required("dispatch.administer", raise_exception=True)


@require_GET
def policy_list(request: HttpRequest) -> HttpResponse:
    """List policies, and offer templates for a new one."""
    return _list(request, form=PriceForm())


def _list(request: HttpRequest, *, form: PriceForm) -> HttpResponse:
    context = {
        "rows": reading.read_list(),
        "templates": reading.templates(),
        "prices": reading.read_prices(),
        "programs": known_programs(),
        "form": form,
    }
    return render(request, "dispatch/policies.html", context, status=422 if form.errors else 200)


@require_GET
def policy_detail(request: HttpRequest, policy_id: int) -> HttpResponse:
    """Show one policy."""
    return _show(request, policy_id, form=AssignForm())


def _show(request: HttpRequest, policy_id: int, *, form: AssignForm) -> HttpResponse:
    try:
        detail = reading.read_detail(policy_id)
    except ResponsePolicy.DoesNotExist as error:
        raise Http404("There is no such policy.") from error
    zone = page_zone(request)
    context = {"detail": detail, "form": form, "zone": zone, "replays": read_rows(policy_id, zone=zone)}
    return render(request, "dispatch/policy.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@admins_only
def policy_add(request: HttpRequest) -> HttpResponse:
    """Write a policy, from nothing or from a template."""
    if request.method == "POST":
        return _save(request, PolicyForm(request.POST), policy=None)
    template = TEMPLATES.get(request.GET.get("template", ""), {})
    return _ask(request, PolicyForm(initial={**NOTHING, **template}), policy=None)


@require_http_methods(["GET", "POST"])
@admins_only
def policy_edit(request: HttpRequest, policy_id: int) -> HttpResponse:
    """Change a policy; each change is a version."""
    policy = get_object_or_404(ResponsePolicy, pk=policy_id)
    if request.method == "POST":
        held = ResponsePolicy.objects.get(pk=policy_id)  # the form writes its answers into what it is given
        form = PolicyForm(request.POST, instance=held)
        return (_try if "replay" in request.POST else _save)(request, form, policy=policy)
    return _ask(request, PolicyForm(instance=policy), policy=policy)


def _ask(request: HttpRequest, form: PolicyForm, *, policy: ResponsePolicy | None) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "policy": policy}
    return render(request, "dispatch/policy_edit.html", context, status=422 if form.errors else 200)


def _save(request: HttpRequest, form: PolicyForm, *, policy: ResponsePolicy | None) -> HttpResponse:
    if form.is_valid():
        try:
            saved = policies.save_policy(
                policy_id=policy.pk if policy else None,
                content=form.cleaned_data,
                by=request.user.get_username(),
                now=timezone.now(),
            )
        except InvalidPolicy as invalid:
            add_problems(form, invalid)
        else:
            messages.success(request, f"Saved as {saved}. {FOLLOW}")
            return redirect("dispatch:policy-detail", saved.pk)
    return _ask(request, form, policy=policy)


def _try(request: HttpRequest, form: PolicyForm, *, policy: ResponsePolicy) -> HttpResponse:
    """Replay the last month under what is typed, in place of what the policy says; save nothing else."""
    if form.is_valid():
        now, zone = timezone.now(), page_zone(request)
        window = window_of(*last_month(zone=zone, now=now), zone=zone, now=now)
        late, total = count_late(window)
        try:
            replay = request_replay(
                policy_id=policy.pk,
                content=form.cleaned_data,
                scope=ReplayScope.GIVEN,
                taking_late=late * 2 > total,
                starts_at=window.start,
                ends_at=window.end,
                by=request.user.get_username(),
                now=now,
            )
        except ReplayRefused as refused:
            form.add_error(None, str(refused))
        else:
            return redirect("dispatch:policy-replay", policy.pk, replay.pk)
    return _ask(request, form, policy=policy)


@require_POST
@admins_only
def policy_delete(request: HttpRequest, policy_id: int) -> HttpResponse:
    """Delete a policy that nobody has."""
    policy = get_object_or_404(ResponsePolicy, pk=policy_id)
    try:
        policies.delete_policy(policy_id=policy.pk)
    except InvalidPolicy as invalid:
        messages.warning(request, f"{invalid} Nothing was changed.")
        return redirect("dispatch:policy-detail", policy.pk)
    messages.success(request, f"{policy.name} is deleted.")
    return redirect("dispatch:policies")


@require_POST
@admins_only
def policy_assign(request: HttpRequest, policy_id: int) -> HttpResponse:
    """Give a policy to the fleet, a group, a meter or a device."""
    policy = get_object_or_404(ResponsePolicy, pk=policy_id)
    form = AssignForm(request.POST)
    if form.is_valid():
        try:
            policies.assign_policy(policy_id=policy.pk, **form.cleaned_data, now=timezone.now())
        except InvalidPolicy as invalid:
            add_problems(form, invalid)
        else:
            messages.success(request, f"Given. {FOLLOW}")
            return redirect("dispatch:policy-detail", policy.pk)
    return _show(request, policy_id, form=form)


@require_POST
@admins_only
def policy_unassign(request: HttpRequest, policy_id: int) -> HttpResponse:
    """Take a policy from somebody."""
    policy = get_object_or_404(ResponsePolicy, pk=policy_id)
    form = AssignForm(request.POST)
    if form.is_valid():
        policies.unassign_policy(policy_id=policy.pk, **form.cleaned_data, now=timezone.now())
        messages.success(request, f"Taken away. {FOLLOW}")
    return redirect("dispatch:policy-detail", policy.pk)


@require_POST
@admins_only
def price_set(request: HttpRequest) -> HttpResponse:
    """Say what a program pays."""
    form = PriceForm(request.POST)
    if not form.is_valid():
        return _list(request, form=form)
    price = prices.set_price(**form.cleaned_data, now=timezone.now())
    messages.success(request, f"{price.program} pays {price.usd_per_kwh:.2f} $/kWh. {PRICED}")
    return redirect(f"{reverse('dispatch:policies')}#prices")


@require_POST
@admins_only
def price_remove(request: HttpRequest) -> HttpResponse:
    """Forget what a program pays."""
    program = request.POST.get("program", "")
    prices.remove_prices(programs=[program], now=timezone.now())
    messages.success(request, f"What {program} pays is not known any more. {PRICED}")
    return redirect(f"{reverse('dispatch:policies')}#prices")
