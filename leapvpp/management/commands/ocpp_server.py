"""Let chargers in that speak OCPP, and hand them their schedules."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices.drivers.ocpp_control import why_no_path
from leapvpp.charging.central import Central


class Command(BaseCommand):
    """Runs until SIGTERM; one at a time, beside the workers."""

    requires_system_checks: list[str] = []  # they load every page and address
    help = "Be the central system of chargers, at OCPP_LISTEN."

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve, and survive a database that is away."""
        host, _, port = settings.OCPP_LISTEN.rpartition(":")
        if not host:
            raise CommandError("OCPP_LISTEN is not set. Set it to host:port, for example 127.0.0.1:9000.")
        if why := why_no_path(settings.OCPP_CONTROL):
            raise CommandError(why)
        try:
            asyncio.run(_serve(host.strip("[]"), int(port), tls=_tls()))
        except OSError as error:
            raise CommandError(
                f"The central system cannot listen at {settings.OCPP_LISTEN} and {settings.OCPP_CONTROL}:"
                f" {error.strerror or error}."
            ) from error


async def _serve(host: str, port: int, *, tls: ssl.SSLContext | None) -> None:
    await Central().run(host=host, port=port, tls=tls, control=settings.OCPP_CONTROL)


def _tls() -> ssl.SSLContext | None:
    if not settings.OCPP_CERT_FILE:
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.OCPP_CERT_FILE, settings.OCPP_KEY_FILE or None)
    except OSError as error:
        raise CommandError(f"OCPP_CERT_FILE and OCPP_KEY_FILE cannot be read: {error.strerror}.") from error
    return context
