"""The certification page: the newest report, earlier ones, and the button that starts a run."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from leapvpp.certification.readiness import why_not_working
from leapvpp.certification.reporting import as_markdown, read_report
from leapvpp.certification.running import RunRefused, start_run
from leapvpp.leap.simulator.scenario import scenario_paths
from leapvpp.models import CertificationRun

EARLIER_RUNS = 20


@require_GET
def certification(request: HttpRequest, run_id: int | None = None) -> HttpResponse:
    """Show a run's report, the newest one's unless told."""
    runs = CertificationRun.objects.order_by("-pk")
    run = runs.first() if run_id is None else get_object_or_404(runs, pk=run_id)
    context = {
        "report": read_report(run) if run else None,
        "runs": list(runs[:EARLIER_RUNS]),
        "scenario_count": len(scenario_paths()),
    }
    return render(request, "leapvpp/certification.html", context)


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def start(request: HttpRequest) -> HttpResponse:
    """Begin a run that the workers play."""
    now = timezone.now()
    if reason := why_not_working(now=now):
        messages.error(request, f"The run was not started. {reason}")
        return redirect("certification")
    try:
        run = start_run(
            url=settings.PORTAL_URL, started_by=request.user.get_username(), is_in_worker=True, now=now
        )
    except RunRefused as refusal:
        messages.error(request, str(refusal))
        return redirect("certification")
    return redirect("certification-run", run_id=run.pk)


@require_GET
def report(request: HttpRequest, run_id: int) -> HttpResponse:
    """Hand out a run's report as a Markdown file."""
    run = get_object_or_404(CertificationRun, pk=run_id)
    text = as_markdown(run, list(run.results.order_by("position")))
    name = f"certification-{run.started_at:%Y-%m-%d}-{run.pk}.md"
    return HttpResponse(
        text,
        content_type="text/markdown; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
