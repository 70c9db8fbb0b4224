"""Jobs that create meters at Leap: drafts by file or form, sent by an admin, followed row by row."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dispatch.reading import onboarding as reading
from dispatch.reading.words import counted
from dispatch.reading.zones import page_zone
from dispatch.views.files import csv_file
from dispatch.views.onboarding_forms import JobForm, MeterForm, program_choices
from meters.domain.onboarding import BY_PROGRAM, template_columns
from meters.onboarding import JobRefused, check_again, discard_job, draft_job, send_again, send_job
from meters.onboarding_models import MeterJob


@require_GET
def job_list(request: HttpRequest) -> HttpResponse:
    """List jobs."""
    context = {"list": reading.read_jobs(request.GET), "zone": page_zone(request)}
    return render(request, "dispatch/onboarding.html", context)


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.operate", raise_exception=True)
def job_add(request: HttpRequest) -> HttpResponse:
    """Make a draft of a file; it shows row by row what would be sent."""
    if request.method == "GET":
        return _show_add(request, JobForm())
    form = JobForm(request.POST, request.FILES)
    if not form.is_valid():
        return _show_add(request, form)
    return _draft(
        request,
        form.cleaned_data["rows"],
        file_name=form.file_name,
        update_existing=form.cleaned_data["update_existing"],
    )


def _show_add(request: HttpRequest, form: JobForm) -> HttpResponse:
    context = {"form": form, "programs": program_choices()}
    return render(request, "dispatch/onboarding_add.html", context, status=422 if form.errors else 200)


def _draft(
    request: HttpRequest, rows: list[dict[str, str]], *, file_name: str, update_existing: bool
) -> HttpResponse:
    job = draft_job(
        rows,
        file_name=file_name,
        update_existing=update_existing,
        made_by=request.user.get_username(),
        now=timezone.now(),
    )
    return redirect("dispatch:meter-job", job.pk)


@require_http_methods(["GET", "POST"])
@permission_required("dispatch.operate", raise_exception=True)
def job_add_meter(request: HttpRequest) -> HttpResponse:
    """Make a draft of one meter."""
    program = request.POST.get("program", request.GET.get("program", "")).upper()
    program = program if program in BY_PROGRAM else ""
    if request.method == "GET":
        return _show_meter(request, MeterForm(program=program))
    form = MeterForm(request.POST, program=program)
    if not form.is_valid():
        return _show_meter(request, form)
    name = f"{form.cleaned_data['partner_reference']} by form"
    return _draft(request, [form.cells], file_name=name, update_existing=form.cleaned_data["update_existing"])


def _show_meter(request: HttpRequest, form: MeterForm) -> HttpResponse:
    rule = BY_PROGRAM.get(form.program)
    context = {"form": form, "programs": program_choices(), "rule": rule, "current": rule and rule.codes[0]}
    return render(request, "dispatch/onboarding_meter.html", context, status=422 if form.errors else 200)


@require_GET
def job_template(request: HttpRequest) -> HttpResponse:
    """Give a file with the columns alone, what is needed first."""
    return csv_file("meters-to-create.csv", template_columns(request.GET.get("program", "")), ())


@require_GET
def job_detail(request: HttpRequest, job_id: int) -> HttpResponse:
    """Show a job and what became of its rows."""
    job = get_object_or_404(MeterJob, pk=job_id)
    context = {"detail": reading.read_job(job, request.GET), "zone": page_zone(request)}
    return render(request, "dispatch/onboarding_job.html", context)


@require_GET
def job_rows(request: HttpRequest, job_id: int) -> HttpResponse:
    """Give the rows that cannot be sent or failed as a file to correct and send again."""
    job = get_object_or_404(MeterJob, pk=job_id)
    columns, rows = reading.rows_to_correct(job)
    return csv_file(f"job-{job.pk}-to-correct.csv", columns, rows)


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def job_send(request: HttpRequest, job_id: int) -> HttpResponse:
    """Have a draft sent to Leap."""
    get_object_or_404(MeterJob, pk=job_id)
    return _act(
        request,
        job_id,
        lambda: send_job(job_id, by=request.user.get_username(), now=timezone.now()),
        "The job is on its way to Leap. What becomes of each meter appears here.",
    )


@require_POST
@permission_required("dispatch.administer", raise_exception=True)
def job_send_again(request: HttpRequest, job_id: int) -> HttpResponse:
    """Send the batches again that Leap refused as a whole."""
    get_object_or_404(MeterJob, pk=job_id)
    return _act(
        request,
        job_id,
        lambda: send_again(job_id, now=timezone.now()),
        "What Leap had refused is on its way again.",
    )


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def job_check(request: HttpRequest, job_id: int) -> HttpResponse:
    """Check a draft again, with or without changing meters whose reference exists."""
    get_object_or_404(MeterJob, pk=job_id)
    updates = request.POST.get("update_existing") == "yes"
    return _act(
        request,
        job_id,
        lambda: check_again(job_id, update_existing=updates),
        "Checked again.",
    )


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def job_discard(request: HttpRequest, job_id: int) -> HttpResponse:
    """Take a draft back."""
    job = get_object_or_404(MeterJob, pk=job_id)
    try:
        discard_job(job_id)
    except JobRefused as refused:
        messages.error(request, str(refused))
        return redirect("dispatch:meter-job", job_id)
    rows = counted(job.rows_count, one="row")
    messages.success(request, f"The draft {job.file_name} with {rows} is discarded. Nothing was sent.")
    return redirect("dispatch:onboarding")


def _act(request: HttpRequest, job_id: int, act: Any, done: str) -> HttpResponse:
    try:
        act()
    except JobRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, done)
    return redirect("dispatch:meter-job", job_id)
