"""Response policies: what they say, every version of them, and whom they are for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q

from dispatch.domain.policies import NOTHING, policy_of
from dispatch.domain.terms import Policy


class DischargeChoice(models.TextChoices):
    """Stored names of `dispatch.domain.terms.Discharge`."""

    FOLLOW_LOAD = "FOLLOW_LOAD", "Follows the site's load"
    FIXED = "FIXED", "At a fixed power"


class BeyondChoice(models.TextChoices):
    """Stored names of `dispatch.domain.terms.Beyond`."""

    NOTHING = "NOTHING", "Nothing"
    UP_TO_CAP = "UP_TO_CAP", "As far as it is paid"


class WhenShortChoice(models.TextChoices):
    """Stored names of `dispatch.domain.terms.WhenShort`."""

    STOP = "STOP", "Full power, then stop"
    SPREAD = "SPREAD", "Less power throughout"


class VoluntaryChoice(models.TextChoices):
    """Stored names of `dispatch.domain.terms.Voluntary`."""

    SERVE = "SERVE", "Served"
    REDUCE = "REDUCE", "Reduced"
    SKIP = "SKIP", "Skipped"


class PolicyScope(models.TextChoices):
    """Whom a policy is for; the nearest wins, which is the last of these."""

    FLEET = "FLEET", "Whole fleet"
    MARKET_GROUP = "MARKET_GROUP", "Market group"
    METER = "METER", "Meter"
    DEVICE = "DEVICE", "Device"


class ResponsePolicy(models.Model):
    """How devices answer: the current version's content. Changed by `dispatch.policies` alone.

    Times of day (`blackouts`, `voluntary_hours`): one a line, as "22:00-06:00" or "07:00-09:00 Mon Tue", on
    the site's clock. Percents are of the energy capacity.
    """

    name = models.CharField(max_length=64, unique=True)
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
    plans_energy = models.BooleanField(
        "plan the energy of storage",
        default=False,
        help_text="Nothing is asked of a battery that it does not hold, and what is worth most comes first.",
    )
    reserve_percent = models.PositiveIntegerField(
        "reserve, %", default=0, help_text="Kept for the site. Only a person's force goes into it."
    )
    lowest_percent = models.PositiveIntegerField("lowest state of charge, %", default=0)
    highest_percent = models.PositiveIntegerField("highest state of charge, %", default=100)
    expected_percent = models.PositiveIntegerField(
        "expected state of charge, %",
        null=True,
        blank=True,
        help_text="Taken where the device does not say. Empty: the highest.",
    )
    recharge_minutes = models.PositiveIntegerField(
        "full recharge, minutes",
        null=True,
        blank=True,
        help_text="While nothing is asked. Empty: it does not recharge between events.",
    )
    may_export = models.BooleanField(
        "export to the grid", default=True, help_text="Where the site and the program allow it."
    )
    discharge = models.CharField(
        max_length=16, choices=DischargeChoice.choices, default=DischargeChoice.FOLLOW_LOAD
    )
    expected_load_kw = models.DecimalField(
        "expected site load, kW",
        max_digits=9,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="What it discharges where it follows the load. Empty: its rated power.",
    )
    beyond_award = models.CharField(
        "beyond the award",
        max_length=16,
        choices=BeyondChoice.choices,
        default=BeyondChoice.NOTHING,
        help_text="With energy that nothing better needs.",
    )
    when_short = models.CharField(
        "where the energy does not last",
        max_length=16,
        choices=WhenShortChoice.choices,
        default=WhenShortChoice.STOP,
    )
    voluntary = models.CharField(
        "voluntary events",
        max_length=16,
        choices=VoluntaryChoice.choices,
        default=VoluntaryChoice.SERVE,
        help_text="While any of the conditions below holds; always, where there is none.",
    )
    keep_percent = models.PositiveIntegerField(
        "reduced to, %", null=True, blank=True, help_text="Of the power asked."
    )
    below_charge_percent = models.PositiveIntegerField("below a state of charge of, %", null=True, blank=True)
    voluntary_hours = models.TextField(
        "in these hours",
        blank=True,
        help_text="One a line, on the site's clock: 17:00-21:00, or 07:00-09:00 Sat Sun.",
    )
    comfort_price = models.DecimalField(
        "paid less than, $/kWh",
        max_digits=6,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="The price of comfort. Programs without a known price are not measured by it.",
    )
    ramp_minutes = models.PositiveIntegerField(
        "ramp, minutes", default=0, help_text="To the full power, from the beginning of a run."
    )
    precondition_minutes = models.PositiveIntegerField(
        "pre-conditioning, minutes", default=0, help_text="Before a run, such as pre-cooling."
    )
    recovery_minutes = models.PositiveIntegerField(
        "recovery, minutes", default=0, help_text="After a run, back to normal step by step."
    )
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name_plural = "response policies"

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def content(self) -> dict[str, Any]:
        """Return what the current version says."""
        return {name: getattr(self, name) for name in NOTHING}

    def to_value(self) -> Policy:
        """Return what it says, by part."""
        return policy_of(self.content(), label=str(self))


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


class ProgramPrice(models.Model):
    """What a program pays, as an admin knows it: Leap's dispatches carry no price."""

    program = models.CharField(max_length=64, unique=True, help_text="Leap's code, such as ELRP.")
    usd_per_kwh = models.DecimalField("$/kWh", max_digits=8, decimal_places=2)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(usd_per_kwh__gte=0), name="program_price_not_negative")
        ]

    def __str__(self) -> str:
        return f"{self.program} {self.usd_per_kwh} $/kWh"
