"""What we can move: devices, their schedules, the commands that carry them, and every attempt.

Schedules, segments and attempts are appended and never changed but for their state.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from devices import alert_models as alert_models  # Django looks for models here
from devices import discovery_models as discovery_models  # and here
from devices import proof_models as proof_models  # and here
from devices import telemetry_models as telemetry_models  # and here
from devices.domain.schedule import Mode, Segment
from meters.models import Meter, Site


class DeviceKind(models.TextChoices):
    """What a device is."""

    BATTERY = "BATTERY", "Battery"
    THERMOSTAT = "THERMOSTAT", "Thermostat"
    EV_CHARGER = "EV_CHARGER", "EV charger"
    HVAC = "HVAC", "HVAC"
    WATER_HEATER = "WATER_HEATER", "Water heater"
    GENERATOR = "GENERATOR", "Generator"
    LOAD = "LOAD", "Industrial load"


class Device(models.Model):
    """One thing that can be told what to do.

    `schedule_version` is the newest version made for it and only grows (the fence: a device refuses an
    older one); `plan_requested_at` as on a meter, but may lie ahead. `settings` belong to the driver.
    `failing_since` and `recovered_at`: `devices.failing`. `busy_until`: the lease of whoever speaks to it,
    for devices that know no versions and so must be spoken to by one at a time. `silent_tries`: how many in a
    row it has not answered; `rests_until`: it is left alone so long (`devices.domain.breaker`).
    `weigh_requested_at`: a reading of the state of charge waits for dispatch to say whether it bears on the
    plan; `planned_percent` is the one that the latest plan weighed.
    """

    external_id = models.CharField(max_length=128, unique=True)
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=16, choices=DeviceKind.choices, default=DeviceKind.LOAD)
    driver = models.CharField(max_length=64, default="simulator")
    settings = models.JSONField(default=dict, blank=True)
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL, related_name="devices")
    meters: models.ManyToManyField[Meter, MeterDevice] = models.ManyToManyField(
        Meter, through="MeterDevice", related_name="devices"
    )
    rated_power_kw = models.DecimalField(max_digits=12, decimal_places=3)
    energy_capacity_kwh = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    may_export = models.BooleanField(default=False, help_text="The site may send power to the grid.")
    policy = models.CharField(
        max_length=64, blank=True, help_text="Name of the response policy of this device alone."
    )
    commitments_only = models.BooleanField(
        default=False, help_text="The customer's standing wish: nothing voluntary."
    )
    state_of_charge_percent = models.DecimalField(
        max_digits=5, decimal_places=2, null=True, blank=True, help_text="As the device last said it."
    )
    state_of_charge_at = models.DateTimeField(null=True, blank=True)
    is_online = models.BooleanField(default=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    power_kw = models.DecimalField(
        max_digits=12,
        decimal_places=3,
        null=True,
        blank=True,
        editable=False,
        help_text="As last said: what it takes is positive, what it gives negative.",
    )
    power_at = models.DateTimeField(null=True, blank=True, editable=False)
    schedule_version = models.PositiveIntegerField(default=0, editable=False)
    busy_until = models.DateTimeField(null=True, blank=True, editable=False)
    silent_tries = models.PositiveIntegerField(default=0, editable=False)
    rests_until = models.DateTimeField(null=True, blank=True, editable=False)
    plan_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    recovered_at = models.DateTimeField(null=True, blank=True, editable=False)
    weigh_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    planned_percent = models.DecimalField(
        max_digits=5, decimal_places=2, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(rated_power_kw__gte=0), name="device_rated_not_negative"),
            models.CheckConstraint(
                condition=Q(state_of_charge_percent__isnull=True, state_of_charge_at__isnull=True)
                | Q(
                    state_of_charge_percent__gte=0,
                    state_of_charge_percent__lte=100,
                    state_of_charge_at__isnull=False,
                ),
                name="device_charge_in_percent",
            ),
        ]
        indexes = [
            # Reader: dispatch.planning, what a change of a device left to be decided.
            models.Index(
                fields=["plan_requested_at"],
                name="device_plan_requested",
                condition=Q(plan_requested_at__isnull=False),
            ),
            # Reader: dispatch.weighing, which readings nobody has weighed.
            models.Index(
                fields=["weigh_requested_at"],
                name="device_weigh_requested",
                condition=Q(weigh_requested_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.external_id


class MeterDevice(models.Model):
    """A device behind a meter. A meter has many devices; a device may sit behind several meters."""

    meter = models.ForeignKey(Meter, on_delete=models.CASCADE, related_name="meter_devices")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="meter_devices")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["meter", "device"], name="meter_device_once")]

    def __str__(self) -> str:
        return f"{self.device_id} behind {self.meter_id}"


class ScheduleState(models.TextChoices):
    """Where a schedule stands with its device; moved by `devices.commanding`."""

    PENDING = "PENDING", "Pending"
    SENT = "SENT", "Sent"
    ACKNOWLEDGED = "ACKNOWLEDGED", "Acknowledged"
    FAILED = "FAILED", "Failed"


class DeviceSchedule(models.Model):
    """The whole desired schedule of a device under one version; the newest has no `superseded_at`.

    In effect during `[created_at, superseded_at)`: what a device really was to do in the past is
    its versions' segments, each cut to the time its version was in effect. `driver`: whose commands carry it;
    a device that got another driver is told anew.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="schedules")
    version = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)
    digest = models.CharField(max_length=64)
    policy = models.CharField(
        max_length=80, blank=True, help_text="Response policy and version under which it was made."
    )
    driver = models.CharField(max_length=64, blank=True, editable=False)
    state = models.CharField(max_length=16, choices=ScheduleState.choices, default=ScheduleState.PENDING)
    acknowledged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device", "version"], name="schedule_version_once"),
            models.UniqueConstraint(
                fields=["device"], name="schedule_one_current", condition=Q(superseded_at__isnull=True)
            ),
        ]
        indexes = [
            # Reader: dispatch.reading.takeovers, which versions a change has ended.
            models.Index(
                fields=["superseded_at"],
                name="schedule_superseded",
                condition=Q(superseded_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"device {self.device_id} version {self.version}"


class SegmentMode(models.TextChoices):
    """Stored names of `devices.domain.schedule.Mode`."""

    CURTAIL = "CURTAIL", "Curtail"
    DISCHARGE = "DISCHARGE", "Discharge"
    EXPORT = "EXPORT", "Export"
    IDLE = "IDLE", "Idle"


class ScheduleSegment(models.Model):
    """One `[starts_at, ends_at)` of a schedule; `target_kw` null is the maximum.

    The device prepares from `precondition_from`, takes `ramp_seconds` to its power and recovers until
    `recover_until`; null where it does not.
    """

    schedule = models.ForeignKey(DeviceSchedule, on_delete=models.CASCADE, related_name="segments")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="segments")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    mode = models.CharField(max_length=16, choices=SegmentMode.choices)
    target_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    cap = models.CharField(max_length=64, blank=True)
    is_commitment = models.BooleanField(default=False)
    leap_event_ids = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    precondition_from = models.DateTimeField(null=True, blank=True)
    ramp_seconds = models.PositiveIntegerField(null=True, blank=True)
    recover_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="segment_starts_before_end"),
            models.CheckConstraint(
                condition=(Q(precondition_from__isnull=True) | Q(precondition_from__lt=F("starts_at")))
                & (Q(recover_until__isnull=True) | Q(recover_until__gt=F("ends_at"))),
                name="segment_shape_outside",
            ),
            models.UniqueConstraint(fields=["schedule", "starts_at"], name="segment_one_per_start"),
        ]
        indexes = [
            # Reader: the pages' lanes, which segments of these devices touch a window.
            models.Index(fields=["device", "ends_at", "starts_at"], name="segment_device_window"),
            # Readers: the calendar and the control room, whatever the device.
            models.Index(fields=["ends_at", "starts_at"], name="segment_window"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} {self.starts_at:%Y-%m-%d %H:%M}–{self.ends_at:%H:%M}"

    @classmethod
    def from_value(cls, segment: Segment, *, schedule_id: int, device_id: int) -> ScheduleSegment:
        """Return the unsaved row of a segment."""
        return cls(
            schedule_id=schedule_id,
            device_id=device_id,
            starts_at=segment.start,
            ends_at=segment.end,
            mode=segment.mode.value,
            target_kw=segment.target_kw,
            cap=segment.cap,
            is_commitment=segment.is_commitment,
            leap_event_ids=list(segment.leap_event_ids),
            reason=segment.reason,
            precondition_from=segment.precondition_from,
            ramp_seconds=segment.ramp_seconds,
            recover_until=segment.recover_until,
        )

    def to_value(self) -> Segment:
        """Return the segment this row stores."""
        return Segment(
            start=self.starts_at,
            end=self.ends_at,
            mode=Mode(self.mode),
            target_kw=self.target_kw,
            cap=self.cap,
            is_commitment=self.is_commitment,
            leap_event_ids=tuple(self.leap_event_ids),
            reason=self.reason,
            precondition_from=self.precondition_from,
            ramp_seconds=self.ramp_seconds,
            recover_until=self.recover_until,
        )


class CommandKind(models.TextChoices):
    """What a command carries: a whole schedule, one set-point, or the return to normal."""

    SCHEDULE = "SCHEDULE", "Schedule"
    SETPOINT = "SETPOINT", "Set-point"
    CLEAR = "CLEAR", "Back to normal"


class CommandState(models.TextChoices):
    """PENDING → SENT → ACKNOWLEDGED; FAILED, EXPIRED and SUPERSEDED end it. Moved by `devices.commanding`."""

    PENDING = "PENDING", "Pending"
    SENT = "SENT", "Sent"
    ACKNOWLEDGED = "ACKNOWLEDGED", "Acknowledged"
    FAILED = "FAILED", "Failed"
    EXPIRED = "EXPIRED", "Expired"
    SUPERSEDED = "SUPERSEDED", "Superseded"


OPEN_COMMAND_STATES = [CommandState.PENDING, CommandState.SENT, CommandState.FAILED]


class Command(models.Model):
    """One instruction to one device, due at a time and void after another.

    `key` is unique per device, version and kind: the same decision is never two commands.
    `next_attempt_at` null: nothing more will be tried; on one that is acknowledged: when its lease is
    renewed. `claimed_until`: the lease of whoever tries now. `starts_at`: the segment of a set-point.
    `proven_at`, `proof`: when the device was last asked what it holds and held what it was told, and what
    it said.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="commands")
    schedule = models.ForeignKey(DeviceSchedule, on_delete=models.CASCADE, related_name="commands")
    key = models.CharField(max_length=160, unique=True)
    kind = models.CharField(max_length=16, choices=CommandKind.choices, default=CommandKind.SCHEDULE)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=CommandState.choices, default=CommandState.PENDING)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    is_restoring = models.BooleanField(
        default=False, help_text="It stops a device that may run now, and leaves before all others."
    )
    starts_at = models.DateTimeField(null=True, blank=True)
    renewed_at = models.DateTimeField(null=True, blank=True)
    proven_at = models.DateTimeField(null=True, blank=True)
    proof = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        constraints = [
            # No command without an end: a lost portal must never leave a device on.
            models.CheckConstraint(condition=Q(expires_at__gt=F("due_at")), name="command_ends_after_due"),
        ]
        indexes = [
            # Reader: devices.commanding and the dispatcher, what is due.
            models.Index(
                fields=["next_attempt_at"], name="command_due", condition=Q(next_attempt_at__isnull=False)
            ),
            # Reader: devices.commanding, what must leave before all else.
            models.Index(
                fields=["next_attempt_at"],
                name="command_restoring_due",
                condition=Q(next_attempt_at__isnull=False, is_restoring=True),
            ),
            models.Index(fields=["device", "state"], name="command_device_state"),
        ]

    def __str__(self) -> str:
        return self.key


class Withheld(models.Model):
    """A device that nothing may start until it is planned anew. Written and taken away by `scheduling`.

    Commands that stop it go on. A row a request: whoever planned takes away those it has heard of.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="withheld")
    since = models.DateTimeField()

    class Meta:
        verbose_name_plural = "withheld"

    def __str__(self) -> str:
        return f"{self.device_id} since {self.since:%H:%M:%S}"


