"""Jobs that create meters at Leap, and customers in Leap Connect, in the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from meters.api.csv_import import COMMIT, CSV_BODY, CSV_PARSERS, text_of
from meters.api.fields import CodeField, JsonObjectField
from meters.api.filters import CodeFilter
from meters.connecting import LinkRefused, Wish, make_links, meters_by_refid
from meters.domain.connecting import REFERENCE_RULE, link_of
from meters.domain.onboarding import MOST_ROWS, FileRefused, Problem, flatten, read_file
from meters.domain.onboarding_columns import UTILITIES
from meters.models import Meter
from meters.onboarding import JobRefused, check_against_ours, draft_job, send_job
from meters.onboarding_models import Connection, ConnectStanding, JobState, MeterJob

ROW_ID = r"[0-9]{1,18}"


class MeterJobRowOut(serializers.Serializer):
    """What became of one meter of a job."""

    row = serializers.IntegerField(source="number", help_text="The header being row 1.")
    partner_reference = serializers.CharField()
    status = serializers.CharField(
        help_text="Leap's word, as COMPLETED or DUPLICATE; empty before it answers."
    )
    status_detail = serializers.CharField(help_text="Leap's word, as METER_CREATED or ADDRESS_NOT_FOUND.")
    description = serializers.CharField()
    meter_id = serializers.CharField(help_text="Of the meter it became; empty while there is none.")


class MeterJobOut(serializers.Serializer):
    """One job."""

    id = serializers.IntegerField()
    file_name = serializers.CharField()
    state = CodeField(JobState, help_text="`sending`: perhaps at Leap, perhaps not; it is being looked up.")
    update_existing = serializers.BooleanField()
    made_by = serializers.CharField()
    made_at = serializers.DateTimeField()
    requested_by = serializers.CharField(help_text="Who had it sent.")
    requested_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    rows_count = serializers.IntegerField()
    problems_count = serializers.IntegerField(help_text="Of a draft: rows with which it cannot be sent.")


class MeterJobIn(serializers.Serializer):
    """Meters to create, as Leap's Create Meters has them."""

    assets = serializers.ListField(
        child=JsonObjectField(),
        min_length=1,
        max_length=MOST_ROWS,
        help_text="Leap's `assets`; a field `program` beside them says for which program to check.",
    )
    file_name = serializers.CharField(max_length=200, required=False, default="api.json")
    update_existing = serializers.BooleanField(required=False, default=False)


class MeterJobMade(serializers.Serializer):
    """What a job would do, or that it is on its way."""

    applied = serializers.BooleanField(help_text="False is a dry run: nothing was stored or sent.")
    rows_count = serializers.IntegerField()
    errors = serializers.DictField(  # type: ignore[assignment]  # a field that is called so
        help_text='`{row: {column: ["what to do"]}}`, the header being row 1.'
    )
    job = MeterJobOut(allow_null=True)


class MeterJobFilter(filters.FilterSet):
    """Which jobs."""

    state = CodeFilter(choices=JobState)


UPDATE_EXISTING = OpenApiParameter(
    "update_existing", bool, description="Change meters whose reference exists; told as errors otherwise."
)


