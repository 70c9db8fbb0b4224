"""What needs a person, device by device, and the messages that say so."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class AlertKind(models.TextChoices):
    """What is wrong; stored names of `devices.domain.alerts.Kind`."""

    FAILED = "FAILED", "Takes no command"
    UNVERIFIED = "UNVERIFIED", "Not verified"
    OFFLINE_BEFORE_EVENT = "OFFLINE_BEFORE_EVENT", "Offline before an event"
    NOT_RESTORED = "NOT_RESTORED", "Not back to normal"
    CHANGED_BY_OTHERS = "CHANGED_BY_OTHERS", "Changed by someone else"


class Alert(models.Model):
    """One thing that is, or was, wrong with one device. Raised and cleared by `devices.alerting`.

    At most one of a kind is not cleared. `acknowledged_*`: who has seen it, and what they noted.
    `told_at`: when messages about it were written; null until then.
    """

    device = models.ForeignKey("devices.Device", on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=24, choices=AlertKind.choices)
    text = models.TextField()
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    note = models.TextField(blank=True)
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["device", "kind"], name="alert_one_open", condition=Q(cleared_at__isnull=True)
            ),
        ]
        indexes = [
            # Readers: the pages' count and devices.alerting, what is wrong now.
            models.Index(
                fields=["kind", "raised_at"], name="alert_open", condition=Q(cleared_at__isnull=True)
            ),
            # Reader: devices.alerting, what nobody was told yet.
            models.Index(fields=["kind"], name="alert_untold", condition=Q(told_at__isnull=True)),
            models.Index(fields=["raised_at"], name="alert_raised"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.device_id} at {self.raised_at:%Y-%m-%d %H:%M}"


class Channel(models.TextChoices):
    """How a message leaves."""

    EMAIL = "EMAIL", "E-mail"
    WEBHOOK = "WEBHOOK", "Webhook"


REQUIRED_ACTIONS = "REQUIRED_ACTIONS"
"""The kind of a message that reminds of required actions, which are no alert."""


class AlertMessage(models.Model):
    """One message about alerts of a kind that were raised together, until it is sent or given up.

    Or one that reminds of required actions. Written by `devices.alerting` and `devices.reminding`, moved by
    `devices.alert_sending`. `message_id` stays the same however often it is tried. `next_attempt_at` null:
    nothing more is tried.
    """

    message_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    kind = models.CharField(
        max_length=24, choices=[*AlertKind.choices, (REQUIRED_ACTIONS, "Required actions due")]
    )
    subject = models.CharField(max_length=200)
    text = models.TextField()
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        indexes = [
            # Reader: devices.alert_sending and the dispatcher, what is to be sent.
            models.Index(
                fields=["next_attempt_at"],
                name="alert_message_due",
                condition=Q(next_attempt_at__isnull=False),
            ),
            # Reader: devices.alerting, when the last message of a kind was written.
            models.Index(fields=["kind", "created_at"], name="alert_message_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.message_id}"


class ReminderSent(models.Model):
    """That people were reminded of a group of required actions within so many days of its deadline.

    `digest` is of `meters.domain.actions.digest_of`. Written by `devices.reminding` with the message, and
    taken away some days after the deadline.
    """

    digest = models.CharField(max_length=64)
    days = models.PositiveSmallIntegerField()
    deadline_at = models.DateTimeField()
    written_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "reminders sent"
        constraints = [
            models.UniqueConstraint(fields=["digest", "days"], name="reminder_once"),
        ]

    def __str__(self) -> str:
        return f"{self.digest[:8]} within {self.days} days"
