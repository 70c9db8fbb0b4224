"""Replays: asking what a policy would have changed, and looking at the answer."""

from __future__ import annotations

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from dispatch.policy_models import ResponsePolicy
from dispatch.reading.replays import read_replay
from dispatch.reading.zones import page_zone, zone_words
from dispatch.replay_loading import count_late
from dispatch.replay_models import Baseline, PolicyReplay, ReplayScope
from dispatch.replaying import ReplayRefused, is_given, request_replay
from dispatch.views.replay_forms import ReplayForm, last_month, window_of

operators_only = permission_required("dispatch.operate", raise_exception=True)


@require_http_methods(["GET", "POST"])
@operators_only
def replay_add(request: HttpRequest, policy_id: int) -> HttpResponse:
    """Ask for a replay of a policy, the last month's unless told."""
    policy = get_object_or_404(ResponsePolicy, pk=policy_id)
    now, zone = timezone.now(), page_zone(request)
    if request.method == "GET":
        return _ask(request, policy, _offer(request, policy))
    form = ReplayForm(request.POST)
    if form.is_valid():
        try:
            replay = request_replay(
                policy_id=policy.pk,
                **form.asked(zone=zone, now=now),
                by=request.user.get_username(),
                now=now,
            )
        except ReplayRefused as refused:
            form.add_error(None, str(refused))
        else:
            return redirect("dispatch:policy-replay", policy.pk, replay.pk)
    return _ask(request, policy, form)


def _offer(request: HttpRequest, policy: ResponsePolicy) -> ReplayForm:
    """Fill the form: whom it is given to against no policy, else the fleet against what is in force."""
    zone, now = page_zone(request), timezone.now()
    first, last = last_month(zone=zone, now=now)
    late, total = count_late(window_of(first, last, zone=zone, now=now))
    given = is_given(policy)
    return ReplayForm(
        initial={
            "first": first,
            "last": last,
            "scope": ReplayScope.GIVEN if given else ReplayScope.FLEET,
            "baseline": Baseline.NONE if given else Baseline.IN_FORCE,
            "taking_late": late * 2 > total,
        },
        late_help=_late_in_words(late, total),
    )


def _late_in_words(late: int, total: int) -> str:
    if not late:
        return ""
    return f"Of the {total:,} events of the last month {late:,} came only once they were over."


def _ask(request: HttpRequest, policy: ResponsePolicy, form: ReplayForm) -> HttpResponse:
    context = {"policy": policy, "form": form, "zone_words": zone_words(page_zone(request))}
    return render(request, "dispatch/policy_replay_add.html", context, status=422 if form.errors else 200)


@require_GET
def replay_detail(request: HttpRequest, policy_id: int, replay_id: int) -> HttpResponse:
    """Show how far a replay is, and then what came of it."""
    zone = page_zone(request)
    try:
        page = read_replay(policy_id, replay_id, zone=zone)
    except PolicyReplay.DoesNotExist as error:
        raise Http404("There is no such replay, or no more: the latest 20 of a policy are kept.") from error
    return render(request, "dispatch/policy_replay.html", {"page": page, "zone": zone})
