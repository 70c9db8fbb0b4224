"""What is asked: notifications, events, revisions, overlaps, overrides.

Notifications and revisions are appended and never changed in what they say; an event is the
current revision's fields, kept beside it so that pages and planning read one table.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from devices.models import Device
from dispatch import policy_models as policy_models  # Django looks for models here
from dispatch import replay_models as replay_models  # and here
from dispatch import season_models as season_models  # and here
from dispatch import step_models as step_models  # and here


class Level(models.TextChoices):
    """Whether Leap names a meter or a market group."""

    METER = "METER", "Meter"
    GROUP = "GROUP", "Market group"


class Source(models.TextChoices):
    """How a notification reached the portal."""

    WEBHOOK = "WEBHOOK", "Webhook"
    POLL = "POLL", "Search"
    OPERATOR = "OPERATOR", "Operator"


class NotificationStatus(models.TextChoices):
    """RECEIVED → RECORDED or QUARANTINED (`dispatch.recording`); REJECTED at the door, kept."""

    RECEIVED = "RECEIVED", "Received"
    RECORDED = "RECORDED", "Recorded"
    QUARANTINED = "QUARANTINED", "Quarantined"
    REJECTED = "REJECTED", "Rejected"


class DispatchNotification(models.Model):
    """One HTTP body as received: immutable bytes, and what became of it."""

    received_at = models.DateTimeField(db_index=True)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.WEBHOOK)
    level = models.CharField(max_length=16, choices=Level.choices, blank=True)
    body = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    headers = models.JSONField(default=dict, help_text="Without the key.")
    status = models.CharField(
        max_length=16, choices=NotificationStatus.choices, default=NotificationStatus.RECEIVED
    )
    reason = models.TextField(blank=True)
    recorded_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    repeat_count = models.PositiveIntegerField(default=0)
    repeated_at = models.DateTimeField(
        null=True, blank=True, help_text="The last byte-equal repeat that recording has not looked at yet."
    )

    class Meta:
        constraints = [
            # The same bytes are stored once per source, for ever.
            models.UniqueConstraint(fields=["source", "sha256"], name="notification_once_per_source"),
        ]
        indexes = [
            # Reader: dispatch.recording and the dispatcher, what waits to be recorded.
            models.Index(fields=["id"], name="notification_waiting", condition=Q(status="RECEIVED")),
            models.Index(
                fields=["repeated_at"], name="notification_repeated", condition=Q(repeated_at__isnull=False)
            ),
            models.Index(fields=["status", "received_at"], name="notification_status"),
        ]

    def __str__(self) -> str:
        return f"notification {self.pk}"


class RecipientSet(models.Model):
    """The meters a dispatch names, stored once under the hash of its content."""

    digest = models.CharField(max_length=64, unique=True)
    meter_ids = models.JSONField(default=list, help_text="Leap's ids in lower case, sorted.")
    size = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.size} meters {self.digest[:8]}"


class RecipientMember(models.Model):
    """One meter of a recipient set, so that a meter's events are one join away. Known to us or not."""

    recipients = models.ForeignKey(RecipientSet, on_delete=models.CASCADE, related_name="members")
    meter_id = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["recipients", "meter_id"], name="recipient_once")]
        indexes = [models.Index(fields=["meter_id"], name="recipient_meter")]

    def __str__(self) -> str:
        return f"{self.meter_id} of {self.recipients_id}"


class TestKind(models.TextChoices):
    """Communication tests move devices; integration tests only where a meter is armed."""

    __test__ = False  # not a test class, whatever its name says

    COMMUNICATION = "COMMUNICATION", "Communication test"
    INTEGRATION = "INTEGRATION", "Integration test"


