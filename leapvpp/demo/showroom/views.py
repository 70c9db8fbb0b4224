"""The pages of the scenarios, in a demo alone: everybody reads, operators play."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dispatch.reading.zones import zone_words
from leapvpp.demo.showroom.reading import read_cards, read_shown
from leapvpp.demo.showroom.running import ask_for_play
from leapvpp.demo.showroom.scenarios import SCENARIOS, Scenario

View = Callable[..., HttpResponse]


def demo_only(view: View) -> View:
    """Answer 404 where no demo runs: nobody would play."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
        if not settings.IS_DEMO:
            raise Http404("Scenarios are played in the demo.")
        return view(request, *args, **named)

    return guarded


@require_GET
@demo_only
def scenarios(request: HttpRequest) -> HttpResponse:
    """Show a card a scenario."""
    cards = read_cards()
    context = {"cards": cards, "is_open": any(card.is_open for card in cards)}
    return render(request, "leapvpp/scenarios.html", context)


@require_GET
@demo_only
def scenario(request: HttpRequest, key: str) -> HttpResponse:
    """Show one scenario: its steps, what came of them, and its devices."""
    chosen = _find(key)
    now = timezone.now()
    context = {
        "shown": read_shown(chosen, now=now),
        "scenario": chosen,
        "zone": chosen.zone,
        "zone_label": zone_words(chosen.zone),
    }
    return render(request, "leapvpp/scenario.html", context)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
@demo_only
def play(request: HttpRequest, key: str) -> HttpResponse:
    """Have a scenario played."""
    chosen = _find(key)
    if not ask_for_play(key=chosen.key, asked_by=request.user.get_username(), now=timezone.now()):
        messages.warning(request, "It is being played already.")
    return redirect("scenario", key=chosen.key)


def _find(key: str) -> Scenario:
    if key not in SCENARIOS:
        raise Http404("There is no such scenario.")
    return SCENARIOS[key]
