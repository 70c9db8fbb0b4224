"""Replays of policies in the REST API: asked for under a policy, and read once workers are done."""

from __future__ import annotations

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from dispatch.policy_models import ResponsePolicy
from dispatch.replay_models import Baseline, PolicyReplay, ReplayScope, ReplayState
from dispatch.replaying import ReplayRefused, request_replay
from meters.api.fields import CodeField

POLICY = OpenApiParameter("policy_id", int, OpenApiParameter.PATH)


class ReplayIn(serializers.Serializer):
    """A replay to ask for: days in `[starts_at, ends_at)`, at most 31, and over."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    scope = CodeField(
        ReplayScope,
        default=ReplayScope.GIVEN,
        help_text="On whom it is tried. A policy that nobody has is tried on the fleet.",
    )
    target = serializers.CharField(
        max_length=128, allow_blank=True, default="", help_text="As an override's; empty for fleet and given."
    )
    baseline = CodeField(
        Baseline,
        required=False,
        help_text="With what it is compared, for those it is tried on. Left out: no policy on those who have "
        "it, else what is in force.",
    )
    taking_late = serializers.BooleanField(
        default=False, help_text="Take events that came once they were over as told a day ahead."
    )


class FiguresOut(serializers.Serializer):
    """Sums of one side. Energy is planned power times time; commitments are counted on each device."""

    delivered_kwh = serializers.FloatField()
    device_hours = serializers.FloatField()
    runs = serializers.IntegerField()
    commitments_kept = serializers.IntegerField()
    commitments_broken = serializers.IntegerField()
    voluntary_served = serializers.IntegerField()
    voluntary_skipped = serializers.IntegerField()


class SidesOut(serializers.Serializer):
    """What it is compared with, and the policy."""

    before = FiguresOut()
    after = FiguresOut()


class ChangeOut(SidesOut):
    """Both sides, and the reason that tells them apart most."""

    reason = serializers.CharField(help_text="Why something is left undone; empty where nothing differs.")
    is_new_reason = serializers.BooleanField(help_text="The policy's; else it is no longer given.")


class ProgramOut(SidesOut):
    """A program; one overlap counts for each of its programs."""

    program = serializers.CharField()
    events = serializers.IntegerField()
    unnumbered_events = serializers.IntegerField(help_text="Asking for the maximum.")
    asked_kwh = serializers.FloatField()


class DayOut(ChangeOut):
    """A local day of the sites."""

    date = serializers.DateField()
    asked_kwh = serializers.FloatField()


class ChangedEventOut(ChangeOut):
    """An event that fares otherwise on some devices."""

    id = serializers.IntegerField()
    leap_event_id = serializers.CharField()
    program = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    is_voluntary = serializers.BooleanField()


class ChangedDeviceOut(ChangeOut):
    """A device that fares otherwise."""

    id = serializers.IntegerField()
    external_id = serializers.CharField()
    name = serializers.CharField()


class ReasonOut(serializers.Serializer):
    """A reason, and for how long it left something undone."""

    reason = serializers.CharField()
    before_device_hours = serializers.FloatField()
    after_device_hours = serializers.FloatField()


class ReplayResultOut(SidesOut):
    """What would have been, planned and not metered."""

    devices = serializers.IntegerField(help_text="On how many it was tried.")
    events = serializers.IntegerField()
    cancelled_events = serializers.IntegerField()
    unnumbered_events = serializers.IntegerField(help_text="Asking for the maximum.")
    late_events = serializers.IntegerField(help_text="That came only once they were over.")
    asked_kwh = serializers.FloatField()
    others = SidesOut(help_text="Of devices that share the events, but not the policy.")
    programs = ProgramOut(many=True)
    days = DayOut(many=True)
    changed_events = ChangedEventOut(many=True, help_text="On most devices first, at most 10.")
    changed_devices = ChangedDeviceOut(many=True, help_text="By energy, at most 10.")
    reasons = ReasonOut(many=True, help_text="Longest first, at most 12.")


class ReplayOut(ReplayIn):
    """A replay, and what came of it."""

    id = serializers.IntegerField()
    policy = serializers.CharField(source="label", help_text="Name and version; a draft says so.")
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    state = CodeField(ReplayState)
    progress = serializers.IntegerField(help_text="In percent.")
    detail = serializers.CharField(help_text="What is being done, or why it failed.")
    finished_at = serializers.DateTimeField(allow_null=True)
    result = ReplayResultOut(allow_null=True, help_text="Null until it is done.")


@extend_schema_view(
    list=extend_schema(summary="List a policy's replays", description="Newest first.", parameters=[POLICY]),
    retrieve=extend_schema(
        summary="Show a replay", parameters=[POLICY, OpenApiParameter("id", int, OpenApiParameter.PATH)]
    ),
)
class ReplayViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Past days once more, as if a policy had been in force. The latest 20 of a policy are kept."""

    serializer_class = ReplayOut
    lookup_value_regex = "[0-9]{1,18}"
    queryset = PolicyReplay.objects.defer("checkpoint").order_by("-pk")

    def get_queryset(self) -> QuerySet[PolicyReplay]:
        """Keep to the policy of the address."""
        return super().get_queryset().filter(policy=self.kwargs.get("policy_id", 0))

    @extend_schema(
        summary="Ask for a replay", request=ReplayIn, responses={201: ReplayOut}, parameters=[POLICY]
    )
    def create(self, request: Request, policy_id: str) -> Response:
        """Store the question and wake a worker; 400 says why it cannot be. Nothing is planned or sent."""
        policy = get_object_or_404(ResponsePolicy, pk=policy_id)
        given = ReplayIn(data=request.data)
        given.is_valid(raise_exception=True)
        by = request.user.get_username()
        try:
            replay = request_replay(policy_id=policy.pk, **given.validated_data, by=by, now=timezone.now())
        except ReplayRefused as refused:
            raise serializers.ValidationError({"non_field_errors": [str(refused)]}) from None
        return Response(self.get_serializer(replay).data, status=status.HTTP_201_CREATED)
