"""Resources of the REST API about what Leap asked; writing goes through the stages' own functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from dispatch import overrides, recording, settling
from dispatch.api.filters import DoubtFilter, EventFilter, NotificationFilter, OverlapFilter, OverrideFilter
from dispatch.api.serializers import (
    DoubtOut,
    EventDetailOut,
    EventOut,
    NotificationOut,
    OverlapOut,
    OverrideIn,
    OverrideOut,
    PolicyOut,
    PreviewOut,
    ProgramPriceOut,
    ReadinessOut,
    RevisionOut,
    SettleIn,
)
from dispatch.history import recall
from dispatch.intake.document import NotADocument
from dispatch.models import (
    DispatchEvent,
    DispatchNotification,
    Doubt,
    EventRevision,
    NotificationItem,
    Overlap,
    Override,
)
from dispatch.policy_models import PolicyAssignment, ProgramPrice, ResponsePolicy
from dispatch.preview import MOST_TIMESLOTS, TooManyTimeslots, preview
from dispatch.reading.readiness import read_readiness
from meters.api.filters import moment_asked

ROW_ID = "[0-9]{1,18}"


class ShortPage(PageNumberPagination):
    """For rows that carry long lists."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100


class EventPage(ShortPage):
    """As long as others by default; each event names all of its meters."""

    page_size = 50


@extend_schema_view(
    list=extend_schema(
        summary="List events",
        description="Newest window first. Filters combine; windows are half-open, so an event that ends at "
        "`ends_after` or begins at `starts_before` is left out.",
    ),
)
class EventViewSet(mixins.ListModelMixin, GenericViewSet):
    """The lasting things Leap asks for, at meter and at group level."""

    serializer_class = EventOut
    filterset_class = EventFilter
    pagination_class = EventPage
    lookup_value_regex = ROW_ID
    # A set of recipients may be long and is shared by many events: loaded once, not joined to each.
    queryset = DispatchEvent.objects.prefetch_related("recipients").order_by("-starts_at", "-pk")

    def get_serializer_context(self) -> dict[str, Any]:
        """Read the clock once a request."""
        return {**super().get_serializer_context(), "now": timezone.now()}

    @extend_schema(
        summary="Show an event",
        responses=EventDetailOut,
        parameters=[
            OpenApiParameter(
                "as_of",
                datetime,
                description="What was known and how it stood then; 404 before it was.",
            )
        ],
    )
    def retrieve(self, request: Request, **_: str) -> Response:
        """Show an event, or what was known of it at a time. What planning made of it is always today's."""
        event, at = self.get_object(), moment_asked(request, name="as_of")
        if at and not recall(event, at=at):
            raise NotFound("Nothing was known of this event then.")
        shown = self.get_serializer_context() | ({"now": at} if at else {})
        return Response(EventDetailOut(event, context=shown).data)

    @extend_schema(summary="List an event's revisions", responses=RevisionOut(many=True), filters=False)
    @action(detail=True, filterset_class=None, filter_backends=[])
    def revisions(self, request: Request, **_: str) -> Response:
        """List what the portal accepted about the event, oldest first, with what changed each time."""
        rows = EventRevision.objects.filter(event=self.get_object()).order_by("number")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(RevisionOut(page, many=True).data)

    @extend_schema(summary="Show how ready an event is", responses=ReadinessOut, filters=False)
    @action(detail=True, filterset_class=None, filter_backends=[])
    def readiness(self, request: Request, **_: str) -> Response:
        """Count the devices that will run by where they stand, in the stretch in which most of them run.

        Devices that take set-points cannot confirm them ahead: those that are online count as ready.
        """
        return Response(ReadinessOut(read_readiness(self.get_object())).data)


@extend_schema_view(
    list=extend_schema(summary="List doubts", description="Newest first."),
    retrieve=extend_schema(summary="Show a doubt"),
)
class DoubtViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Bodies that may be late retries. Leap's search settles them, or an operator."""

    serializer_class = DoubtOut
    filterset_class = DoubtFilter
    lookup_value_regex = ROW_ID
    queryset = Doubt.objects.select_related("event").order_by("-pk")

    @extend_schema(summary="Settle a doubt", request=SettleIn, responses=DoubtOut)
    @action(detail=True, methods=["post"])
    def settle(self, request: Request, **_: str) -> Response:
        """Keep what is held or take what is doubted. 400 when it was settled meanwhile."""
        doubt = self.get_object()
        given = SettleIn(data=request.data)
        given.is_valid(raise_exception=True)
        decide = settling.keep_held if given.validated_data["verdict"] == "keep" else settling.take_doubted
        try:
            decide(doubt_id=doubt.pk, by=request.user.get_username(), now=timezone.now())
        except settling.DoubtOvertaken:
            sentence = "This doubt has been settled already."
            raise serializers.ValidationError({"non_field_errors": [sentence]}) from None
        return Response(self.get_serializer(self.get_queryset().get(pk=doubt.pk)).data)


