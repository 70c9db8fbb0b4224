"""Response policies: what they say, every version of them, and whom they are for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q

from dispatch.domain.policies import NOTHING, Limits, limits_of


class PolicyStrategy(models.TextChoices):
    """Stored names of `dispatch.domain.policies.Strategy`."""

    RESPOND_TO_ALL = "RESPOND_TO_ALL", "Respond to all"
    LIMITS = "LIMITS", "Limits"


class PolicyScope(models.TextChoices):
    """Whom a policy is for; the nearest wins, which is the last of these."""

    FLEET = "FLEET", "Whole fleet"
    MARKET_GROUP = "MARKET_GROUP", "Market group"
    METER = "METER", "Meter"
    DEVICE = "DEVICE", "Device"


class ResponsePolicy(models.Model):
    """How devices answer: the current version's content. Changed by `dispatch.policies` alone.

    `blackouts`: one a line, as "22:00-06:00" or "07:00-09:00 Mon Tue", on the site's clock.
    """

    name = models.CharField(max_length=64, unique=True)
    strategy = models.CharField(max_length=16, choices=PolicyStrategy.choices, default=PolicyStrategy.LIMITS)
    longest_run_minutes = models.PositiveIntegerField(
        "longest run, minutes", null=True, blank=True, help_text="Touching dispatches are one run."
    )
    rest_minutes = models.PositiveIntegerField("rest between runs, minutes", default=0)
    hours_a_day = models.DecimalField(
        max_digits=4,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="Of running, in the site's local day.",
    )
    events_a_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="Runs that begin in the site's local day."
    )
    blackouts = models.TextField(
        blank=True,
        help_text="One a line, on the site's clock: 22:00-06:00, or 07:00-09:00 Mon Tue.",
    )
    notice_minutes = models.PositiveIntegerField(
        "notice, minutes", default=0, help_text="From hearing of an event to serving it."
    )
    ignore_below_kw = models.DecimalField(
        "ignore below, kW",
        max_digits=9,
        decimal_places=3,
        default=Decimal(0),
        help_text="Less is not worth moving for.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name_plural = "response policies"

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def content(self) -> dict[str, Any]:
        """Return what the current version says."""
        return {name: getattr(self, name) for name in NOTHING}

    def to_value(self) -> Limits | None:
        """Return its limits; None where it responds to all."""
        return limits_of(self.content(), label=str(self))


class PolicyVersion(models.Model):
    """What a policy said under one version; appended, never changed."""

    policy = models.ForeignKey(ResponsePolicy, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="policy_version_once")]

    def __str__(self) -> str:
        return f"policy {self.policy_id} v{self.number}"


class PolicyAssignment(models.Model):
    """Whom a policy is for. One device's own is `Device.policy`, so no row here has that scope."""

    scope = models.CharField(max_length=16, choices=PolicyScope.choices)
    target = models.CharField(max_length=128, blank=True, help_text="Leap's id; empty for the fleet.")
    policy = models.ForeignKey(ResponsePolicy, on_delete=models.CASCADE, related_name="assignments")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "target"], name="policy_one_per_target"),
            models.CheckConstraint(
                condition=Q(scope__in=["FLEET", "MARKET_GROUP", "METER"]), name="policy_not_of_a_device"
            ),
        ]

    def __str__(self) -> str:
        return f"policy {self.policy_id} for {self.scope} {self.target}".strip()
