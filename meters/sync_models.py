"""The sync with Leap: its runs, what each changed, and what Leap said last of every meter."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class SyncKind(models.TextChoices):
    """Everything that Leap lists, what it says it has changed since the last run, or meters by their ids."""

    FULL = "FULL", "Full"
    CHANGES = "CHANGES", "Changes"
    NAMED = "NAMED", "Named meters"


class SyncState(models.TextChoices):
    """WAITING → RUNNING → DONE, FAILED or LOST (whoever ran it died); moved by `meters.sync_turns`."""

    WAITING = "WAITING", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"
    LOST = "LOST", "Lost"


OPEN_SYNCS = (SyncState.WAITING, SyncState.RUNNING)


class MeterSync(models.Model):
    """One run. `turn` is 1 while it waits or runs and null once it is over: there is one at a time.

    Whoever holds `claimed_until` runs it; a lease that lapsed is a run that died.
    """

    kind = models.CharField(max_length=16, choices=SyncKind.choices)
    state = models.CharField(max_length=16, choices=SyncState.choices, default=SyncState.WAITING)
    turn = models.PositiveSmallIntegerField(null=True, default=1, unique=True, editable=False)
    requested_by = models.CharField(max_length=150, blank=True, help_text="Empty: the portal itself.")
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    since = models.DateTimeField(null=True, blank=True, help_text="Of changes: since when they were asked.")
    claimed_until = models.DateTimeField(null=True, blank=True)
    expected = models.PositiveIntegerField(default=0, help_text="Meters listed before, for the progress.")
    pages = models.PositiveIntegerField(default=0)
    meters = models.PositiveIntegerField(default=0, help_text="Meters read, with and without changes.")
    appeared = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    archived = models.PositiveIntegerField(default=0)
    vanished = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    detail = models.TextField(blank=True, help_text="Why it failed, or what else is worth knowing.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(turn__isnull=True) | Q(turn=1, state__in=OPEN_SYNCS), name="meter_sync_one_turn"
            ),
        ]

    def __str__(self) -> str:
        return f"sync {self.pk}"


class ChangeKind(models.TextChoices):
    """What became of a meter: the words of `meters.domain.syncing.Kind`."""

    APPEARED = "APPEARED", "Appeared"
    CHANGED = "CHANGED", "Changed"
    ARCHIVED = "ARCHIVED", "Archived"
    VANISHED = "VANISHED", "No longer listed"


class MeterChange(models.Model):
    """What one run changed of one meter. Never altered."""

    sync = models.ForeignKey(MeterSync, on_delete=models.CASCADE, related_name="changes")
    meter = models.ForeignKey("meters.Meter", on_delete=models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=16, choices=ChangeKind.choices)
    fields = models.JSONField(default=dict, help_text="{field: [old, new]}, in Leap's words.")

    def __str__(self) -> str:
        return f"{self.meter_id} {self.kind} in {self.sync_id}"


class MeterAtLeap(models.Model):
    """All that Leap last said of a meter, fields unknown to the portal included.

    Apart from `Meter`, so that planning never loads it. `turns_at`: when the same words will mean something
    else, as an idle period begins.
    """

    meter = models.OneToOneField("meters.Meter", on_delete=models.CASCADE, related_name="at_leap")
    enrollment = models.JSONField(default=dict)
    details = models.JSONField(default=dict)
    heard_at = models.DateTimeField(help_text="When a run last brought something new.")
    turns_at = models.DateTimeField(null=True, blank=True)
    seen_in = models.BigIntegerField(help_text="The last run that listed it.")
    gone_at = models.DateTimeField(null=True, blank=True, help_text="Since a full run did not list it.")

    class Meta:
        verbose_name = "meter at Leap"
        verbose_name_plural = "meters at Leap"
        indexes = [
            # Reader: meters.syncing, whose words mean something else by now.
            models.Index(
                fields=["turns_at"], name="meter_at_leap_turns", condition=Q(turns_at__isnull=False)
            ),
            # Reader: meters.syncing, what a full run did not list.
            models.Index(fields=["seen_in"], name="meter_at_leap_seen", condition=Q(gone_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} at Leap"


class MeterToRead(models.Model):
    """A meter that is to be read again from Leap, because something hints that it changed there.

    Written by `meters.rereading`; the run that reads it takes the row away with what it stores. `attempt_at`:
    not before; `tries`: how often Leap was asked without telling.
    """

    meter_id = models.CharField(max_length=64, unique=True, help_text="Leap's id, known to us or not.")
    why = models.CharField(max_length=200, blank=True)
    asked_at = models.DateTimeField()
    attempt_at = models.DateTimeField(db_index=True)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "meters to read"

    def __str__(self) -> str:
        return f"{self.meter_id}: {self.why}"