class DispatchEvent(models.Model):
    """The lasting thing Leap asks for, keyed by Leap's id and level; the fields of its current revision.

    `energy_kw` is power (Leap's field name); null is the maximum. `priority_rank` 1 is the highest.
    `is_ended_early`: its end was moved forward while it ran. `is_confirmed` is false while a suspect
    body awaits Leap's answer. The numbers at the end are planning's.
    """

    level = models.CharField(max_length=16, choices=Level.choices)
    leap_event_id = models.CharField(max_length=64)
    market_group_id = models.CharField(max_length=64, blank=True, db_index=True)
    recipients = models.ForeignKey(RecipientSet, on_delete=models.PROTECT, related_name="events")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    is_cancelled = models.BooleanField(default=False)
    is_ended_early = models.BooleanField(default=False)
    energy_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    nomination_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    priority_rank = models.PositiveSmallIntegerField()
    is_voluntary = models.BooleanField()
    cap = models.CharField(max_length=64, help_text="performance_compensation_cap, as Leap writes it.")
    dispatch_event_types = models.JSONField(default=list)
    programs = models.JSONField(default=list)
    test = models.CharField(max_length=16, choices=TestKind.choices, blank=True)
    is_confirmed = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(default=1)
    flags = models.JSONField(default=list, help_text="What was odd about the body, in words.")
    extra = models.JSONField(default=dict, help_text="Fields unknown to us, kept.")
    first_received_at = models.DateTimeField()
    changed_at = models.DateTimeField(db_index=True)
    plan_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    planned_at = models.DateTimeField(null=True, blank=True)
    planned_recipients = models.ForeignKey(
        RecipientSet,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who was named when it was last planned: those left out since are planned again, too.",
    )
    shortfall_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    unmapped_meters = models.PositiveIntegerField(default=0)
    is_overlapping = models.BooleanField(default=False)
    is_unserved = models.BooleanField(
        default=False, help_text="Somewhere it is not served; the reasons are rows."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["level", "leap_event_id"], name="event_once_per_level"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="event_starts_before_end"),
        ]
        indexes = [
            # Reader: planning, what waits to be decided.
            models.Index(
                fields=["plan_requested_at"],
                name="event_plan_requested",
                condition=Q(plan_requested_at__isnull=False),
            ),
            # Readers: planning and every page that shows a window.
            models.Index(fields=["ends_at", "starts_at"], name="event_window"),
            models.Index(fields=["starts_at"], name="event_start"),
            models.Index(fields=["leap_event_id"], name="event_leap_id"),
            # Reader: reconciling, which answers are still owed.
            models.Index(fields=["is_confirmed"], name="event_unconfirmed", condition=Q(is_confirmed=False)),
        ]
        permissions = [
            ("operate", "May hold, retry, replay and plan again"),
            ("administer", "May map devices, make keys and change policies"),
        ]

    def __str__(self) -> str:
        return self.leap_event_id


class RevisionKind(models.TextChoices):
    """What a revision did to its event."""

    CREATED = "CREATED", "Created"
    MODIFIED = "MODIFIED", "Modified"
    CANCELLED = "CANCELLED", "Cancelled"
    ENDED_EARLY = "ENDED_EARLY", "Ended early"
    EXTENDED = "EXTENDED", "Extended"
    REINSTATED = "REINSTATED", "Reinstated"


class EventRevision(models.Model):
    """One accepted version of an event's fields, numbered by receipt.

    `fields` is the whole content in canonical form and `digest` its hash: a body equal to an older
    revision is recognised by it. `changes` is `{field: [old, new]}`.
    """

    event = models.ForeignKey(DispatchEvent, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    received_at = models.DateTimeField()
    source = models.CharField(max_length=16, choices=Source.choices)
    kind = models.CharField(max_length=16, choices=RevisionKind.choices)
    changes = models.JSONField(default=dict)
    fields = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    notification = models.ForeignKey(
        DispatchNotification, null=True, blank=True, on_delete=models.SET_NULL, related_name="revisions"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "number"], name="revision_number_once")]
        indexes = [models.Index(fields=["received_at"], name="revision_received")]

    def __str__(self) -> str:
        return f"{self.event_id} revision {self.number}"


class ItemOutcome(models.TextChoices):
    """What one timeslot of a notification led to."""

    CREATED = "CREATED", "New event"
    REVISED = "REVISED", "New revision"
    REPEATED = "REPEATED", "Nothing new"
    SUSPECT = "SUSPECT", "Kept, unconfirmed"
    CONFIRMED = "CONFIRMED", "Confirmed"
    QUARANTINED = "QUARANTINED", "Quarantined"


