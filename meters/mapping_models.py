"""How devices came behind meters: what was applied at once, and the rule that maps new meters.

The pairs themselves are `devices.models.MeterDevice`. Rows hold primary keys, as that app is above this one.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class MappingSource(models.TextChoices):
    """By what a batch was decided."""

    RULE = "RULE", "Rule"
    FILE = "FILE", "File"
    NEW_METERS = "NEW_METERS", "Rule, for new meters"


class MappingBatch(models.Model):
    """Pairs that were added and removed together. Immutable, but for being undone once."""

    source = models.CharField(max_length=16, choices=MappingSource.choices)
    rule = models.JSONField(default=dict, blank=True, help_text="The rule's form, case and separator.")
    added = models.JSONField(default=list, help_text="[[meter, device], …], primary keys.")
    removed = models.JSONField(default=list, help_text="As `added`.")
    up_to = models.BigIntegerField(help_text="The newest pair then: later ones are not undone.")
    applied_by = models.CharField(max_length=150, blank=True, help_text="Empty: the portal itself.")
    applied_at = models.DateTimeField()
    undone_by = models.CharField(max_length=150, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "mapping batches"

    def __str__(self) -> str:
        return f"mapping {self.pk}: {len(self.added)} added, {len(self.removed)} removed"


class MappingRule(models.Model):
    """The rule that maps new meters by itself; there is at most one, `only` being 1.

    `looked_at`: up to when syncs were looked at. Written by `devices.mapping_by_rule`.
    """

    only = models.PositiveSmallIntegerField(default=1, unique=True, editable=False)
    form = models.CharField(max_length=16)
    ignores_case = models.BooleanField(default=False)
    separator = models.CharField(max_length=8, blank=True)
    changed_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField()
    looked_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(only=1), name="mapping_rule_only_one")]

    def __str__(self) -> str:
        return f"new meters by {self.form}"
