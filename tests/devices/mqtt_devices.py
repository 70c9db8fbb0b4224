"""A Mosquitto of the tests' own, and devices that are real MQTT clients, honest and otherwise."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from devices.domain.schedule import ScheduleMessage

WITHOUT_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
CONFIGURATION = (
    "user root\nset_tcp_nodelay true\npersistence false\nlog_type error\nper_listener_settings true\n"
)
HOSTILE: list[Any] = [
    b"\xff\xfe",
    b"not JSON",
    b"[]",
    b'{"version": "1", "status": "accepted"}',
    b'{"version": true, "status": "accepted"}',
    b'{"version": 1, "status": "perhaps"}',
    b'{"version": 1e400, "status": "accepted"}',
    b'{"version": -1, "status": "accepted"}',
    b'{"version": 99999999999999999999999, "status": "accepted"}',
    b"[" * 5000,
    b'{"version": 1, "status": "accepted", "detail": "' + b"x" * 5000 + b'"}',
    b'{"version": 1, "status": "accepted", "detail": "' + b"x" * 10**6 + b'"}',
]


def free_port() -> int:
    """A port nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def mosquitto(folder: Path, listener: str = "allow_anonymous true\n", *, port: int = 0) -> Iterator[int]:
    """Run a broker with these lines for its listener, and give its port."""
    port = port or free_port()
    file = folder / f"mosquitto-{port}.conf"
    file.write_text(f"{CONFIGURATION}listener {port} 127.0.0.1\n{listener}")
    broker = subprocess.Popen([PROGRAM, "-c", file], stderr=subprocess.DEVNULL)
    try:
        while not _answers(port):
            assert broker.poll() is None, "mosquitto did not start"
            time.sleep(0.01)
        yield port
    finally:
        broker.terminate()
        broker.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class MqttDevices:
    """Devices behind one connection. `manner`: honest, silent, rejecting, lying, hostile or late.

    An honest one keeps what it accepts, refuses an older version and takes a repeat once. A lying one
    acknowledges another version, a hostile one sends rubbish first and then lies, a late one answers only
    when asked to.
    """

    def __init__(
        self, port: int, *external_ids: str, manner: str = "honest", with_will: bool = False
    ) -> None:
        self.manners = dict.fromkeys(external_ids, manner)
        self.held: dict[str, ScheduleMessage] = {}
        self.effects: dict[str, int] = dict.fromkeys(external_ids, 0)
        self.told: list[tuple[str, int]] = []
        self.taken: list[tuple[str, int]] = []
        self.is_listening = threading.Event()
        self.heard = threading.Condition()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.is_listening.set()
        self.client.on_message = self._on_message
        self.with_will = with_will
        if with_will:
            self.client.will_set(f"leapvpp/devices/{external_ids[0]}/status", "offline", qos=1, retain=True)
        self.client.connect("127.0.0.1", port)
        sock = self.client.socket()
        assert isinstance(sock, socket.socket)
        sock.setsockopt(*WITHOUT_DELAY)

    def __enter__(self) -> MqttDevices:
        self.client.loop_start()
        assert self.is_listening.wait(30), "the devices could not subscribe"
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, *_: object) -> None:
        self.client.subscribe([(f"leapvpp/devices/{one}/schedule", 1) for one in self.manners])
        if self.with_will:
            self.say(next(iter(self.manners)), "status", b"online", retain=True)

    def _on_message(self, _: object, __: object, received: mqtt.MQTTMessage) -> None:
        message: ScheduleMessage = json.loads(received.payload)
        with self.heard:
            self.told.append((message["device"], message["version"]))
            self.heard.notify_all()
        self._behave(message)

    def _behave(self, message: ScheduleMessage) -> None:
        external_id, version = message["device"], message["version"]
        manner = self.manners[external_id]
        if manner == "honest":
            self.say(external_id, "ack", self._take(message))
        elif manner == "rejecting":
            self.say(external_id, "ack", {"version": version, "status": "rejected", "detail": "Too hot.\n"})
        elif manner == "lying":
            for other in (version - 1, version + 1):
                self.say(external_id, "ack", {"version": other, "status": "accepted"})
        elif manner == "hostile":
            for payload in HOSTILE:
                self.say(external_id, "ack", payload)
            self.say(external_id, "ack/more", {"version": version, "status": "accepted"})
            self.say("somebody", "ack", {"version": version, "status": "accepted"})

    def _take(self, message: ScheduleMessage) -> dict[str, Any]:
        """Be the device: keep a newer version, refuse an older one."""
        external_id, version = message["device"], message["version"]
        held = self.held.get(external_id)
        if held and version < held["version"]:
            detail = f"Version {version} is older than {held['version']}."
            return {"version": version, "status": "rejected", "detail": detail}
        if not held or version > held["version"]:
            self.held[external_id] = message
            self.effects[external_id] += 1
            self.taken.append((external_id, version))
        return {"version": version, "status": "accepted"}

    def say(self, external_id: str, part: str, content: Any, *, retain: bool = False) -> mqtt.MQTTMessageInfo:
        """Publish bytes as they are, anything else as JSON."""
        payload = content if isinstance(content, bytes) else json.dumps(content)
        return self.client.publish(f"leapvpp/devices/{external_id}/{part}", payload, qos=1, retain=retain)

    def wait_told(self, wanted: Sequence[tuple[str, int]]) -> None:
        """Wait until the devices were told these versions."""
        with self.heard:
            assert self.heard.wait_for(lambda: set(wanted) <= set(self.told), timeout=30), self.told

    def vanish(self) -> None:
        """Lose the connection as a device that loses its power: the broker speaks its last will."""
        sock = self.client.socket()
        assert isinstance(sock, socket.socket)
        self.client.on_connect = None
        self.client.reconnect_delay_set(60, 60)
        sock.shutdown(socket.SHUT_RDWR)
