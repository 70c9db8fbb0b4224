"""What needs a person, most urgent first, each with the one place where it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Max, Min, Q, Sum
from django.http import HttpRequest

from devices.alert_models import Alert, AlertKind
from devices.models import Command, CommandState, Device
from devices.unblocking import due_actions, sum_up
from dispatch.models import (
    DispatchEvent,
    DispatchNotification,
    Doubt,
    NotificationStatus,
    Override,
    PollState,
    RejectedDelivery,
)
from dispatch.reading import words
from dispatch.reading.connections import to_remind
from dispatch.reading.leap_connection import grievance
from dispatch.reading.out_of_step import difference_words, differing_groups
from dispatch.reading.participation import LOOK_AT
from dispatch.season_models import SeasonWarning
from meters.connection_models import LeapCheck
from meters.domain.actions import REMINDED_DAYS, reminded_days
from meters.models import Meter
from meters.onboarding_models import JobState, MeterJob
from meters.participation_models import ParticipationRequest, ParticipationState
from meters.queries import long_syncs
from meters.sync_models import SyncState

PLANNED_WITHIN = timedelta(seconds=60)
ANSWER_WITHIN = timedelta(seconds=60)
POLL_WITHIN = timedelta(seconds=180)
STAYS_NEWS_FOR = timedelta(days=1)
STAYS_OPEN_FOR = timedelta(days=7)
STUCK_AFTER_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Need:
    """One thing to do: what happened, what it means, when it is due, one verb as a link."""

    icon: str
    kind: str  # bad, warn or quiet: the class of the icon
    title: str
    text: str
    verb: str
    href: str
    due_at: datetime | None = None
    since: datetime | None = None


def needs(*, now: datetime) -> tuple[Need, ...]:
    """Collect everything that waits for a person. Seventeen queries, three more while a period is near."""
    found = [
        *_commands(now=now),
        *_alerts(),
        *_planning(now=now),
        *_doubts(),
        *_events(now=now),
        *_groups(now=now),
        *_search(now=now),
        *_sync(),
        *_notifications(now=now),
        *_seasons(now=now),
        *_connection(),
        *_actions(now=now),
        *_participation(now=now),
        *_customers(now=now),
        *_jobs(now=now),
    ]
    order = {"bad": 0, "warn": 1, "quiet": 2}
    latest = datetime.max.replace(tzinfo=now.tzinfo)
    return tuple(sorted(found, key=lambda need: (order[need.kind], need.due_at or latest, need.title)))


def _participation(*, now: datetime) -> list[Need]:
    """Requests about participation that Leap did not do as asked, for a day, or cannot be told of."""
    is_news = Q(state__in=LOOK_AT, finished_at__gt=now - STAYS_NEWS_FOR)
    is_stuck = Q(state=ParticipationState.WAITING, attempts__gte=STUCK_AFTER_ATTEMPTS)
    row = ParticipationRequest.objects.filter(is_news | is_stuck).aggregate(
        news=Count("id", filter=is_news), stuck=Count("id", filter=is_stuck), since=Min("requested_at")
    )
    found = []
    if row["news"]:
        found.append(
            Need(
                icon="warn",
                kind="warn",
                title=f"{words.counted(row['news'], one='request')} about participation not done as asked",
                text="Leap refused, left out or never confirmed some meters; each says why.",
                verb="See",
                href="/participation/?show=look",
            )
        )
    if row["stuck"]:
        found.append(
            Need(
                icon="warn",
                kind="warn",
                title=f"{words.counted(row['stuck'], one='request')} about participation cannot reach Leap",
                text="Tried again until the first day makes it too late.",
                verb="See",
                href="/participation/?show=open",
                since=row["since"],
            )
        )
    return found


def needs_of(request: HttpRequest, *, now: datetime) -> tuple[Need, ...]:
    """Collect the needs once for a request: the frame counts them, the control room lists them."""
    found: tuple[Need, ...] | None = getattr(request, "_needs", None)
    if found is None:
        found = needs(now=now)
        request._needs = found  # type: ignore[attr-defined]  # a request carries what was read for it
    return found


def _commands(*, now: datetime) -> list[Need]:
    """Devices that refused or do not answer, while their command still counts."""
    is_silent = Q(state=CommandState.SENT, due_at__lt=now - ANSWER_WITHIN)
    row = Command.objects.filter(expires_at__gt=now).aggregate(
        failed=Count("device", distinct=True, filter=Q(state=CommandState.FAILED)),
        failed_due=Min("expires_at", filter=Q(state=CommandState.FAILED)),
        silent=Count("device", distinct=True, filter=is_silent),
        silent_since=Min("due_at", filter=is_silent),
    )
    found = []
    if row["failed"]:
        found.append(
            Need(
                icon="bad",
                kind="bad",
                title=f"{words.counted(row['failed'], one='device')} did not take the schedule",
                text="They keep what they last accepted. Retries go on until the segment ends.",
                verb="Retry",
                href="/commands/?state=failed",
                due_at=row["failed_due"],
            )
        )
    if row["silent"]:
        found.append(
            Need(
                icon="warn",
                kind="warn",
                title=f"{words.counted(row['silent'], one='device')} sent, not confirmed",
                text="The schedule went out and no answer came. Retrying.",
                verb="See",
                href="/commands/?state=sent",
                since=row["silent_since"],
            )
        )
    return found


def _alerts() -> list[Need]:
    """Alerts that nobody acknowledged; what takes no command stands here by itself."""
    waiting = Alert.objects.filter(cleared_at__isnull=True, acknowledged_at__isnull=True)
    row = waiting.exclude(kind=AlertKind.FAILED).aggregate(
        devices=Count("device", distinct=True),
        unrestored=Count("pk", filter=Q(kind=AlertKind.NOT_RESTORED)),
        since=Min("raised_at"),
    )
    if not row["devices"]:
        return []
    is_bad = bool(row["unrestored"])
    still = words.counted(row["unrestored"], one="device is", many="devices are")
    return [
        Need(
            icon="bad" if is_bad else "warn",
            kind="bad" if is_bad else "warn",
            title=f"{words.counted(row['devices'], one='device')} with an alert",
            text=f"{still} not back to normal." if is_bad else "Not verified, or offline before a run.",
            verb="See",
            href="/alerts/",
            since=row["since"],
        )
    ]


def _planning(*, now: datetime) -> list[Need]:
    """Changes that are not planned, because planning fails on them or nobody plans."""
    is_late = Q(plan_requested_at__lt=now - PLANNED_WITHIN)
    events, *others = (
        model._default_manager.filter(is_late).values_list("plan_requested_at")
        for model in (DispatchEvent, Override, Meter, Device)
    )
    first = events.union(*others, all=True).order_by("plan_requested_at").first()
    if first is None:
        return []
    return [
        Need(
            icon="bad",
            kind="bad",
            title="Changes wait to be planned",
            text="Their devices keep the schedule they have. The worker's log says what fails.",
            verb="See",
            href="/changes/",
            since=first[0],
        )
    ]


def _doubts() -> list[Need]:
    """Changes that wait for Leap's answer or an operator's word."""
    found = []
    for doubt in (
        Doubt.objects.filter(settled_at__isnull=True).select_related("event").order_by("raised_at")[:5]
    ):
        title = f"{words.programs(doubt.event.programs)}: change not confirmed by Leap"
        found.append(
            Need(
                icon="question",
                kind="warn",
                title=title,
                text=doubt.why or "A late copy or a new wish; what was planned stays planned.",
                verb="Confirm",
                href=f"/events/{doubt.event_id}/",
                since=doubt.raised_at,
            )
        )
    return found


def _events(*, now: datetime) -> list[Need]:
    """Coming requests that nobody can deliver in full: meters without a device, kW without a source."""
    coming = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=now)
    gaps = Q(unmapped_meters__gt=0)
    short = Q(shortfall_kw__gt=0, unmapped_meters=0)
    row = coming.aggregate(
        unmapped=Max("unmapped_meters"),
        unmapped_events=Count("id", filter=gaps),
        unmapped_due=Min("starts_at", filter=gaps),
        short_kw=Sum("shortfall_kw", filter=short),
        short_events=Count("id", filter=short),
        short_due=Min("starts_at", filter=short),
    )
    found = []
    if row["unmapped_events"]:
        asked = words.counted(row["unmapped_events"], one="coming event")
        found.append(
            Need(
                icon="warn",
                kind="warn",
                title=f"{words.counted(row['unmapped'], one='meter')} without a device",
                text=f"Asked by {asked}; nothing there can deliver.",
                verb="Map",
                href="/meters/?ready=no",
                due_at=row["unmapped_due"],
            )
        )
    if row["short_events"]:
        events = words.counted(row["short_events"], one="coming event")
        found.append(
            Need(
                icon="warn",
                kind="warn",
                title=f"{words.power(row['short_kw'])} short of what was asked",
                text=f"In {events} those who take part are, at the worst, rated below the request.",
                verb="See",
                href="/events/?unserved=yes",
                due_at=row["short_due"],
            )
        )
    return found


def _groups(*, now: datetime) -> list[Need]:
    """Market groups for which Leap calls others than are in them here; those nobody knows, quietly."""
    rows = differing_groups(now=now)
    differ = [row for row in rows if not row.is_group_unknown]
    unknown = [row for row in rows if row.is_group_unknown]
    found = []
    if differ:
        groups = {row.market_group_id for row in differ}
        first = differ[0]
        found.append(
            Need(
                icon="groups",
                kind="warn",
                title=f"{words.counted(len(groups), one='group')} out of step with Leap",
                text=difference_words(first.called_not_ours, first.ours_not_called)
                + (" That is the next one called." if len(groups) > 1 else ""),
                verb="See",
                href=f"/groups/{next(iter(groups))}/" if len(groups) == 1 else "/groups/?step=out",
                due_at=first.next_at,
            )
        )
    if unknown:
        groups = {row.market_group_id for row in unknown}
        found.append(
            Need(
                icon="groups",
                kind="quiet",
                title=f"No members are held of {words.counted(len(groups), one='group')} that Leap calls",
                text="Those it names are asked. The sync from Leap brings who is in a group.",
                verb="See",
                href=f"/groups/{next(iter(groups))}/" if len(groups) == 1 else "/groups/?step=unknown",
                due_at=unknown[0].next_at,
            )
        )
    return found


def _search(*, now: datetime) -> list[Need]:
    """The poller late, or finding what no webhook brought."""
    found = []
    for state in PollState.objects.order_by("level"):
        level = state.get_level_display().lower()
        is_late = state.answered_at is None or state.answered_at < now - POLL_WITHIN
        if settings.LEAP_API_KEY and is_late:
            found.append(
                Need(
                    icon="no-signal",
                    kind="bad",
                    title=f"Leap's {level} search does not answer",
                    text=state.error or "What a webhook misses would not be found.",
                    verb="Check",
                    href="/notifications/?source=poll",
                    since=state.answered_at,
                )
            )
        if state.found_unpushed_at and state.found_unpushed_at > now - STAYS_NEWS_FOR:
            found.append(
                Need(
                    icon="warn",
                    kind="warn",
                    title=f"The {level} search found an event no webhook brought",
                    text="It is planned. Check that Leap can reach the webhook address.",
                    verb="Check",
                    href="/notifications/?source=poll",
                    since=state.found_unpushed_at,
                )
            )
    return found


def _connection() -> list[Need]:
    """What Leap holds for us and should not, as it last said. One query, the stored check."""
    check = LeapCheck.objects.first() if settings.LEAP_API_KEY else None
    found = grievance(check)
    if check is None or found is None:
        return []
    return [
        Need(
            icon="no-signal" if found.kind == "bad" else "warn",
            kind=found.kind,
            title="The connection to Leap needs mending",
            text=found.text,
            verb="Mend",
            href="/leap/",
            since=check.tried_at if check.error else check.answered_at,
        )
    ]


def _actions(*, now: datetime) -> list[Need]:
    """What Leap asks of the partner by the nearest deadline, once people are reminded of it. Two queries."""
    until = now + timedelta(days=max(REMINDED_DAYS))
    first = (
        due_actions(until=until, now=now)
        .order_by("deadline_at")
        .values_list("deadline_at", flat=True)
        .first()
    )
    if first is None:
        return []
    meters, waiting_kw = sum_up(due_actions(until=first, now=now))
    is_near = reminded_days(first, now=now) == min(REMINDED_DAYS)
    power = f", {words.power(waiting_kw)}" if waiting_kw else ""
    return [
        Need(
            icon="warn",
            kind="bad" if is_near else "warn",
            title=f"{words.counted(meters, one='meter')}{power}: action due by {words.day(first, zone=UTC)}",
            text="Leap enrolls them only once it is done; after the deadline they wait for the next one.",
            verb="See",
            href="/actions/",
            due_at=first,
        )
    ]


def _sync() -> list[Need]:
    """Meters that may be out of date, because the last sync with Leap did not go well. One query."""
    latest = long_syncs().order_by("-pk").first() if settings.LEAP_API_KEY else None
    if latest is None or latest.state not in {SyncState.FAILED, SyncState.LOST}:
        return []
    return [
        Need(
            icon="bad",
            kind="warn",
            title="The last sync of meters failed",
            text=latest.detail[:200] or "What is known of meters may be out of date.",
            verb="Sync now",
            href="/meters/#sync",
            since=latest.finished_at,
        )
    ]


def _notifications(*, now: datetime) -> list[Need]:
    """Bodies that could not be used, and deliveries refused at the door."""
    recent = DispatchNotification.objects.filter(
        status=NotificationStatus.QUARANTINED, received_at__gt=now - STAYS_OPEN_FOR
    )
    row = recent.aggregate(count=Count("id"), latest=Max("received_at"))
    refused = RejectedDelivery.objects.filter(day=now.date()).aggregate(
        count=Sum("count"), latest=Max("latest_at")
    )
    found = []
    if row["count"]:
        found.append(
            Need(
                icon="warn",
                kind="warn",
                title=f"{words.counted(row['count'], one='notification')} in quarantine",
                text="Kept as received; nothing in them could be used. Replay once the cause is mended.",
                verb="Open",
                href="/notifications/?status=quarantined",
                since=row["latest"],
            )
        )
    if refused["count"]:
        found.append(
            Need(
                icon="info",
                kind="quiet",
                title=f"{words.counted(refused['count'], one='delivery', many='deliveries')} refused today",
                text="Wrong key, not JSON or too large. Nothing of them was kept.",
                verb="See",
                href="/notifications/",
                since=refused["latest"],
            )
        )
    return found


def _seasons(*, now: datetime) -> list[Need]:
    """Delivery periods that begin within two weeks and were not ready at the latest check. One query."""
    return [
        Need(
            icon="calendar",
            kind="warn",
            title=f"{one.program or 'A delivery period'} begins in "
            f"{words.counted((one.starts_at - now).days, one='day')}",
            text=f"{one.verdict}. {one.lacks}.",
            verb="Check",
            href="/seasons/",
            due_at=one.starts_at,
        )
        for one in SeasonWarning.objects.filter(starts_at__gt=now).order_by("starts_at", "pk")
    ]


def _customers(*, now: datetime) -> list[Need]:
    """Customers who left Leap Connect or failed there, while a reminder is worth it."""
    count, latest = to_remind(now=now)
    if not count:
        return []
    return [
        Need(
            icon="link",
            kind="quiet",
            title=f"{words.counted(count, one='customer')} left Leap Connect early",
            text="Without an authorization their meters join no program. Send them their link once more.",
            verb="Remind",
            href="/onboarding/connections/?show=remind",
            since=latest,
        )
    ]


def _jobs(*, now: datetime) -> list[Need]:
    """Meters that Leap did not create, of jobs that ended lately."""
    ended = MeterJob.objects.filter(
        state__in=(JobState.FAILED, JobState.COMPLETED_WITH_ERRORS), finished_at__gt=now - STAYS_NEWS_FOR
    )
    row = ended.aggregate(count=Count("pk"), latest=Max("finished_at"), newest=Max("pk"))
    if not row["count"]:
        return []
    return [
        Need(
            icon="warn",
            kind="warn",
            title=f"{words.counted(row['count'], one='job')} left meters out",
            text="Leap did not create all of them. Each row says why; correct them and send them again.",
            verb="Correct",
            href=f"/onboarding/jobs/{row['newest']}/?rows=failed" if row["count"] == 1 else "/onboarding/",
            since=row["latest"],
        )
    ]
