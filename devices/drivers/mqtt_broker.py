"""The MQTT broker that devices and portal share: where it is, how it is spoken to, which topics there are.

Imported by the driver and the listener alone: the web needs none of it.
"""

from __future__ import annotations

import logging
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from django.conf import settings
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.drivers.base import DriverError

ROOT: Final = "leapvpp/devices"
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
LARGEST_PACKET: Final = 16 * 1024
"""Bytes; the broker is asked to keep larger ones, of which no device has use, to itself."""
MOST_CALLS: Final = 100
"""How many calls may wait for the broker at once; for each the library looks through all that wait."""
WITHOUT_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
"""Without it a small message waits up to 44 ms for the acknowledgement of the one before."""

# The library's warnings, as of many calls that wait, say nothing of what is wrong; what is, is raised.
quiet = logging.getLogger(f"{__name__}.library")
quiet.setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how it is entered."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def client(self, *, timeout_seconds: float, most_waiting: int = 0) -> aiomqtt.Client:
        """Return a client that is not connected yet; to be made inside a running event loop.

        `most_waiting`: how many received messages may wait to be read before more are dropped; 0: any number.
        """
        limits = Properties(PacketTypes.CONNECT)
        limits.MaximumPacketSize = LARGEST_PACKET
        return aiomqtt.Client(
            self.host,
            self.port,
            username=self.username,
            password=self.password,
            identifier=f"leapvpp-{uuid4().hex[:12]}",
            protocol=aiomqtt.ProtocolVersion.V5,
            properties=limits,
            tls_context=self.tls,
            timeout=timeout_seconds,
            keepalive=30,
            max_queued_incoming_messages=most_waiting,
            max_concurrent_outgoing_calls=MOST_CALLS,
            socket_options=[WITHOUT_DELAY],
            logger=quiet,
        )


def configured_broker() -> Broker:
    """Return the broker that MQTT_URL names.

    Raises:
        DriverError: permanent; there is none, or MQTT_CA_FILE cannot be read.
    """
    if not settings.MQTT_URL:
        raise DriverError(
            "No MQTT broker is set. Set MQTT_URL, for example mqtts://user:password@broker.example.com.",
            permanent=True,
        )
    parts = urlsplit(settings.MQTT_URL)
    return Broker(
        host=parts.hostname or "",
        port=parts.port or PORTS[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=_tls() if parts.scheme == "mqtts" else None,
    )


def _tls() -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.MQTT_CA_FILE or None)
    except OSError as error:
        raise DriverError(f"MQTT_CA_FILE cannot be read: {error.strerror}.", permanent=True) from error
    if not settings.MQTT_VERIFY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def topic(external_id: str, part: str) -> str:
    """Return a device's topic for `schedule`, `ack`, `status` or `telemetry`; `+` as id: of all devices."""
    return f"{ROOT}/{external_id}/{part}"


def from_topic(name: str) -> tuple[str, str] | None:
    """Return a topic's device and part; None if it is no device's.

    >>> from_topic("leapvpp/devices/bat-1/ack")
    ('bat-1', 'ack')
    """
    head, _, rest = name.partition(f"{ROOT}/")
    external_id, _, part = rest.partition("/")
    return (external_id, part) if not head and external_id and part and "/" not in part else None


def why_no_topic(external_id: str) -> str:
    """Return why a device cannot have topics of its own, or "" if it can.

    One bad name must not cost the others the connection, which the broker ends on a malformed topic.
    """
    if any(sign in "+#/" for sign in external_id):
        return "The device's id has a “+”, “#” or “/”, which no MQTT topic of one device can have."
    if not external_id or not external_id.isprintable():
        return "The device's id has a sign that no MQTT topic can have."
    return ""


async def subscribe(client: aiomqtt.Client, names: dict[str, int], *, wants_retained: bool) -> None:
    """Subscribe to topics, each with its quality of service.

    Raises:
        aiomqtt.MqttError: the broker is gone, or does not let the portal read one of them.
    """
    handling = (
        SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if wants_retained else SubscribeOptions.RETAIN_DO_NOT_SEND
    )
    wanted = [(name, SubscribeOptions(qos=qos, retainHandling=handling)) for name, qos in names.items()]
    codes = await client.subscribe(wanted)
    if any(code.is_failure for code in codes if not isinstance(code, int)):
        raise aiomqtt.MqttError("it does not let the portal read what devices say")


def in_words(broker: Broker, error: Exception) -> str:
    """Return what is wrong with the broker as a sentence without a secret."""
    if isinstance(error, MqttConnectError):
        return f"The MQTT broker at {broker} refuses the portal ({error}); see MQTT_URL."
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return f"The MQTT broker at {broker} does not answer."
    return f"The MQTT broker at {broker} cannot be used: {str(error).rstrip('.')}."