class NotificationItem(models.Model):
    """One timeslot of a notification and what it led to."""

    notification = models.ForeignKey(DispatchNotification, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    level = models.CharField(max_length=16, choices=Level.choices, blank=True)
    leap_event_id = models.CharField(max_length=64, blank=True)
    event = models.ForeignKey(
        DispatchEvent, null=True, blank=True, on_delete=models.SET_NULL, related_name="items"
    )
    outcome = models.CharField(max_length=16, choices=ItemOutcome.choices)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["notification", "position"], name="item_position_once")
        ]

    def __str__(self) -> str:
        return f"{self.notification_id}#{self.position} {self.outcome}"


class Doubt(models.Model):
    """A suspect body about an event: what it said, and how it was settled.

    Open while `settled_at` is null; the event is then unconfirmed. Settled by Leap's search or an operator.
    """

    event = models.ForeignKey(DispatchEvent, on_delete=models.CASCADE, related_name="doubts")
    notification = models.ForeignKey(DispatchNotification, null=True, blank=True, on_delete=models.SET_NULL)
    fields = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    raised_at = models.DateTimeField()
    why = models.TextField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.CharField(
        max_length=150, blank=True, help_text="A user's name, or empty for Leap's search."
    )
    verdict = models.CharField(max_length=16, blank=True, help_text="KEPT or TAKEN.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event"], name="doubt_one_open", condition=Q(settled_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"doubt about {self.event_id}"


class Overlap(models.Model):
    """Two or more live events on one device in one slice: what was chosen, and why. Planning's rows."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="overlaps")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    event_ids = models.JSONField(default=list, help_text="Our event rows, best first.")
    leap_event_ids = models.JSONField(default=list)
    served = models.JSONField(default=list, help_text="Leap's ids of the events served.")
    not_served = models.JSONField(default=list, help_text='[{"leap_event_id", "reason"}]')
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="overlap_starts_before_end"),
            models.UniqueConstraint(fields=["device", "starts_at"], name="overlap_one_per_start"),
        ]
        indexes = [models.Index(fields=["ends_at", "starts_at"], name="overlap_window")]

    def __str__(self) -> str:
        return f"overlap on {self.device_id} at {self.starts_at:%Y-%m-%d %H:%M}"


class ProgramLevel(models.Model):
    """The level at which a program is acted upon where Leap asks at both. Recording's rows, or a person's.

    Brought by an event, with which it goes, as when a certification run is cleared away; none: a person's.
    """

    program = models.CharField(max_length=100, unique=True, help_text="Leap's code, as it writes it.")
    level = models.CharField(max_length=16, choices=Level.choices)
    decided_at = models.DateTimeField()
    source = models.CharField(max_length=16, choices=Source.choices)
    decided_by = models.ForeignKey(DispatchEvent, null=True, on_delete=models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"{self.program} at {self.get_level_display().lower()} level"


class UnservedSet(models.Model):
    """All that a device leaves undone, stored once under the hash of its content. Planning's rows.

    Devices that fare alike share one plan, so ten thousand held devices share one set.
    """

    digest = models.CharField(max_length=64, unique=True)

    def __str__(self) -> str:
        return f"unserved {self.digest[:8]}"


class Unserved(models.Model):
    """A slice of a live event that the devices of its set do not serve, with the reason."""

    unserved_set = models.ForeignKey(UnservedSet, on_delete=models.CASCADE, related_name="slices")
    event = models.ForeignKey(DispatchEvent, on_delete=models.CASCADE, related_name="unserved")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField()
    is_shaded = models.BooleanField(default=False, help_text="A twin at the other level is acted upon.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="unserved_starts_before_end"
            ),
            models.UniqueConstraint(
                fields=["unserved_set", "event", "starts_at"], name="unserved_one_per_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} not served, set {self.unserved_set_id}"


class DeviceUnserved(models.Model):
    """Which set a device had during `[since, until)`; `until` null: has now.

    A slice of the set counts for the device if it began before `until`, and up to it: what came later was
    planned anew.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="unserved")
    unserved_set = models.ForeignKey(UnservedSet, on_delete=models.CASCADE, related_name="devices")
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["device"], name="device_unserved_one_now", condition=Q(until__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} has set {self.unserved_set_id}"


