"""The connection to Leap in the REST API: what the page shows, and no key."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch.reading.leap_connection import Connection, KeyRow, read_connection


class FindingOut(serializers.Serializer):
    """One sentence about where Leap posts."""

    kind = serializers.ChoiceField(choices=["ok", "warn", "bad", "plain"])
    text = serializers.CharField()


class HookOut(serializers.Serializer):
    """Where Leap posts: a level's dispatches, or a subscription to platform events."""

    id = serializers.CharField(help_text="`group` or `meter`, or Leap's id of the subscription.")
    url = serializers.CharField(source="hook.url", default=None, help_text="Null: nothing is registered.")
    headers = serializers.ListField(
        source="hook.headers", child=serializers.CharField(), default=list, help_text="Their names."
    )
    key = serializers.CharField(
        source="hook.key", default="", help_text="Fingerprint of the live key it sends; empty: none of ours."
    )
    event_types = serializers.ListField(
        source="hook.event_types", child=serializers.CharField(), default=list
    )
    is_ours = serializers.BooleanField(help_text="It leads to this portal.")
    findings = FindingOut(many=True)


class WebhookKeyOut(serializers.Serializer):
    """One of the keys in LEAP_WEBHOOK_KEYS."""

    fingerprint = serializers.CharField(source="state.key")
    is_first = serializers.BooleanField(source="state.is_first", help_text="The one that Leap should send.")
    held_by = serializers.ListField(
        child=serializers.CharField(), source="state.held_by", help_text="Ids of what Leap sends it with."
    )
    last_used_at = serializers.SerializerMethodField(help_text="To the minute; null: never.")
    safe_to_remove_at = serializers.DateTimeField(
        source="state.safe_at", allow_null=True, help_text="Null: keep it, or not known."
    )

    def get_last_used_at(self, row: KeyRow) -> str | None:
        """Return when it last opened any door."""
        latest = max((at for _, at in row.uses), default=None)
        return serializers.DateTimeField().to_representation(latest) if latest else None


class LeapConnectionOut(serializers.Serializer):
    """How the connection to Leap stands, as Leap last said it."""

    environment = serializers.CharField(help_text="production, staging, simulator or unknown.")
    base_url = serializers.CharField()
    api_key = serializers.CharField(help_text="Fingerprint; empty: not set.")
    is_working = serializers.SerializerMethodField(help_text="Leap answered when it was last asked.")
    checked_at = serializers.DateTimeField(source="check.tried_at", default=None)
    answered_at = serializers.DateTimeField(source="check.answered_at", default=None)
    error = serializers.CharField(source="check.error", default="")
    dispatch_url = serializers.CharField(
        source="ours.dispatch_url", help_text="Where Leap should post dispatches; empty: set PORTAL_URL."
    )
    events_url = serializers.CharField(source="ours.events_url")
    dispatch_webhooks = HookOut(many=True, source="webhooks")
    subscriptions = HookOut(many=True)
    webhook_keys = WebhookKeyOut(many=True, source="keys")

    def get_is_working(self, found: Connection) -> bool:
        """Tell whether the last answer was one."""
        return found.is_answered and not (found.check and found.check.error)


class LeapConnectionView(APIView):
    """The connection to Leap."""

    http_method_names = ["get", "head", "options"]

    @extend_schema(summary="Show the connection to Leap", responses=LeapConnectionOut)
    def get(self, request: Request) -> Response:
        """Show what the page Leap shows. Leap itself is not asked."""
        return Response(LeapConnectionOut(read_connection(now=timezone.now())).data)
