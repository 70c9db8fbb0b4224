"""The connection to Leap: what Leap said of it last, what was changed there, and which keys are in use.

No row holds a key: only its fingerprint (`leapvpp.leap.keys`).
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class LeapCheck(models.Model):
    """What Leap last said of our connection; there is one row, `only` being 1.

    Written by `dispatch.checking_leap`. `answer` stays as it was when a later try fails: `error` says why.
    """

    only = models.PositiveSmallIntegerField(default=1, unique=True, editable=False)
    requested_at = models.DateTimeField(null=True, blank=True, help_text="Somebody waits for an answer.")
    claimed_until = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of a refusal, Leap's status.")
    error = models.TextField(blank=True)
    base_url = models.CharField(max_length=200, blank=True, help_text="Whom `answer` is from.")
    api_key = models.CharField(max_length=16, blank=True, help_text="Fingerprint of LEAP_API_KEY.")
    api_key_since = models.DateTimeField(null=True, blank=True)
    answer = models.JSONField(default=dict, blank=True, help_text="`dispatch.domain.leap_connection.Held`.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(only=1), name="leap_check_only_one")]

    def __str__(self) -> str:
        return "what Leap says of the connection"


class LeapActKind(models.TextChoices):
    """What is done at Leap."""

    SET_WEBHOOK = "SET_WEBHOOK", "Set the dispatch webhook"
    DELETE_WEBHOOK = "DELETE_WEBHOOK", "Delete the dispatch webhook"
    SUBSCRIBE = "SUBSCRIBE", "Subscribe to platform events"
    UPDATE_SUBSCRIPTION = "UPDATE_SUBSCRIPTION", "Repair the subscription"
    DELETE_SUBSCRIPTION = "DELETE_SUBSCRIPTION", "Delete the subscription"
    TEST_SUBSCRIPTION = "TEST_SUBSCRIPTION", "Test the subscription"


class LeapActState(models.TextChoices):
    """WAITING → SENDING → DONE, FAILED or UNKNOWN (who asked died); moved by `dispatch.changing_leap`."""

    WAITING = "WAITING", "Waiting"
    SENDING = "SENDING", "Asking Leap"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"
    UNKNOWN = "UNKNOWN", "Not known"


class LeapAct(models.Model):
    """One change of what Leap holds for us: who asked, when, before → after. Never deleted.

    Written before Leap is asked, and sent at most once. `target`: a level, or a subscription's id.
    """

    kind = models.CharField(max_length=24, choices=LeapActKind.choices)
    target = models.CharField(max_length=256, blank=True)
    url = models.CharField(max_length=500, blank=True)
    key = models.CharField(max_length=16, blank=True, help_text="Fingerprint of the key Leap is to send.")
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=16, choices=LeapActState.choices, default=LeapActState.WAITING)
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        indexes = [
            # Reader: dispatch.changing_leap, what is to be sent or was left half sent.
            models.Index(
                fields=["state"], name="leap_act_open", condition=Q(state__in=["WAITING", "SENDING"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


class DoorName(models.TextChoices):
    """Where Leap posts."""

    DISPATCH = "DISPATCH", "Dispatches"
    EVENTS = "EVENTS", "Platform events"


class WebhookKeyUse(models.Model):
    """When a key last opened a door, to the minute. Written by `dispatch.intake.key_uses`."""

    fingerprint = models.CharField(max_length=16)
    door = models.CharField(max_length=16, choices=DoorName.choices)
    first_at = models.DateTimeField()
    latest_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["fingerprint", "door"], name="key_use_once_a_door")]

    def __str__(self) -> str:
        return f"{self.fingerprint} at {self.door}"
