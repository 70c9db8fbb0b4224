"""What was found at the broker: devices that announced themselves, until somebody maps or dismisses them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class FoundDevice(models.Model):
    """A device that nobody registered: it announced itself. Written by `devices.discovering`.

    Without a meter nothing can move it. `said` is what it announced last, by the fields of `Device`: what
    stands there still as it said it may follow a new announcement, what a person wrote may not. `gone_at`: it
    took back all it had announced. `dismissed_at`: a person wants to hear no more of it.
    """

    device = models.OneToOneField("Device", on_delete=models.CASCADE, related_name="found")
    manufacturer = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    said = models.JSONField(default=dict)
    found_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True)
    dismissed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Readers: the page of devices and devices.discovering, who waits to be mapped.
            models.Index(fields=["found_at"], name="found_waiting", condition=Q(dismissed_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"found {self.device_id}"


class FoundConfig(models.Model):
    """A topic under which a found device announces itself or a part of it."""

    found = models.ForeignKey(FoundDevice, on_delete=models.CASCADE, related_name="configs")
    topic = models.CharField(max_length=512, unique=True)

    def __str__(self) -> str:
        return self.topic
