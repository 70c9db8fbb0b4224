"""Delivery periods that begin soon and are not ready, as `dispatch.checking_seasons` last found them."""

from __future__ import annotations

from django.db import models


class SeasonWarning(models.Model):
    """A period that begins soon and was not ready when it was last looked at; gone once it is.

    `verdict` and `lacks` are words: how many of its meters were ready, and what holds the others back.
    """

    program = models.CharField(max_length=64, blank=True)
    delivery_period = models.CharField(max_length=128, blank=True)
    starts_at = models.DateTimeField()
    verdict = models.CharField(max_length=200)
    lacks = models.TextField(blank=True)
    checked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["program", "delivery_period", "starts_at"], name="season_warned_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.program} {self.delivery_period} from {self.starts_at:%Y-%m-%d}"
