"""Enrollments and required actions in the REST API: Leap's words are read, owner and note are written."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from meters.api.fields import CodeField
from meters.api.filters import CodeFilter, MeterIdFilter, MomentFilter
from meters.assigning import LONGEST_NOTE, Assignment, assign
from meters.enrollment_models import ActionParty, Enrollment, RequiredAction

ROW_ID = "[0-9]{1,18}"


class DeadlineOut(serializers.Serializer):
    """Until when all must be done, and from when the meter is active if it is eligible by then."""

    enrollment_deadline_date_time = serializers.CharField(help_text="As Leap writes it.")
    activation_date_time = serializers.CharField(allow_null=True, help_text="As Leap writes it.")


class EnrollmentOut(serializers.Serializer):
    """How a meter stands in one program for one delivery period `[starts_at, ends_at)`."""

    id = serializers.IntegerField()
    meter_id = serializers.CharField(source="meter.meter_id")
    program = serializers.CharField(help_text="As Leap writes it, such as NYISO-SCR.")
    delivery_period = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Null: open.")
    status = serializers.CharField(help_text="As Leap writes it: ACTIVE, ELIGIBLE, PENDING, INELIGIBLE …")
    deadlines = serializers.SerializerMethodField(help_text="In Leap's order.")
    market_group_id = serializers.CharField(help_text="The group in this period; empty while there is none.")

    @extend_schema_field(DeadlineOut(many=True))
    def get_deadlines(self, row: Enrollment) -> list[dict[str, Any]]:
        """Name the two times of each pair as Leap does."""
        pairs = [pair for pair in row.deadlines if isinstance(pair, list) and len(pair) == 2]
        return [
            {"enrollment_deadline_date_time": deadline, "activation_date_time": activation}
            for deadline, activation in pairs
        ]


class OverAfterFilter(MomentFilter):
    """Keeps what is not over at a time; an end that is not said never comes."""

    def filter(self, qs: Any, value: Any) -> Any:
        """Compare the end where there is one."""
        return qs.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=value)) if value else qs


class EnrollmentFilter(filters.FilterSet):
    """Which enrollments."""

    meter_id = MeterIdFilter(field_name="meter__meter_id")
    program = filters.CharFilter(lookup_expr="iexact")
    status = filters.CharFilter(lookup_expr="iexact")
    starts_before = MomentFilter(field_name="starts_at", lookup_expr="lt")
    ends_after = OverAfterFilter(field_name="ends_at", label="Ends after, or is open.")


@extend_schema_view(
    list=extend_schema(summary="List enrollments"), retrieve=extend_schema(summary="Show an enrollment")
)
class EnrollmentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """How meters stand in Leap's programs, delivery period by delivery period, as Leap last said it."""

    serializer_class = EnrollmentOut
    filterset_class = EnrollmentFilter
    lookup_value_regex = ROW_ID
    queryset = Enrollment.objects.select_related("meter").order_by("pk")


class RequiredActionOut(serializers.Serializer):
    """Something that must be done before a meter can be enrolled."""

    id = serializers.IntegerField()
    meter_id = serializers.CharField(source="meter.meter_id")
    party = CodeField(ActionParty, help_text="Who has to do it.")
    program = serializers.CharField(help_text="As Leap writes it, such as NYISO-SCR.")
    delivery_period = serializers.CharField()
    action_type = serializers.CharField(help_text="As Leap writes it, such as NO_MISSING_FIELDS.")
    action_code = serializers.CharField(help_text="As Leap writes it, such as SERV_0005; may be empty.")
    description = serializers.CharField(help_text="Leap's words.")
    deadline_at = serializers.DateTimeField(allow_null=True)
    appeared_at = serializers.DateTimeField(help_text="When Leap was first heard to ask for it.")
    resolved_at = serializers.DateTimeField(allow_null=True, help_text="Null while Leap asks for it.")
    owner = serializers.CharField(
        source="owner.username", default=None, allow_null=True, help_text="User name; null for nobody."
    )
    note = serializers.CharField()
    noted_by = serializers.CharField(help_text="Who last wrote owner or note; empty where nobody has.")
    noted_at = serializers.DateTimeField(allow_null=True)


class RequiredActionIn(serializers.Serializer):
    """What people add to an action; what is left out stays."""

    owner = serializers.CharField(
        max_length=150, required=False, allow_null=True, help_text="User name; null for nobody."
    )
    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True)

    def validate_owner(self, value: str | None) -> int | None:
        """Find the user; whoever may not sign in owns nothing."""
        if value is None:
            return None
        user = get_user_model().objects.filter(is_active=True, username=value).first()
        if user is None:
            raise serializers.ValidationError("Nobody of this name may sign in.")
        return user.pk


class RequiredActionFilter(filters.FilterSet):
    """Which actions."""

    party = CodeFilter(ActionParty)
    program = filters.CharFilter(lookup_expr="iexact")
    delivery_period = filters.CharFilter()
    action_type = filters.CharFilter(lookup_expr="iexact")
    meter_id = MeterIdFilter(field_name="meter__meter_id")
    owner = filters.CharFilter(field_name="owner__username", label="User name of its owner.")
    owned = filters.BooleanFilter(
        field_name="owner", lookup_expr="isnull", exclude=True, label="Has it an owner?"
    )
    resolved = filters.BooleanFilter(
        field_name="resolved_at", lookup_expr="isnull", exclude=True, label="Is it resolved?"
    )
    deadline_before = MomentFilter(field_name="deadline_at", lookup_expr="lt")


@extend_schema_view(
    list=extend_schema(
        summary="List required actions",
        description="What waits for you: `party=partner&resolved=false`, and `deadline_before` what is due.",
    ),
    retrieve=extend_schema(summary="Show a required action"),
)
class RequiredActionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """What must be done before meters can be enrolled. Resolved by Leap alone, and kept."""

    serializer_class = RequiredActionOut
    filterset_class = RequiredActionFilter
    lookup_value_regex = ROW_ID
    queryset = RequiredAction.objects.select_related("meter", "owner").order_by("pk")

    @extend_schema(
        summary="Give an action an owner or a note", request=RequiredActionIn, responses=RequiredActionOut
    )
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Write owner and note; nothing of it goes to Leap."""
        action = self.get_object()
        given = RequiredActionIn(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        wanted = Assignment(
            sets_owner="owner" in values, owner_id=values.get("owner"), note=values.get("note")
        )
        rows = RequiredAction.objects.filter(pk=action.pk)
        assign(rows, wanted, by=request.user.get_username(), now=timezone.now())
        return Response(self.get_serializer(self.get_queryset().get(pk=action.pk)).data)
