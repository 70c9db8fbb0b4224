"""How meters come to be at Leap: jobs that create them, and customers who authorize them in Leap Connect."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

OVER = ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED")


class JobState(models.TextChoices):
    """DRAFT → WAITING → SENDING → PROCESSING → COMPLETED, COMPLETED_WITH_ERRORS or FAILED.

    Moved by `meters.onboarding`. SENDING: perhaps at Leap, perhaps not. The last four are Leap's words.
    """

    DRAFT = "DRAFT", "Draft"
    WAITING = "WAITING", "Waiting"
    SENDING = "SENDING", "Sending"
    PROCESSING = "PROCESSING", "At Leap"
    COMPLETED = "COMPLETED", "Completed"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS", "Completed with errors"
    FAILED = "FAILED", "Failed"


class MeterJob(models.Model):
    """One file, or one form, of meters to create. A draft is looked at first; batches of it go to Leap."""

    file_name = models.CharField(max_length=200)
    update_existing = models.BooleanField(default=False)
    state = models.CharField(max_length=32, choices=JobState.choices, default=JobState.DRAFT)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField()
    requested_by = models.CharField(max_length=150, blank=True, help_text="Who had it sent.")
    requested_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    rows_count = models.PositiveIntegerField(default=0)
    problems_count = models.PositiveIntegerField(default=0, help_text="Rows with which it cannot be sent.")

    class Meta:
        indexes = [models.Index(fields=["-made_at"], name="meter_job_newest")]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.pk})"


class MeterJobBatch(models.Model):
    """What is one job at Leap: so many rows of ours. Whoever holds `claimed_until` speaks of it to Leap.

    `file_name` is unique, so that a batch of which nobody knows whether it arrived can be found at Leap.
    """

    job = models.ForeignKey(MeterJob, on_delete=models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField()
    file_name = models.CharField(max_length=255, unique=True)
    state = models.CharField(max_length=32, choices=JobState.choices, default=JobState.WAITING)
    leap_job_id = models.CharField(max_length=64, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    look_at = models.DateTimeField(null=True, blank=True, help_text="Not to be touched before.")
    tries = models.PositiveIntegerField(default=0, help_text="Looks since it last moved on.")
    detail = models.TextField(blank=True, help_text="Why it failed, or why it does not move on.")

    class Meta:
        verbose_name_plural = "meter job batches"
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="meter_job_batch_once")]
        indexes = [
            # Reader: meters.queries, what is to be sent or looked at.
            models.Index(fields=["look_at"], name="meter_job_batch_open", condition=~Q(state__in=OVER)),
        ]

    def __str__(self) -> str:
        return self.file_name


class MeterJobRow(models.Model):
    """One meter to create. `status`, `status_detail`, `description`: Leap's words, empty until it answers."""

    job = models.ForeignKey(MeterJob, on_delete=models.CASCADE, related_name="rows")
    batch = models.ForeignKey(
        MeterJobBatch, null=True, blank=True, on_delete=models.SET_NULL, related_name="rows"
    )
    number = models.PositiveIntegerField(help_text="Row of the file, the header being row 1.")
    partner_reference = models.CharField(max_length=256, blank=True)
    cells = models.JSONField(default=dict, help_text="As they stood in the file, by column.")
    asset = models.JSONField(default=dict, help_text="As it is sent to Leap.")
    problems = models.JSONField(default=list, help_text="[[column, what to do], …]")
    status = models.CharField(max_length=32, blank=True)
    status_detail = models.CharField(max_length=64, blank=True)
    description = models.TextField(blank=True)
    meter_id = models.CharField(max_length=64, blank=True, help_text="Leap's id of the meter it became.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="meter_job_row_once")]

    def __str__(self) -> str:
        return f"row {self.number} of {self.job_id}"


class ConnectStanding(models.TextChoices):
    """Where a customer stands: the words of `meters.domain.connecting.Standing`."""

    SENT = "SENT", "Link made"
    OPENED = "OPENED", "Opened"
    AUTHORIZING = "AUTHORIZING", "Authorizing"
    FAILED = "FAILED", "Failed"
    LEFT = "LEFT", "Left early"
    COMPLETED = "COMPLETED", "Completed"
    AUTHORIZED = "AUTHORIZED", "Authorized"


class Connection(models.Model):
    """A customer who was sent, or came by, Leap Connect, known by the refId of the link.

    `made_at` null: not made here. What follows it is told by the steps, and summed up by `meters.connecting`.
    """

    partner_reference = models.CharField(max_length=256, unique=True, help_text="The refId of the link.")
    customer_name = models.CharField(max_length=200, blank=True)
    transmission_region = models.CharField(max_length=32, blank=True)
    utilities = models.CharField(max_length=200, blank=True, help_text="Utilities to offer; empty: all.")
    note = models.CharField(max_length=500, blank=True)
    made_by = models.CharField(max_length=150, blank=True)
    made_at = models.DateTimeField(null=True, blank=True)
    first_at = models.DateTimeField(help_text="When the portal first knew of it.")
    standing = models.CharField(max_length=16, choices=ConnectStanding.choices, default=ConnectStanding.SENT)
    utility_name = models.CharField(max_length=100, blank=True, help_text="Of the standing, Leap's word.")
    standing_since = models.DateTimeField(null=True, blank=True)
    heard_at = models.DateTimeField(null=True, blank=True, help_text="When Leap last said something.")
    sessions = models.PositiveIntegerField(default=0)
    authorized_utilities = models.JSONField(default=list, blank=True)

    class Meta:
        indexes = [
            # Readers: the list of connections and the control room.
            models.Index(fields=["standing", "standing_since"], name="connection_standing"),
        ]

    def __str__(self) -> str:
        return self.customer_name or self.partner_reference


class ConnectionStep(models.Model):
    """One event of Leap's about a customer. Never altered. The order of `id` is that of receipt."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="steps")
    kind = models.CharField(max_length=16, help_text="SESSION or AUTHORIZATION.")
    status = models.CharField(max_length=32, help_text="Leap's word, known to us or not.")
    utility_name = models.CharField(max_length=100, blank=True)
    webhook_event_id = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["webhook_event_id"], name="connection_step_once", condition=~Q(webhook_event_id="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.status} of {self.connection_id}"


class MeterReference(models.Model):
    """A refId under which a customer authorized a meter; one meter may have several.

    From `connection_references` of Leap's body, written by `meters.connecting` with every sync; joined to
    connections by text, so that it does not matter which of both is known first.
    """

    meter = models.ForeignKey("meters.Meter", on_delete=models.CASCADE, related_name="connection_references")
    reference = models.CharField(max_length=256, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["meter", "reference"], name="meter_reference_once")]

    def __str__(self) -> str:
        return f"{self.reference} of {self.meter_id}"
