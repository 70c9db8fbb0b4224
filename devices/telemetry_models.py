"""What devices measured: readings as they came, and the energy between them in whole minutes."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class ReadingMode(models.TextChoices):
    """What a device says it does; in the words of its messages, which are not ours to rename."""

    NORMAL = "normal", "As usual"
    CURTAIL = "curtail", "Curtails"
    DISCHARGE = "discharge", "Discharges"
    EXPORT = "export", "Exports"
    IDLE = "idle", "Idles"


class Reading(models.Model):
    """What one device measured at one moment, to the millisecond; appended, never changed.

    `power_kw` is positive when the device takes power from the grid, negative when it gives. `energy_kwh` is
    a counter: all taken minus all given. `mode` is empty where the device does not say.
    """

    device = models.ForeignKey("Device", on_delete=models.CASCADE, related_name="readings", db_index=False)
    at = models.DateTimeField()
    power_kw = models.DecimalField(max_digits=12, decimal_places=3)
    energy_kwh = models.DecimalField(max_digits=15, decimal_places=3, null=True, blank=True)
    state_of_charge_percent = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    mode = models.CharField(max_length=16, choices=ReadingMode.choices, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["device", "at"], name="reading_once")]
        indexes = [
            # Reader: devices.pruning, what is too old to be kept.
            models.Index(fields=["at"], name="reading_at"),
        ]

    def __str__(self) -> str:
        return f"device {self.device_id} at {self.at:%Y-%m-%d %H:%M:%S}"


class PowerInterval(models.Model):
    """The energy of one device in `[starts_at, starts_at + minutes)`, UTC; `minutes` is 1 or 15.

    `watt_milliseconds` is exact, signed as a reading's power is, and covers `covered_milliseconds` of the
    interval: the rest is a gap. A quarter of an hour is the sum of its minutes. The state of charge is the
    latest said within the interval, at `state_of_charge_at`.
    """

    device = models.ForeignKey("Device", on_delete=models.CASCADE, related_name="intervals", db_index=False)
    minutes = models.PositiveSmallIntegerField()
    starts_at = models.DateTimeField()
    watt_milliseconds = models.BigIntegerField()
    covered_milliseconds = models.PositiveIntegerField()
    state_of_charge_percent = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    state_of_charge_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device", "minutes", "starts_at"], name="interval_once"),
            models.CheckConstraint(condition=Q(minutes__in=[1, 15]), name="interval_minutes"),
        ]
        indexes = [
            # Reader: devices.pruning, what is too old to be kept.
            models.Index(fields=["minutes", "starts_at"], name="interval_starts"),
        ]

    def __str__(self) -> str:
        return f"device {self.device_id}, {self.minutes} min from {self.starts_at:%Y-%m-%d %H:%M}"
