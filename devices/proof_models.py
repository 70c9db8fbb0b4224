"""What is known of whether devices do what they were told. Written by `devices.proving` alone."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class ProofKind(models.TextChoices):
    """Of a run, or of the return to normal after one."""

    RUN = "RUN", "Run"
    NORMAL = "NORMAL", "Back to normal"


class ProofState(models.TextChoices):
    """AWAITED → PROVEN, DEVIATES or UNKNOWN, and between these while it is looked at.

    Stored names of `devices.domain.proving.Verdict`.
    """

    AWAITED = "AWAITED", "Awaited"
    PROVEN = "PROVEN", "Proven"
    DEVIATES = "DEVIATES", "Deviates"
    UNKNOWN = "UNKNOWN", "Not known"


class ProofHow(models.TextChoices):
    """What it rests on; stored names of `devices.domain.proving.How`."""

    READ_BACK = "READ_BACK", "Read back"
    TELEMETRY = "TELEMETRY", "Telemetry"


class Proof(models.Model):
    """Whether one device did what it was told during `[since, ends_at)`, or was as usual again from `since`.

    `mode` and `target_kw` are of the run, also where the return from it is proven. `since` may lie in the
    midst of a segment, where the device was told so; `over_at` is the end of its recovery. Power is signed:
    what a device takes is positive. `is_open`: the device is to follow it now, or was not proven to be as
    usual; `next_look_at` null: nothing more is to be learnt. `proven_at`: when it was first proven.
    """

    device = models.ForeignKey("devices.Device", on_delete=models.CASCADE, related_name="proofs")
    kind = models.CharField(max_length=16, choices=ProofKind.choices)
    version = models.PositiveIntegerField()
    mode = models.CharField(max_length=16)
    target_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    since = models.DateTimeField()
    settles_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    over_at = models.DateTimeField(null=True, blank=True)
    baseline_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    state = models.CharField(max_length=16, choices=ProofState.choices, default=ProofState.AWAITED)
    how = models.CharField(max_length=16, choices=ProofHow.choices, blank=True)
    detail = models.TextField(blank=True)
    measured_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    is_changed_by_others = models.BooleanField(default=False)
    judged_at = models.DateTimeField(null=True, blank=True)
    proven_at = models.DateTimeField(null=True, blank=True)
    is_open = models.BooleanField(default=True)
    next_look_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device"], name="proof_one_open", condition=Q(is_open=True)),
        ]
        indexes = [
            # Reader: devices.proving and the dispatcher, what is to be looked at.
            models.Index(
                fields=["next_look_at"], name="proof_next_look", condition=Q(next_look_at__isnull=False)
            ),
            # Readers: devices.alerting and the pages, what is not as it should be.
            models.Index(fields=["state", "kind"], name="proof_open_state", condition=Q(is_open=True)),
            models.Index(fields=["device", "since"], name="proof_device_since"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.device_id} since {self.since:%Y-%m-%d %H:%M}"


class Watch(models.Model):
    """When something that has no rows of its own to wait for is looked at next: one row for each task."""

    name = models.CharField(max_length=64, unique=True)
    next_look_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "watches"

    def __str__(self) -> str:
        return self.name