@extend_schema_view(
    list=extend_schema(
        summary="List notifications", description="Newest first, with the outcome per timeslot."
    ),
    retrieve=extend_schema(summary="Show a notification"),
)
class NotificationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Bodies as received. Bytes and headers are shown on the portal's pages only."""

    serializer_class = NotificationOut
    filterset_class = NotificationFilter
    pagination_class = ShortPage
    lookup_value_regex = ROW_ID
    queryset = (
        DispatchNotification.objects.defer("body", "headers")
        .prefetch_related(Prefetch("items", NotificationItem.objects.order_by("position")))
        .order_by("-pk")
    )

    @extend_schema(summary="Replay a notification", request=None, responses=NotificationOut)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, **_: str) -> Response:
        """Try again what of the stored body could not be used; answers with the row after it."""
        notification = self.get_object()
        recording.replay_notification(notification_id=notification.pk, now=timezone.now())
        return Response(self.get_serializer(self.get_queryset().get(pk=notification.pk)).data)


@extend_schema_view(
    list=extend_schema(
        summary="List overlaps",
        description="True overlaps only: events that merely touch are none. Newest window first.",
    ),
)
class OverlapViewSet(mixins.ListModelMixin, GenericViewSet):
    """Where live events meet on a device: what was chosen, and why."""

    serializer_class = OverlapOut
    filterset_class = OverlapFilter
    queryset = Overlap.objects.order_by("-starts_at", "-pk")


@contextmanager
def refusals_as_problems() -> Iterator[None]:
    """Answer 400 with the sentence that says why an override is refused."""
    try:
        yield
    except overrides.OverrideRefused as refused:
        raise serializers.ValidationError({"non_field_errors": [str(refused)]}) from None


@extend_schema_view(
    list=extend_schema(summary="List overrides", description="Newest first."),
    retrieve=extend_schema(summary="Show an override"),
)
class OverrideViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """People's words over the plan: hold, opt out, force; each with who, why, from and until."""

    serializer_class = OverrideOut
    filterset_class = OverrideFilter
    lookup_value_regex = ROW_ID
    queryset = Override.objects.order_by("-pk")

    @extend_schema(summary="Make an override", request=OverrideIn, responses={201: OverrideOut})
    def create(self, request: Request) -> Response:
        """Make an override and plan the devices it reaches again. 400 says why one is refused."""
        given = OverrideIn(data=request.data)
        given.is_valid(raise_exception=True)
        now = timezone.now()
        fields = {"starts_at": now} | given.validated_data
        with refusals_as_problems():
            override = overrides.add_override(**fields, created_by=request.user.get_username(), now=now)
        return Response(self.get_serializer(override).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="End an override", request=None, responses=OverrideOut)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, **_: str) -> Response:
        """End an override now; the plan it stood over returns."""
        override = self.get_object()
        by = request.user.get_username()
        with refusals_as_problems():
            ended = overrides.end_override(override_id=override.pk, now=timezone.now(), by=by)
        return Response(self.get_serializer(ended).data)


@extend_schema_view(
    list=extend_schema(summary="List policies", description="By name."),
    retrieve=extend_schema(summary="Show a policy"),
)
class PolicyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Response policies in their current version; written on the portal's pages and in the admin."""

    serializer_class = PolicyOut
    lookup_value_regex = ROW_ID
    queryset = ResponsePolicy.objects.prefetch_related(
        Prefetch("assignments", PolicyAssignment.objects.order_by("scope", "target"))
    ).order_by("name")


@extend_schema_view(list=extend_schema(summary="List program prices", description="By program."))
class ProgramPriceViewSet(mixins.ListModelMixin, GenericViewSet):
    """What programs pay: policies with a price of comfort measure by it, as Leap's dispatches carry none."""

    serializer_class = ProgramPriceOut
    queryset = ProgramPrice.objects.order_by("program")


class PreviewView(APIView):
    """What the devices would do about a dispatch that has not come."""

    write_permission = ""  # nothing is stored and nothing is sent

    @extend_schema(
        summary="Preview a dispatch",
        description="Send a dispatch body as Leap would post it, of meters or of market groups. The answer "
        "is what each device it reaches would do from now on, under all that is live and what is tried, "
        "beside what it is to do now, and what each event gets before and after. 400 when the "
        f"body is no JSON object, or has more than {MOST_TIMESLOTS} timeslots; those that cannot be used are "
        "listed as problems.",
        request={"application/json": {"type": "object"}},
        responses=PreviewOut,
    )
    def post(self, request: Request) -> Response:
        """Plan as if the body had come."""
        try:
            plan = preview(body=request.body, now=timezone.now())
        except (NotADocument, TooManyTimeslots) as wrong:
            raise serializers.ValidationError({"body": [str(wrong)]}) from None
        return Response(PreviewOut(plan).data)
