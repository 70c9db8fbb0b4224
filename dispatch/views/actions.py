"""Required actions: what unblocks the most power before which deadline, who does it, and what they note."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dispatch.reading import actions as reading
from dispatch.reading import words
from dispatch.reading.listing import PAGE_SIZE
from dispatch.reading.zones import page_zone
from dispatch.views.files import csv_file
from dispatch.views.way_back import back_to
from meters.assigning import LONGEST_NOTE, Assignment, assign
from meters.enrollment_models import RequiredAction

MOST_DIGITS = 18
LEAVE = ""
"""The choice of an owner that changes none."""
COLUMNS = (
    "meter_id",
    "meter",
    "partner_reference",
    "kw",
    "party",
    "program",
    "delivery_period",
    "action_type",
    "action_code",
    "description",
    "deadline_utc",
    "appeared_utc",
    "resolved_utc",
    "also_waits_for",
    "owner",
    "note",
)


@require_GET
def action_list(request: HttpRequest) -> HttpResponse:
    """List required actions in groups."""
    context = {
        "list": reading.read_list(request.GET, user=request.user, now=timezone.now()),
        "zone": page_zone(request),
    }
    return render(request, "dispatch/actions.html", context)


@require_GET
def action_group(request: HttpRequest) -> HttpResponse:
    """Show one group with its meters."""
    try:
        detail = reading.read_group(request.GET, now=timezone.now())
    except ValueError as error:
        raise Http404("No action has such a deadline.") from error
    context = {
        "detail": detail,
        "zone": page_zone(request),
        "owners": list(reading.owners()),
        "longest_note": LONGEST_NOTE,
        "nobody": reading.NOBODY,
    }
    return render(request, "dispatch/action_group.html", context)


@require_GET
def action_export(request: HttpRequest) -> HttpResponse:
    """Write the actions that the list, or a group's page, shows as a file, one a line."""
    if "type" in request.GET and "party" in request.GET:
        try:
            key = reading.key_in(request.GET)
        except ValueError as error:
            raise Http404("No action has such a deadline.") from error
        found = reading.of_group(key, is_resolved=request.GET.get("show") == "resolved")
        rows: QuerySet[Any] = reading.with_meter(found).order_by("meter__name", "pk")
    else:
        rows = reading.export_rows(request.GET, user=request.user, now=timezone.now())
    return csv_file("required-actions.csv", COLUMNS, _cells(rows))


def _cells(rows: QuerySet[Any]) -> Iterator[list[str]]:
    for row in rows.iterator(chunk_size=2000):
        yield [
            row.meter.meter_id,
            str(row.meter),
            row.meter.partner_reference,
            "" if row.kw is None else f"{round(Decimal(row.kw), 3).normalize():f}",
            row.party,
            row.program,
            row.delivery_period,
            row.action_type,
            row.action_code,
            row.description,
            *(
                f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
                for at in (row.deadline_at, row.appeared_at, row.resolved_at)
            ),
            str(row.others),
            row.owner.get_username() if row.owner else "",
            row.note,
        ]


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def action_assign(request: HttpRequest) -> HttpResponse:
    """Give the actions that the page showed, or all of a group, an owner and a note.

    Notes that are there stay, unless they are to be replaced.
    """
    found = _named(request)
    owner, sets_owner = _owner(request)
    note = request.POST.get("note", "").strip()
    wanted = Assignment(
        sets_owner=sets_owner,
        owner_id=owner.pk if owner else None,
        note=note or None,
        keeps_notes="replace" not in request.POST,
    )
    if not sets_owner and not note:
        messages.warning(request, "Nothing was changed: choose an owner, or type a note.")
        return back_to(request, otherwise=reverse("dispatch:actions"))
    before = _owned_before(found) if sets_owner else ""
    count = assign(found, wanted, by=request.user.get_username(), now=timezone.now())
    messages.success(request, _done(count, owner=owner, sets_owner=sets_owner, note=note, before=before))
    return back_to(request, otherwise=reverse("dispatch:actions"))


@require_POST
@permission_required("dispatch.operate", raise_exception=True)
def action_edit(request: HttpRequest, action_id: int) -> HttpResponse:
    """Write owner and note of one action as they stand in the form."""
    action = get_object_or_404(RequiredAction.objects.select_related("owner"), pk=action_id)
    owner, sets_owner = _owner(request)
    wanted = Assignment(
        sets_owner=sets_owner, owner_id=owner.pk if owner else None, note=request.POST.get("note", "")
    )
    assign(
        RequiredAction.objects.filter(pk=action.pk),
        wanted,
        by=request.user.get_username(),
        now=timezone.now(),
    )
    was = [f"owner {action.owner.get_username() if action.owner else 'nobody'}"] if sets_owner else []
    was += [f"note “{action.note}”" if action.note else "no note"]
    messages.success(request, f"Saved. Before: {', '.join(was)}.")
    return back_to(request, otherwise=reverse("dispatch:actions"))


def _named(request: HttpRequest) -> QuerySet[RequiredAction]:
    """Return the actions a form names: those shown, or the whole group in its address.

    Raises:
        BadRequest: what is named is no number, or no group.
    """
    if request.POST.get("which") == "group":
        try:
            key = reading.key_in(request.POST)
        except ValueError as error:
            raise BadRequest("No action has such a deadline.") from error
        return reading.of_group(key, is_resolved=False)
    texts = request.POST.getlist("shown")[:PAGE_SIZE]
    if not all(text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS for text in texts):
        raise BadRequest("No action has such a number.")
    return RequiredAction.objects.filter(pk__in=[int(text) for text in texts], resolved_at__isnull=True)


def _owner(request: HttpRequest) -> tuple[Any, bool]:
    """Return the owner chosen, null for nobody, and whether one was chosen at all.

    Raises:
        BadRequest: nobody of this name may own anything.
    """
    name = request.POST.get("owner", LEAVE)
    if name == LEAVE:
        return None, False
    if name == reading.NOBODY:
        return None, True
    owner = reading.owners().filter(username=name).first()
    if owner is None:
        raise BadRequest("Nobody of this name may sign in.")
    return owner, True


def _owned_before(found: QuerySet[RequiredAction]) -> str:
    """Say who had them before, as the way back: "nobody 38, bob 4"."""
    rows = found.order_by().values("owner__username").annotate(count=Count("pk")).order_by("-count")
    return ", ".join(f"{row['owner__username'] or 'nobody'} {row['count']:,}" for row in rows[:5])


def _done(count: int, *, owner: Any, sets_owner: bool, note: str, before: str) -> str:
    if not count:
        return "Nothing to change: they are resolved."
    said = [words.counted(count, one="action")]
    if sets_owner:
        said.append(f"now {owner.get_username()}'s" if owner else "now nobody's")
    if note:
        said.append("noted")
    back = f" Before: {before}. To undo, choose the owner again." if before else ""
    return f"{' '.join(said[:2])}{', noted' if sets_owner and note else ''}.{back}"