@extend_schema_view(
    list=extend_schema(summary="List jobs that create meters, newest first"),
    retrieve=extend_schema(summary="Show a job that creates meters"),
)
class MeterJobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Meters that are created at Leap. A dry run unless `?commit=true`; all rows are sent or none."""

    serializer_class = MeterJobOut
    filterset_class = MeterJobFilter
    lookup_value_regex = ROW_ID
    write_permission = "dispatch.administer"
    queryset = MeterJob.objects.order_by("-pk")

    @extend_schema(
        summary="Create meters",
        request=MeterJobIn,
        parameters=[COMMIT],
        responses=MeterJobMade,
        filters=False,
    )
    def create(self, request: Request) -> Response:
        """Check meters as Leap would and, with `?commit=true`, have them created."""
        given = MeterJobIn(data=request.data)
        given.is_valid(raise_exception=True)
        rows = [flatten(asset) for asset in given.validated_data["assets"]]
        options = {name: given.validated_data[name] for name in ("file_name", "update_existing")}
        return _made(request, rows, **options)

    @extend_schema(
        summary="Create meters from a file",
        description="CSV with Leap's names of fields, nested ones with a point: `customer.street_1`.",
        request=CSV_BODY,
        parameters=[COMMIT, UPDATE_EXISTING],
        responses=MeterJobMade,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="import", url_name="import", parser_classes=CSV_PARSERS)
    def import_rows(self, request: Request) -> Response:
        """Do the same with the rows of a CSV file."""
        try:
            rows = read_file(text_of(request))
        except FileRefused as refused:
            raise serializers.ValidationError({"file": [str(refused)]}) from None
        updates = _is_yes(request, "update_existing")
        return _made(request, rows, file_name="api.csv", update_existing=updates)

    @extend_schema(
        summary="List what became of a job's meters", responses=MeterJobRowOut(many=True), filters=False
    )
    @action(detail=True, url_path="rows", url_name="rows")
    def rows(self, request: Request, pk: str) -> Response:
        """List the rows of a job in their order."""
        job = self.get_object()
        rows = job.rows.defer("cells", "asset", "problems").order_by("number")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(MeterJobRowOut(page, many=True).data)


def _is_yes(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in {"true", "1"}


def _made(
    request: Request, rows: Sequence[dict[str, str]], *, file_name: str, update_existing: bool
) -> Response:
    """Answer a dry run, or make a job and have it sent. Raises serializers.ValidationError by row."""
    checked, _ = check_against_ours(rows, update_existing=update_existing)
    errors = {str(row): _by_column(one.problems) for row, one in enumerate(checked, start=2) if one.problems}
    is_commit = _is_yes(request, "commit")
    if errors and is_commit:
        raise serializers.ValidationError(errors)
    job = None
    if is_commit:
        by, now = request.user.get_username(), timezone.now()
        try:
            with transaction.atomic():
                job = draft_job(
                    rows, file_name=file_name, update_existing=update_existing, made_by=by, now=now
                )
                send_job(job.pk, by=by, now=now)
        except JobRefused as refused:  # a meter with one of the references has appeared since
            raise serializers.ValidationError({"assets": [str(refused)]}) from None
        job.refresh_from_db()
    made = {"applied": is_commit, "rows_count": len(rows), "errors": errors, "job": job}
    return Response(
        MeterJobMade(made).data, status=status.HTTP_201_CREATED if is_commit else status.HTTP_200_OK
    )


def _by_column(problems: Sequence[Problem]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(problem.column, []).append(problem.text)
    return found


class ConnectionOut(serializers.Serializer):
    """A customer in Leap Connect."""

    id = serializers.IntegerField()
    partner_reference = serializers.CharField(help_text="The refId.")
    customer_name = serializers.CharField()
    transmission_region = serializers.CharField()
    utilities = serializers.CharField(help_text="Utilities to offer, by commas; empty: all.")
    note = serializers.CharField()
    standing = CodeField(ConnectStanding, help_text="Where the customer stands, as Leap last told.")
    utility_name = serializers.CharField(help_text="Of the standing, Leap's word.")
    standing_since = serializers.DateTimeField(allow_null=True)
    heard_at = serializers.DateTimeField(allow_null=True, help_text="When Leap last said something.")
    sessions = serializers.IntegerField()
    authorized_utilities = serializers.ListField(child=serializers.CharField())
    made_by = serializers.CharField()
    made_at = serializers.DateTimeField(allow_null=True, help_text="Null: not made here.")
    link = serializers.SerializerMethodField(help_text="Empty while LEAP_CONNECT_URL is not set.")
    meter_ids = serializers.SerializerMethodField(help_text="Leap's ids of the meters the customer became.")

    def get_link(self, connection: Connection) -> str:
        """Write the customer's own address of Leap Connect."""
        if not settings.LEAP_CONNECT_URL:
            return ""
        return link_of(
            settings.LEAP_CONNECT_URL,
            reference=connection.partner_reference,
            region=connection.transmission_region,
            utilities=connection.utilities,
        )

    def get_meter_ids(self, connection: Connection) -> list[str]:
        """List the meters, found for the whole page at once."""
        found: dict[str, list[Meter]] = self.context["meters"]
        return [meter.meter_id for meter in found[connection.partner_reference]]


class ConnectionIn(serializers.Serializer):
    """A link to make."""

    partner_reference = serializers.CharField(help_text=f"The refId: {REFERENCE_RULE}.")
    customer_name = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    transmission_region = serializers.CharField(max_length=32, required=False, default="", allow_blank=True)
    utilities = serializers.ListField(
        child=serializers.ChoiceField(UTILITIES), required=False, default=list, max_length=20
    )
    note = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class ConnectionFilter(filters.FilterSet):
    """Which customers."""

    standing = CodeFilter(choices=ConnectStanding)
    partner_reference = filters.CharFilter()


@extend_schema_view(
    list=extend_schema(summary="List customers in Leap Connect, newest first"),
    retrieve=extend_schema(summary="Show a customer in Leap Connect"),
)
class ConnectionViewSet(GenericViewSet):
    """Customers who were sent a link of Leap Connect, or of whom Leap told."""

    serializer_class = ConnectionOut
    filterset_class = ConnectionFilter
    lookup_value_regex = ROW_ID
    queryset = Connection.objects.order_by("-pk")

    def list(self, request: Request) -> Response:
        """List a page of customers with the meters they became."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(_shown(page))

    def retrieve(self, request: Request, pk: str) -> Response:
        """Show one customer."""
        return Response(_shown([self.get_object()])[0])

    @extend_schema(
        summary="Make a link of Leap Connect", request=ConnectionIn, responses={201: ConnectionOut}
    )
    def create(self, request: Request) -> Response:
        """Make a link; a refId that is known gets what is said beside it."""
        given = ConnectionIn(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        wish = Wish(
            reference=wanted["partner_reference"],
            customer_name=wanted["customer_name"],
            region=wanted["transmission_region"],
            utilities=",".join(wanted["utilities"])[:200],
            note=wanted["note"],
        )
        try:
            make_links([wish], made_by=request.user.get_username(), now=timezone.now())
        except LinkRefused as refused:
            raise serializers.ValidationError({"partner_reference": [str(refused)]}) from None
        made = Connection.objects.get(partner_reference=wish.reference)
        return Response(_shown([made])[0], status=status.HTTP_201_CREATED)


def _shown(connections: Sequence[Connection]) -> Any:
    meters = meters_by_refid(connection.partner_reference for connection in connections)
    return ConnectionOut(connections, many=True, context={"meters": meters}).data
