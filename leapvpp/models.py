"""The project's own rows: API keys, signs of life, certification runs, plays of the demo's scenarios."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Role(models.TextChoices):
    """What a key or a user may do; each includes the one before."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    ADMIN = "admin", "Admin"


class ApiKey(models.Model):
    """A key of the REST API, shown once and stored as a hash."""

    name = models.CharField(max_length=100)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    prefix = models.CharField(max_length=12, help_text="The first characters, to tell keys apart.")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Heartbeat(models.Model):
    """The latest sign of life of a process: `worker`, `dispatcher`."""

    name = models.CharField(max_length=64, unique=True)
    beat_at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.name} at {self.beat_at:%H:%M:%S}"


class RunState(models.TextChoices):
    """RUNNING → PASSED or FAILED; ABORTED when it was stopped or died. Moved by `leapvpp.certification`."""

    RUNNING = "RUNNING", "Running"
    PASSED = "PASSED", "Passed"
    FAILED = "FAILED", "Failed"
    ABORTED = "ABORTED", "Aborted"


class CertificationRun(models.Model):
    """One play of scenarios against this installation; kept as its report. One runs at a time.

    `touched_at` is its sign of life: a run that is silent for long has died.
    """

    state = models.CharField(max_length=16, choices=RunState.choices, default=RunState.RUNNING)
    started_at = models.DateTimeField()
    touched_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    started_by = models.CharField(max_length=150, blank=True)
    url = models.CharField(max_length=300, help_text="Where the bodies were posted.")
    version = models.CharField(max_length=64, blank=True)
    database = models.CharField(max_length=32, blank=True)
    is_in_worker = models.BooleanField(default=False, help_text="Played by workers, not by a command.")
    is_kept = models.BooleanField(
        default=False, help_text="Its meters, devices and events stay to be looked at."
    )
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["state"], name="certification_one_running", condition=Q(state="RUNNING")
            ),
        ]

    def __str__(self) -> str:
        return f"certification {self.pk}"


class ResultState(models.TextChoices):
    """WAITING → PLAYING → PASSED or FAILED; SKIPPED when its run ended before."""

    WAITING = "WAITING", "Waiting"
    PLAYING = "PLAYING", "Playing"
    PASSED = "PASSED", "Passed"
    FAILED = "FAILED", "Failed"
    SKIPPED = "SKIPPED", "Skipped"


class CertificationResult(models.Model):
    """One scenario of a run: what was checked, and the medians of how long the portal took.

    `checks` is `[{"name", "passed", "sentence"}]`. Seconds count from the post that Leap's side saw
    answered to the row that says recorded, planned, acknowledged; null where nothing was to be done.
    """

    run = models.ForeignKey(CertificationRun, on_delete=models.CASCADE, related_name="results")
    position = models.PositiveIntegerField()
    scenario = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=ResultState.choices, default=ResultState.WAITING)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    checks = models.JSONField(default=list)
    notifications = models.PositiveIntegerField(default=0)
    events = models.PositiveIntegerField(default=0)
    is_searched = models.BooleanField(default=False)
    recorded_seconds = models.FloatField(null=True, blank=True)
    planned_seconds = models.FloatField(null=True, blank=True)
    acknowledged_seconds = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="certification_position_once"),
            # The end of one scenario removes every scenario's meters: only one may play at a time.
            models.UniqueConstraint(
                fields=["state"], name="certification_one_playing", condition=Q(state="PLAYING")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scenario} of {self.run_id}"


class ScenarioPlay(models.Model):
    """One play of a scenario of the demo's showroom; SKIPPED when its process died.

    `checks` is `[{"step", "name", "passed", "sentence"}]`, written as the steps are taken; `event_ids` is
    Leap's id of each of its calls, by name.
    """

    scenario = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=ResultState.choices, default=ResultState.WAITING)
    asked_at = models.DateTimeField()
    asked_by = models.CharField(max_length=150)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    steps_done = models.PositiveIntegerField(default=0)
    checks = models.JSONField(default=list)
    event_ids = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scenario"],
                name="scenario_one_open",
                condition=Q(state__in=["WAITING", "PLAYING"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scenario} {self.pk}"
