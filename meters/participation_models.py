"""What people asked Leap about who takes part: requests, what came of each meter, and Leap's idle periods."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class ParticipationKind(models.TextChoices):
    """What is asked: the words of `meters.domain.participation.Kind`."""

    IDLE = "IDLE", "Idle"
    END_IDLE = "END_IDLE", "End idle"
    PARTICIPATE = "PARTICIPATE", "Participate"
    DISENROLL = "DISENROLL", "Disenroll"


class ParticipationState(models.TextChoices):
    """WAITING → SENDING → WAITING again (Leap is away), or an end; moved by `meters.participating`.

    DONE: every meter was accepted. PARTLY: some were. FAILED: none was. UNCLEAR: Leap never answered and does
    not show it. WITHDRAWN: a person took it back before it was sent.
    """

    WAITING = "WAITING", "Waiting"
    SENDING = "SENDING", "Sending"
    DONE = "DONE", "Done"
    PARTLY = "PARTLY", "Done in part"
    FAILED = "FAILED", "Failed"
    UNCLEAR = "UNCLEAR", "Unclear"
    WITHDRAWN = "WITHDRAWN", "Withdrawn"


OPEN_STATES = (ParticipationState.WAITING, ParticipationState.SENDING)


class ParticipationRequest(models.Model):
    """One thing asked of Leap for some meters, on days of each meter's own clock, the last one included.

    Whoever holds `claimed_until` speaks to Leap about it; a lease that lapsed is a worker that died.
    `may_have_arrived`: Leap was asked and nobody knows what came of it, so its lists are read before it is
    asked again.
    """

    kind = models.CharField(max_length=16, choices=ParticipationKind.choices)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="Of an idle period: its last day.")
    reason = models.TextField(blank=True)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_index=True)
    state = models.CharField(
        max_length=16, choices=ParticipationState.choices, default=ParticipationState.WAITING
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(help_text="Not before, while it waits.")
    may_have_arrived = models.BooleanField(default=False)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When Leap was last asked.")
    finished_at = models.DateTimeField(null=True, blank=True)
    detail = models.TextField(blank=True, help_text="Why it waits or failed, in Leap's words.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gte=F("starts_on")),
                name="participation_first_day_before_last",
            ),
        ]
        indexes = [
            # Readers: the dispatcher and meters.participating, what waits or was left half sent.
            models.Index(
                fields=["next_attempt_at"], name="participation_open", condition=Q(state__in=OPEN_STATES)
            ),
        ]

    def __str__(self) -> str:
        return f"participation request {self.pk}"


class ParticipationOutcome(models.TextChoices):
    """What came of one meter of a request.

    DROPPED: Leap left it out without a word, or does not know it. EXPIRED: Leap could not be asked in time.
    UNCLEAR: Leap was asked, never answered, and does not show it.
    """

    PENDING = "PENDING", "Not yet"
    ACCEPTED = "ACCEPTED", "Accepted"
    DROPPED = "DROPPED", "Dropped"
    REFUSED = "REFUSED", "Refused"
    EXPIRED = "EXPIRED", "Too late"
    UNCLEAR = "UNCLEAR", "Unclear"
    WITHDRAWN = "WITHDRAWN", "Withdrawn"


class ParticipationItem(models.Model):
    """One meter of a request. `[starts_at, ends_at)`: its days in UTC, by the zone that it had then.

    `gate_id`: the opt-out of `dispatch` that was made with it, if any; no foreign key, as that app is above.
    """

    request = models.ForeignKey(ParticipationRequest, on_delete=models.CASCADE, related_name="items")
    meter = models.ForeignKey("meters.Meter", on_delete=models.CASCADE, related_name="participation_items")
    timezone = models.CharField(max_length=64)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(help_text="After that it makes no sense to ask Leap.")
    outcome = models.CharField(
        max_length=16, choices=ParticipationOutcome.choices, default=ParticipationOutcome.PENDING
    )
    detail = models.TextField(blank=True)
    gate_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "meter"], name="participation_meter_once"),
        ]
        indexes = [
            # Reader: meters.participating, whom Leap is still to be asked about.
            models.Index(
                fields=["request", "id"], name="participation_pending", condition=Q(outcome="PENDING")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} in request {self.request_id}: {self.outcome}"


class IdlePeriod(models.Model):
    """An idle period as Leap lists it: exact days of the meter's own clock, the last one included."""

    meter = models.ForeignKey("meters.Meter", on_delete=models.CASCADE, related_name="idle_periods")
    starts_on = models.DateField()
    ends_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["meter", "starts_on", "ends_on"], name="idle_period_once"),
        ]
        indexes = [
            # Readers: the page of participation, the calendar.
            models.Index(fields=["ends_on", "starts_on"], name="idle_period_days"),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} idle {self.starts_on} – {self.ends_on}"


class IdleListing(models.Model):
    """When Leap's list of idle periods was last read; one row at most, written by `meters.participating`."""

    number = models.PositiveSmallIntegerField(default=1, unique=True, editable=False)
    tried_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return "the list of idle periods"
