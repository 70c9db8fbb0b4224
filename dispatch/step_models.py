"""Groups out of step: where Leap calls others for a group than are in it here. Written by comparing them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class GroupDifference(models.Model):
    """How a call of a group and its members here differ, stored once under the hash of its content.

    Lists hold Leap's meter ids in lower case, sorted. `is_group_unknown`: no member was ever held here, and
    the lists are empty.
    """

    digest = models.CharField(max_length=64, unique=True)
    called = models.PositiveIntegerField(help_text="How many meters Leap calls.")
    held = models.PositiveIntegerField(help_text="How many members the portal holds for that time.")
    called_not_ours = models.JSONField(
        default=list, help_text="Leap calls them; they are no members here then."
    )
    called_not_ours_count = models.PositiveIntegerField(default=0)
    ours_not_called = models.JSONField(default=list, help_text="Members here then; Leap does not call them.")
    ours_not_called_count = models.PositiveIntegerField(default=0)
    is_group_unknown = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.called} called, {self.held} held {self.digest[:8]}"


class OutOfStep(models.Model):
    """An event for which Leap calls others than are in the group here when it begins. One an event, kept.

    It stands while `settled_at` is null; whether it still matters the event says: over or cancelled, it does
    not. Found again after it was settled, it stands anew.
    """

    event = models.OneToOneField(
        "dispatch.DispatchEvent", on_delete=models.CASCADE, related_name="out_of_step"
    )
    difference = models.ForeignKey(GroupDifference, on_delete=models.PROTECT, related_name="events")
    found_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "group out of step"
        verbose_name_plural = "groups out of step"
        indexes = [
            # Readers: the control room and the lists of groups, what stands.
            models.Index(fields=["event"], name="out_of_step_standing", condition=Q(settled_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"event {self.event_id} out of step"