class AttemptOutcome(models.TextChoices):
    """STARTED until its end is known; LOST when whoever tried died."""

    STARTED = "STARTED", "Started"
    ACKNOWLEDGED = "ACKNOWLEDGED", "Acknowledged"
    REJECTED = "REJECTED", "Rejected"
    ERROR = "ERROR", "Error"
    LOST = "LOST", "Lost"


class CommandAttempt(models.Model):
    """One try to deliver a command."""

    command = models.ForeignKey(Command, on_delete=models.CASCADE, related_name="attempts")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=AttemptOutcome.choices, default=AttemptOutcome.STARTED)
    detail = models.TextField(blank=True)

    class Meta:
        indexes = [
            # Reader: devices.commanding, tries whose end is not known.
            models.Index(fields=["started_at"], name="attempt_started", condition=Q(outcome="STARTED")),
        ]

    def __str__(self) -> str:
        return f"{self.command_id} at {self.started_at:%H:%M:%S}"


class SimulatedFault(models.TextChoices):
    """Stored names of `devices.domain.following.Fault`."""

    SILENT = "SILENT", "Answers nothing and says nothing"
    OFFLINE = "OFFLINE", "Is offline"
    REJECT = "REJECT", "Refuses every schedule"
    ERROR = "ERROR", "Answers with an error"
    LIES = "LIES", "Acknowledges and does nothing"
    WEAK = "WEAK", "Gives 60 % of what is asked"
    STUCK = "STUCK", "Does not return to normal"
    SOMEBODY_ELSE = "SOMEBODY_ELSE", "Is put back by somebody else in mid-run"


class SimulatedDevice(models.Model):
    """What a simulated device holds: its side of the wire, never read by planning.

    `physics` is its `Condition`, empty before it was first stepped. `due_at`: when `devices.simulating` steps
    it next; null for a device of another driver by now.
    """

    device = models.OneToOneField(Device, on_delete=models.CASCADE, related_name="simulated")
    accepted_version = models.PositiveIntegerField(default=0)
    message = models.JSONField(default=dict)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_count = models.PositiveIntegerField(default=0)
    refused_count = models.PositiveIntegerField(default=0)
    fault = models.CharField(max_length=16, blank=True, choices=SimulatedFault.choices)
    physics = models.JSONField(default=dict, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, default=timezone.now)

    class Meta:
        indexes = [
            # Readers: devices.simulating and the dispatcher, what is to be stepped.
            models.Index(fields=["due_at"], name="simulated_due", condition=Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"simulated {self.device_id}"