class OverrideScope(models.TextChoices):
    """Whom an override reaches."""

    FLEET = "FLEET", "Whole fleet"
    PROGRAM = "PROGRAM", "Program"
    MARKET_GROUP = "MARKET_GROUP", "Market group"
    METER = "METER", "Meter"
    DEVICE = "DEVICE", "Device"


class OverrideAction(models.TextChoices):
    """HOLD: nothing runs. OPT_OUT: the customer's wish. FORCE: run at a stated power."""

    HOLD = "HOLD", "Hold"
    OPT_OUT = "OPT_OUT", "Opt out"
    FORCE = "FORCE", "Force"


class Override(models.Model):
    """A person's word over the plan, with who, why, from and until. Ends by itself."""

    scope = models.CharField(max_length=16, choices=OverrideScope.choices)
    target = models.CharField(max_length=128, blank=True, help_text="Its id or code; empty for the fleet.")
    action = models.CharField(max_length=16, choices=OverrideAction.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    target_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    reason = models.TextField()
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=150, blank=True)
    is_commitment_confirmed = models.BooleanField(default=False)
    plan_requested_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="override_starts_before_end"
            ),
        ]
        indexes = [
            models.Index(fields=["ends_at", "starts_at"], name="override_window"),
            # Reader: planning, which overrides it has not heard of.
            models.Index(
                fields=["plan_requested_at"],
                name="override_plan_requested",
                condition=Q(plan_requested_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.scope} {self.target}".strip()


class PollState(models.Model):
    """How the search at one level is doing. One row a level, written by `dispatch.reconciling`."""

    level = models.CharField(max_length=16, choices=Level.choices, unique=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    found_unpushed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the search last found what no webhook had brought."
    )

    def __str__(self) -> str:
        return f"search at {self.level}"


class ChangesSeen(models.Model):
    """Up to when a user has looked at the changes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="changes_seen"
    )
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} at {self.seen_at:%Y-%m-%d %H:%M}"


class RejectedDelivery(models.Model):
    """How often the door refused a delivery, by day and cause. Counters only, never a body or a key."""

    day = models.DateField()
    cause = models.CharField(max_length=32)
    count = models.PositiveIntegerField(default=0)
    latest_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "rejected deliveries"
        constraints = [models.UniqueConstraint(fields=["day", "cause"], name="rejected_once_per_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.cause}"


class TestSendState(models.TextChoices):
    """WAITING → SENDING → ANSWERED or FAILED; moved by `dispatch.sending_tests`."""

    __test__ = False

    WAITING = "WAITING", "Waiting"
    SENDING = "SENDING", "Sending"
    ANSWERED = "ANSWERED", "Answered"
    FAILED = "FAILED", "Failed"


class TestSend(models.Model):
    """A test that an operator had Leap send us: what was asked for, and what Leap answered.

    `leap_event_ids` are ours to choose for an integration test and Leap's for a communication test, of
    which we know none; `is_approved` false is a communication test's dry run. `webhook_status` is what
    our own webhook answered, as Leap saw it.
    """

    __test__ = False

    kind = models.CharField(max_length=16, choices=TestKind.choices)
    level = models.CharField(max_length=16, choices=Level.choices)
    market_group_id = models.CharField(max_length=64, blank=True)
    meter_ids = models.JSONField(default=list)
    leap_event_ids = models.JSONField(default=list)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    energy_kw = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    program = models.CharField(max_length=64)
    is_approved = models.BooleanField(default=False)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=TestSendState.choices, default=TestSendState.WAITING)
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    webhook_status = models.PositiveSmallIntegerField(null=True, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="test_starts_before_end"),
        ]
        indexes = [
            # Reader: dispatch.sending_tests and the dispatcher, what is not answered yet.
            models.Index(fields=["id"], name="test_send_open", condition=Q(state__in=["WAITING", "SENDING"])),
            models.Index(fields=["created_at"], name="test_send_created"),
        ]

    def __str__(self) -> str:
        return f"test {self.pk}"
