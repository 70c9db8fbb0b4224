"""How meters stand in Leap's programs, and what has to be done so that they stand better.

Leap's words, written by `meters.enrolling` from what a sync reads; an action's owner and note are a person's.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class MeterKind(models.TextChoices):
    """What a program measures at. Source: Leap, "Onboard Overview", read 2026-11."""

    UTILITY_METER = "UTILITY_METER", "Utility meter"
    DEVICE = "DEVICE", "Device"


class IntervalSource(models.TextChoices):
    """Who brings the interval data by which a program settles. Source: as above."""

    UTILITY = "UTILITY", "Utility"
    ISO = "ISO", "Grid operator"
    PARTNER = "PARTNER", "Partner uploads"


class OnboardMethod(models.TextChoices):
    """How meters of a program come to be at Leap. Source: as above."""

    CUSTOMER = "CUSTOMER", "Customer authorizes (Leap Connect)"
    PARTNER = "PARTNER", "Partner creates (Create Meters)"
    EITHER = "EITHER", "Partner creates, or customer authorizes"


class Program(models.Model):
    """One of Leap's programs by its code. One that is only heard of appears by itself, with its code alone.

    `first_heard_at`: when a sync or a dispatch first named it; null while it only stands in the table.
    """

    code = models.CharField(max_length=64, unique=True, help_text="As Leap writes it, such as NYISO-SCR.")
    name = models.CharField(max_length=200, blank=True)
    region = models.CharField(max_length=64, blank=True, help_text="As Leap's overview says it: CA, NY, MA.")
    transmission_region = models.CharField(max_length=32, blank=True)
    meter_kind = models.CharField(max_length=16, choices=MeterKind.choices, blank=True)
    interval_source = models.CharField(max_length=16, choices=IntervalSource.choices, blank=True)
    onboard_method = models.CharField(max_length=16, choices=OnboardMethod.choices, blank=True)
    note = models.TextField(blank=True)
    first_heard_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.code


class Enrollment(models.Model):
    """How a meter stands in one program for one delivery period `[starts_at, ends_at)`.

    `deadlines`: `[[deadline, activation], …]` as Leap writes them, in order; `market_group_id`: the group in
    this period, "" while there is none. The latest that Leap said; rows it no longer says are deleted.
    """

    meter = models.ForeignKey("meters.Meter", on_delete=models.CASCADE, related_name="enrollments")
    program = models.CharField(max_length=64, blank=True)
    delivery_period = models.CharField(max_length=128, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=32, help_text="Leap's word, known to us or not.")
    deadlines = models.JSONField(default=list, blank=True)
    market_group_id = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["meter", "program", "delivery_period", "starts_at"], name="enrollment_once_a_period"
            ),
        ]
        indexes = [
            # Readers: the pages of programs and seasons.
            models.Index(fields=["program", "starts_at"], name="enrollment_of_program"),
            # Reader: the control room, which periods begin soon.
            models.Index(fields=["starts_at"], name="enrollment_start"),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} in {self.program} {self.delivery_period}: {self.status}"


class ActionParty(models.TextChoices):
    """Who has to do it."""

    PARTNER = "PARTNER", "Partner"
    LEAP = "LEAP", "Leap"


class RequiredAction(models.Model):
    """Something that must be done before a meter can be enrolled. Kept when it is resolved.

    `resolved_at`: when Leap no longer asked for it; null again when it asks anew. `owner` and `note` are a
    person's.
    """

    meter = models.ForeignKey("meters.Meter", on_delete=models.CASCADE, related_name="required_actions")
    party = models.CharField(max_length=16, choices=ActionParty.choices)
    program = models.CharField(max_length=64, blank=True)
    delivery_period = models.CharField(max_length=128, blank=True)
    action_type = models.CharField(max_length=64, help_text="Leap's word, such as NO_MISSING_FIELDS.")
    action_code = models.CharField(max_length=32, blank=True, help_text="Such as SERV_0005.")
    description = models.TextField(blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    appeared_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.TextField(blank=True)
    noted_by = models.CharField(max_length=150, blank=True)
    noted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["meter", "party", "program", "delivery_period", "action_type", "action_code"],
                name="required_action_once",
            ),
        ]
        indexes = [
            # Readers: the work list, the control room, reminders.
            models.Index(
                fields=["deadline_at"], name="required_action_open", condition=Q(resolved_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action_type} of {self.meter_id} for {self.program}"
