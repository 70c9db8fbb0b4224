"""Who can be dispatched: sites, meters, market groups and their membership over time.

Read by planning and the pages, written by people (admin, pages, API) and by the sync from Leap.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from meters import connection_models as connection_models  # Django looks for models here
from meters import enrollment_models as enrollment_models
from meters import mapping_models as mapping_models
from meters import onboarding_models as onboarding_models
from meters import participation_models as participation_models
from meters import sync_models as sync_models


def check_timezone(name: str) -> None:
    """Refuse what is no IANA name of a zone.

    Raises: ValidationError.
    """
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValidationError(f"“{name}” is no time zone; write it as America/Los_Angeles.") from None


class Site(models.Model):
    """A place with one local clock; its zone decides what a local day is."""

    name = models.CharField(max_length=200, unique=True)
    timezone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[check_timezone],
        help_text="IANA name, such as America/Los_Angeles.",
    )
    address = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name


class EnrollmentStatus(models.TextChoices):
    """Leap's global enrollment status. Source: Leap's meter-enrollment OpenAPI, read 2026-08."""

    ACTIVE = "ACTIVE", "Active"
    ELIGIBLE = "ELIGIBLE", "Eligible"
    PENDING = "PENDING", "Pending"
    INELIGIBLE = "INELIGIBLE", "Ineligible"
    NOT_PARTICIPATING = "NOT_PARTICIPATING", "Not participating"


class Participation(models.TextChoices):
    """Whether the customer takes part, as Leap holds it. Source: Leap's webhooks OpenAPI, read 2026-08."""

    PARTICIPATE = "PARTICIPATE", "Participating"
    IDLE = "IDLE", "Idle"
    DISENROLL = "DISENROLL", "Disenrolled"


class Meter(models.Model):
    """Leap's unit of dispatch, keyed by Leap's id. Never deleted: archived.

    `plan_requested_at` is set by whoever changes what the meter's devices should do and
    cleared by planning once that has been decided anew.
    """

    meter_id = models.CharField(max_length=64, unique=True, help_text="Leap's id, a UUID in lower case.")
    partner_reference = models.CharField(max_length=256, blank=True, db_index=True)
    name = models.CharField(max_length=200, blank=True)
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL, related_name="meters")
    transmission_region = models.CharField(max_length=32, blank=True, db_index=True)
    meter_type = models.CharField(max_length=32, blank=True)
    enrollment_status = models.CharField(
        max_length=32,
        default=EnrollmentStatus.ACTIVE,
        help_text="Leap's word; a word unknown to us is kept as it came.",
    )
    participation = models.CharField(max_length=32, default=Participation.PARTICIPATE)
    programs = models.JSONField(default=list, blank=True, help_text="Program codes, as Leap writes them.")
    timezone = models.CharField(max_length=64, default="UTC", validators=[check_timezone])
    nomination_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    test_armed_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then an integration test moves this meter's devices."
    )
    plan_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    extra = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(nomination_kw__isnull=True) | Q(nomination_kw__gte=0),
                name="meter_nomination_not_negative",
            ),
        ]
        indexes = [
            # Reader: dispatch.planning, what a change of a meter left to be decided.
            models.Index(
                fields=["plan_requested_at"],
                name="meter_plan_requested",
                condition=Q(plan_requested_at__isnull=False),
            ),
            # Reader: dispatch.planning, arming that ends by itself.
            models.Index(
                fields=["test_armed_until"],
                name="meter_test_armed",
                condition=Q(test_armed_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.partner_reference or self.meter_id


class MarketGroup(models.Model):
    """Leap's set of meters dispatched together. `is_from_calls`: known only because a dispatch named it.

    `compare_requested_at` is set by whoever changes who is in the group, or whom an event of it names, and
    cleared by `dispatch.comparing_groups` once both were laid side by side.
    """

    market_group_id = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200, blank=True)
    program = models.CharField(max_length=64, blank=True)
    zone = models.CharField(
        max_length=64, blank=True, help_text="Market zone, as people say it: NYISO Zone J."
    )
    timezone = models.CharField(max_length=64, default="UTC", validators=[check_timezone])
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    is_from_calls = models.BooleanField(default=False)
    compare_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    meters: models.ManyToManyField[Meter, MarketGroupMembership] = models.ManyToManyField(
        Meter, through="MarketGroupMembership", related_name="market_groups"
    )

    class Meta:
        indexes = [
            # Reader: dispatch.comparing_groups.
            models.Index(
                fields=["compare_requested_at"],
                name="market_group_compare",
                condition=Q(compare_requested_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.market_group_id


class MarketGroupMembership(models.Model):
    """A meter in a group during `[starts_at, ends_at)`; an open end is null.

    `program` and `delivery_period`: for which of Leap's; both empty when a person put it there.
    """

    group = models.ForeignKey(MarketGroup, on_delete=models.CASCADE, related_name="memberships")
    meter = models.ForeignKey(Meter, on_delete=models.CASCADE, related_name="memberships")
    program = models.CharField(max_length=64, blank=True)
    delivery_period = models.CharField(max_length=128, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "meter", "program", "delivery_period", "starts_at"],
                name="membership_once_per_start",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="membership_starts_before_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} in {self.group_id} from {self.starts_at:%Y-%m-%d}"

    def holds_at(self, at: datetime) -> bool:
        """Say whether the meter is in the group at a time, by this row."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


class PlatformEventStatus(models.TextChoices):
    """What became of an event: RECEIVED → FOLLOWED, or put aside; at the door or by `meters.hinting`."""

    RECEIVED = "RECEIVED", "Received"
    FOLLOWED = "FOLLOWED", "Followed"
    QUARANTINED = "QUARANTINED", "Quarantined"
    REJECTED = "REJECTED", "Rejected"


class PlatformEvent(models.Model):
    """One event of Leap's platform as received: immutable bytes, known by Leap's id for it.

    Source: Leap, "Webhook Setup", read 2026-08. The envelope holds `webhook_event_id` and `payload`, and that
    its `webhook_event_type`.
    """

    received_at = models.DateTimeField(db_index=True)
    webhook_event_id = models.CharField(max_length=64, blank=True, help_text="Empty when it has none.")
    event_type = models.CharField(
        max_length=256, blank=True, help_text="As Leap writes it, known to us or not."
    )
    body = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    headers = models.JSONField(default=dict, help_text="Without the key.")
    status = models.CharField(max_length=16, choices=PlatformEventStatus.choices)
    reason = models.TextField(blank=True)
    followed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(blank=True, help_text="What was done about it, in words.")
    repeat_count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["webhook_event_id"], name="platform_event_once", condition=~Q(webhook_event_id="")
            ),
            models.UniqueConstraint(
                fields=["sha256"], name="platform_event_without_id_once", condition=Q(webhook_event_id="")
            ),
        ]
        indexes = [
            # Reader: meters.hinting, what nobody has followed yet.
            models.Index(fields=["id"], name="platform_event_waiting", condition=Q(status="RECEIVED")),
        ]

    def __str__(self) -> str:
        return self.webhook_event_id or f"platform event {self.pk}"
