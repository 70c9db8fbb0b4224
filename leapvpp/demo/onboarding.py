"""The demo's customers in Leap Connect, and meters that its Leap is asked to create."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from meters.connecting import ConnectEvent, Wish, make_links, note_connect_events
from meters.onboarding import draft_job, send_job

BY: Final = "demo"
CUSTOMERS: Final = (
    # refId, customer, region, hours since the last step, the steps
    (
        "SITE-2001",
        "Alder Street Laundry",
        "CAISO",
        26,
        "created updated PGE:initiated PGE:completed completed",
    ),
    ("SITE-2002", "Tower District Market", "CAISO", 30, "created PGE:initiated PGE:completed completed"),
    ("SITE-2003", "Astoria Bakery", "NYISO", 28, "created CECONY:initiated CECONY:completed completed"),
    ("SITE-2011", "Sunset Cycles", "CAISO", 0.4, "created updated closed"),
    ("SITE-2012", "Orchard Dental", "CAISO", 7, "created SCE:initiated SCE:failed"),
    ("SITE-2013", "Red Hook Ceramics", "NYISO", 46, "created updated closed"),
    ("SITE-2014", "Mission Print Works", "CAISO", 100, "created SDGE:initiated SDGE:completed completed"),
    ("SITE-2015", "Lakeview Gym", "PJM", 0.1, "created updated PECO:initiated"),
    ("SITE-2016", "Palisade Books", "PJM", 0, ""),
)
HOMES: Final = (
    ("DEV-2101", "12 Poplar Court", "01604", "Worcester"),
    ("DEV-2102", "7 Nowhere Lane", "01852", "Lowell"),
    ("DEV-2103", "31 Linden Avenue", "02169", "Quincy"),
    ("DEV-2104", "88 Harbor Street", "00000", "Salem"),
)
"""Two of them have addresses that the demo's Leap does not find or support."""


def seed_onboarding(*, now: datetime) -> None:
    """Store customers in every state, and have a job of a few meters sent once workers run."""
    wishes = [Wish(reference=one, customer_name=name, region=region) for one, name, region, _, _ in CUSTOMERS]
    make_links(wishes, made_by=BY, now=now - timedelta(days=5))
    note_connect_events(
        [
            _event(reference, word, received_at=now - timedelta(hours=hours))
            for reference, _, _, hours, story in CUSTOMERS
            for word in story.split()
        ]
    )
    rows = [
        {
            "program": "NATGRID-CS",
            "partner_reference": reference,
            "transmission_region": "ISONE",
            "customer_classification": "RESIDENTIAL",
            "meter_type": "DEVICE",
            "load_types": "BATTERY_STORAGE",
            "customer.street_1": street,
            "customer.postal_code": postal_code,
            "customer.city": city,
            "customer.state_or_province_code": "MA",
            "customer.dispatch_option": "DAILY",
            "device.device_type": "BATTERY",
            "device.battery_power_capacity_kw": "5",
        }
        for reference, street, postal_code, city in HOMES
    ]
    job = draft_job(rows, file_name="autumn-batteries.csv", update_existing=False, made_by=BY, now=now)
    send_job(job.pk, by=BY, now=now)


def _event(reference: str, word: str, *, received_at: datetime) -> ConnectEvent:
    utility, _, status = word.rpartition(":")
    return ConnectEvent(
        partner_reference=reference,
        kind="AUTHORIZATION" if utility else "SESSION",
        status=status.upper(),
        utility_name=utility,
        webhook_event_id="",
        received_at=received_at,
    )
