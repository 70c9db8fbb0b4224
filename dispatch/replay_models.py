"""Replays of past days under a policy: what was asked for, how far it is, and what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from dispatch.policy_models import ResponsePolicy


class ReplayScope(models.TextChoices):
    """Whom the policy is tried on."""

    GIVEN = "GIVEN", "Whom it is given to"
    FLEET = "FLEET", "Whole fleet"
    MARKET_GROUP = "MARKET_GROUP", "Market group"
    METER = "METER", "Meter"
    DEVICE = "DEVICE", "Device"


class Baseline(models.TextChoices):
    """What the policy is compared with, for the devices it is tried on; the others keep what is in force."""

    IN_FORCE = "IN_FORCE", "What is in force now"
    NONE = "NONE", "No policy"


class ReplayState(models.TextChoices):
    """WAITING → RUNNING → DONE or FAILED; moved by `dispatch.replaying`."""

    WAITING = "WAITING", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"


OPEN_STATES = (ReplayState.WAITING, ReplayState.RUNNING)


class PolicyReplay(models.Model):
    """One question: what if this policy had been in force in `[starts_at, ends_at)`?

    `content` is the policy as it was, or was typed, when somebody asked; `label` names it. The work is done
    in slices: whoever holds `claimed_until` works, `checkpoint` is what the next one goes on from, and
    `tries` counts claims since the last one. `taking_late`: events that came once they were over count as
    told a day ahead.
    """

    policy = models.ForeignKey(ResponsePolicy, on_delete=models.CASCADE, related_name="replays")
    label = models.CharField(max_length=100)
    content = models.JSONField()
    scope = models.CharField(max_length=16, choices=ReplayScope.choices)
    target = models.CharField(max_length=128, blank=True, help_text="Its id; empty for the fleet.")
    target_name = models.CharField(max_length=200, blank=True)
    baseline = models.CharField(max_length=16, choices=Baseline.choices)
    taking_late = models.BooleanField(default=False)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=ReplayState.choices, default=ReplayState.WAITING)
    progress = models.PositiveSmallIntegerField(default=0, help_text="In percent.")
    detail = models.CharField(max_length=200, blank=True, help_text="What is being done, or why it failed.")
    touched_at = models.DateTimeField(help_text="When it was last left to be worked on.")
    claimed_until = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    checkpoint = models.BinaryField(null=True, blank=True, editable=False)
    result = models.JSONField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="replay_starts_before_end"),
        ]
        indexes = [
            # Reader: dispatch.replaying and the dispatcher, what is not finished.
            models.Index(fields=["id"], name="replay_open", condition=Q(state__in=["WAITING", "RUNNING"])),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk} of {self.label}"
