"""Meters on the wire with what only this app knows: every cause why one cannot be dispatched."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request

from dispatch.domain.standing import BLOCKING, CAUSES, causes_of
from dispatch.reading.standing import facts_of, read_present, with_facts
from meters.api.serializers import MeterIn, MeterOut
from meters.api.views import MeterViewSet
from meters.models import Meter


class CauseOut(serializers.Serializer):
    """One thing that stands in a meter's way."""

    code = serializers.CharField(help_text="ARCHIVED, IDLE, NO_DEVICE, OFFLINE, BLACKOUT …")
    text = serializers.CharField(help_text="One sentence.")
    blocks = serializers.BooleanField(help_text="Nothing moves now because of it.")


class MeterWithCauses(MeterOut):
    """One of Leap's meters, its devices, and whether a dispatch of it would move anything.

    `dispatchable` speaks of the meter and its mapping; `causes` also of its devices as they are now.
    """

    causes = serializers.SerializerMethodField(
        help_text="All that stands in the way now, the gravest first; empty when nothing does."
    )

    @extend_schema_field(CauseOut(many=True))
    def get_causes(self, meter: Any) -> list[dict[str, object]]:
        """List what stands in the way."""
        causes = causes_of(facts_of(meter, present=self.context["present"]))
        return [
            {"code": code.value, "text": CAUSES[code].sentence, "blocks": code in BLOCKING} for code in causes
        ]


@extend_schema_view(
    create=extend_schema(
        summary="Add a meter", request=MeterIn, responses={status.HTTP_201_CREATED: MeterWithCauses}
    ),
    partial_update=extend_schema(
        summary="Change a meter", request=MeterIn(partial=True), responses=MeterWithCauses
    ),
)
class MeterWithCausesViewSet(MeterViewSet):
    """Leap's units of dispatch. Devices are mapped to them at `devices/`, by `meter_ids`."""

    serializer_class = MeterWithCauses

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Read once a request what bears on every meter."""
        super().initial(request, *args, **kwargs)
        self.present = read_present(now=timezone.now())

    def get_serializer_context(self) -> dict[str, Any]:
        """Hand on the same moment that the rows were read for."""
        return {**super().get_serializer_context(), "now": self.present.now, "present": self.present}

    def get_queryset(self) -> QuerySet[Meter]:
        """Read the facts along."""
        return with_facts(super().get_queryset(), present=self.present)
