"""Customers and jobs in every state that the pages of onboarding show."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from meters.connecting import ConnectEvent, Wish, keep_references, make_links, note_connect_events
from meters.onboarding import draft_job, send_job
from meters.onboarding_models import Connection, MeterJob, MeterJobBatch
from tests.builders import meter
from tests.domain.test_onboarding import HOME


def job(number: int = 0, *, rows: int = 1, now: datetime | None = None) -> MeterJob:
    """A job that came back with one meter of ours created, one known and one whose address was not found."""
    at = now or timezone.now()
    names = [f"job-{number}-{one}" for one in range(rows + 2)]
    made = draft_job(
        [HOME | {"partner_reference": name} for name in names],
        file_name=f"spring homes {number}.csv",
        update_existing=False,
        made_by="otto",
        now=at,
    )
    send_job(made.pk, by="anna", now=at)
    known = meter(partner_reference=names[1], name=f"Known {number}")
    outcomes = [("DUPLICATE", "DUPLICATE_REF_ID", ""), ("FAILED", "ADDRESS_NOT_FOUND", "")]
    outcomes += [("COMPLETED", "METER_CREATED", meter(partner_reference=name).meter_id) for name in names[2:]]
    for name, (status, detail, meter_id) in zip(
        ["", *names[1:]], [outcomes[1], outcomes[0], *outcomes[2:]], strict=False
    ):
        row = made.rows.get(partner_reference=name or names[0])
        row.status, row.status_detail, row.meter_id = status, detail, meter_id
        row.description = "The address could not be found." if status == "FAILED" else ""
        row.save()
    assert known
    MeterJobBatch.objects.filter(job=made).update(
        state="COMPLETED_WITH_ERRORS", leap_job_id="b", look_at=None, detail=""
    )
    MeterJob.objects.filter(pk=made.pk).update(state="COMPLETED_WITH_ERRORS", finished_at=at)
    made.refresh_from_db()
    return made


JOURNEYS = {
    "sent": (0.0, ""),
    "opened": (0.1, "created updated"),
    "at-login": (0.05, "created PGE:initiated"),
    "failed": (5, "created SCE:initiated SCE:failed"),
    "left-early": (50, "created updated closed"),
    "silent": (30, "created updated"),
    "authorized": (20, "created PGE:initiated PGE:completed completed"),
    "late": (120, "created SCE:completed"),
    "arrived": (90, "created PGE:completed completed"),
}


def customers(number: int = 0, *, now: datetime | None = None) -> Connection:
    """A customer in each state; return the one whose two meters have appeared."""
    at = now or timezone.now()
    make_links(
        [
            Wish(
                reference=f"{name}-{number}",
                customer_name=f"{name.capitalize().replace('-', ' ')} household {number}",
                region="CAISO",
            )
            for name in JOURNEYS
        ],
        made_by="otto",
        now=at - timedelta(days=6),
    )
    events = []
    for name, (hours, story) in JOURNEYS.items():
        for step in story.split():
            utility, _, status = step.rpartition(":")
            events.append(
                ConnectEvent(
                    partner_reference=f"{name}-{number}",
                    kind="AUTHORIZATION" if utility else "SESSION",
                    status=status.upper(),
                    utility_name=utility,
                    webhook_event_id="",
                    received_at=at - timedelta(hours=hours),
                )
            )
    note_connect_events(events)
    meter(partner_reference=f"arrived-{number}", name=f"Oak Street {number}")
    second = meter(name=f"Oak Street {number}, cottage")
    keep_references({second.pk: {"connection_references": [f"arrived-{number}"]}})
    return Connection.objects.get(partner_reference=f"arrived-{number}")
