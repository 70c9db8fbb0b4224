"""Requests about participation in the REST API: asked for by the same checks as on the pages."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from dispatch import taking_part
from meters.api.fields import CodeField
from meters.api.filters import CodeFilter, MeterIdFilter
from meters.domain.participation import LONGEST_REASON, Asked, Days, Kind
from meters.participation_models import (
    ParticipationItem,
    ParticipationKind,
    ParticipationOutcome,
    ParticipationRequest,
    ParticipationState,
)

PROBLEMS_SHOWN = 100


class ParticipationIn(serializers.Serializer):
    """What to ask of Leap for some meters, on days of each meter's own clock."""

    kind = CodeField(ParticipationKind)
    meter_ids = serializers.ListField(
        child=serializers.CharField(max_length=64), min_length=1, help_text="Leap's ids, each once."
    )
    starts_on = serializers.DateField(help_text="The first day, by each meter's own clock.")
    ends_on = serializers.DateField(
        required=False, allow_null=True, default=None, help_text="Of an idle period: its last day, idle too."
    )
    reason = serializers.CharField(
        max_length=LONGEST_REASON,
        allow_blank=True,
        default="",
        help_text="Leap is told it of a disenrollment, which needs one.",
    )
    opt_out_now = serializers.BooleanField(
        default=True,
        help_text="For idle and disenroll: opt the meters out here as well, from their first day on, as Leap "
        "may still call them.",
    )
    confirm_commitment = serializers.BooleanField(
        default=False, help_text="That opt-out needs this said where it breaks a commitment."
    )
    dry_run = serializers.BooleanField(default=False, help_text="Check and tell, and ask Leap nothing.")


class ParticipationItemOut(serializers.Serializer):
    """What came of one meter. `[starts_at, ends_at)`: its days in UTC."""

    meter_id = serializers.CharField(source="meter.meter_id")
    timezone = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Null has no end.")
    outcome = CodeField(
        ParticipationOutcome, help_text="`dropped`: Leap left it out without a word, or does not know it."
    )
    detail = serializers.CharField()


class ParticipationOut(serializers.Serializer):
    """A request, and in figures what came of it."""

    id = serializers.IntegerField()
    kind = CodeField(ParticipationKind)
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(allow_null=True)
    reason = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    state = CodeField(
        ParticipationState, help_text="`waiting` also while Leap is away; `unclear`: Leap never answered."
    )
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(help_text="While it waits: not before.")
    finished_at = serializers.DateTimeField(allow_null=True)
    detail = serializers.CharField(help_text="Why it waits or failed, in Leap's words.")
    outcomes = serializers.SerializerMethodField(help_text="Meters by outcome.")

    def get_outcomes(self, request: ParticipationRequest) -> dict[str, int]:
        """Count what came of its meters."""
        counted: dict[str, int] = self.context["outcomes"].get(request.pk, {})
        return counted


class ParticipationDetailOut(ParticipationOut):
    """A request with what came of each meter."""

    meters = ParticipationItemOut(source="items", many=True)


class ParticipationFindingOut(serializers.Serializer):
    """How one meter would fare."""

    meter_id = serializers.CharField()
    problem = serializers.CharField(help_text="Why Leap cannot be asked about it; empty when it can.")
    warnings = serializers.ListField(child=serializers.CharField())
    starts_at = serializers.DateTimeField(source="window.starts_at", default=None, allow_null=True)
    ends_at = serializers.DateTimeField(source="window.ends_at", default=None, allow_null=True)


class ParticipationDryRunOut(serializers.Serializer):
    """What a request would come to."""

    dry_run = serializers.BooleanField()
    meters = ParticipationFindingOut(many=True)


class ParticipationFilter(filters.FilterSet):
    """Which requests."""

    kind = CodeFilter(choices=ParticipationKind)
    state = CodeFilter(choices=ParticipationState)
    meter_id = MeterIdFilter(field_name="items__meter__meter_id", distinct=True)


@extend_schema_view(
    list=extend_schema(summary="List requests about participation, newest first"),
    retrieve=extend_schema(
        summary="Show a request with what came of each meter", responses=ParticipationDetailOut
    ),
)
class ParticipationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """What was asked of Leap about who rests, takes part or leaves."""

    serializer_class = ParticipationOut
    filterset_class = ParticipationFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ParticipationRequest.objects.order_by("-pk")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Count the outcomes of a page in one query."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        shown = ParticipationOut(page, many=True, context=_counted([each.pk for each in page or ()]))
        return self.get_paginated_response(shown.data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Bring the meters along."""
        return Response(_shown(self.get_object().pk))

    @extend_schema(
        summary="Ask Leap to let meters rest, participate or leave",
        request=ParticipationIn,
        responses={
            200: ParticipationDryRunOut,
            201: ParticipationDetailOut,
        },
    )
    def create(self, request: Request) -> Response:
        """Store the request for a worker to send; 400 names every meter that Leap cannot be asked about."""
        given = ParticipationIn(data=request.data)
        given.is_valid(raise_exception=True)
        wanted, now = given.validated_data, timezone.now()
        asked = Asked(
            Kind(wanted["kind"]), Days(wanted["starts_on"], wanted["ends_on"]), reason=wanted["reason"]
        )
        checked = taking_part.check(asked=asked, meter_ids=wanted["meter_ids"], now=now)
        if checked.fields:
            raise serializers.ValidationError({name: [text] for name, text in checked.fields.items()})
        if wanted["dry_run"]:
            found = {"dry_run": True, "meters": checked.findings}
            return Response(ParticipationDryRunOut(found).data)
        problems = [f"{each.meter_id}: {each.problem}" for each in checked.refused]
        problems += [f"{each}: It is named twice." for each in checked.twice]
        if problems:
            raise serializers.ValidationError({"meter_ids": problems[:PROBLEMS_SHOWN]})
        stored = self._ask(checked, wanted, by=request.user.get_username())
        return Response(_shown(stored.pk), status=status.HTTP_201_CREATED)

    def _ask(self, checked: taking_part.Checked, wanted: dict[str, Any], *, by: str) -> ParticipationRequest:
        try:
            return taking_part.ask(
                checked=checked,
                is_gated=wanted["opt_out_now"],
                confirm_commitment=wanted["confirm_commitment"],
                by=by,
                now=timezone.now(),
            )
        except taking_part.ParticipationRefused as refused:
            raise serializers.ValidationError({"non_field_errors": [str(refused)]}) from None


def _counted(request_ids: list[int]) -> dict[str, Any]:
    """Count the outcomes of requests. One query."""
    items = ParticipationItem.objects.filter(request__in=request_ids).order_by()
    outcomes: dict[int, dict[str, int]] = {}
    for request_id, outcome, count in items.values_list("request_id", "outcome").annotate(count=Count("id")):
        outcomes.setdefault(request_id, {})[outcome.lower()] = count
    return {"outcomes": outcomes}


def _shown(request_id: int) -> Any:
    """Read a request back as the API shows it. Four queries."""
    found: QuerySet[ParticipationRequest] = ParticipationRequest.objects.prefetch_related("items__meter")
    return ParticipationDetailOut(found.get(pk=request_id), context=_counted([request_id])).data
