"""Devices that speak SunSpec over Modbus TCP: set-points with a revert timer, each read back.

`docs/devices-modbus.md` is the device's side of this; what stands in which register is decided in
`devices.domain.sunspec` and `devices.domain.sunspec_controls`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeGuard

from devices.domain.egress import Forbidden, check_place
from devices.domain.sunspec import BASES, BrokenMap, Site
from devices.domain.sunspec_controls import Unsuited
from devices.drivers.base import Answer, Capabilities, Driver, DriverError, SetPoint, unknown_settings
from devices.drivers.egress import UnknownName, allowed_numbers, look_up, policy_set
from devices.models import Device

if TYPE_CHECKING:
    from devices.drivers.modbus_talk import Maps

PORTS_SETTING: Final = "DEVICE_MODBUS_PORTS"
MODBUS_PORT: Final = 502
KNOWN_SETTINGS: Final = {
    "host",
    "port",
    "unit_id",
    "base_address",
    "timeout_seconds",
    "serial_number",
    "limits_export",
}


class ModbusDriver(Driver):
    """Finds the device's models, writes one control with its revert timer, and reads it back.

    A connection a device, closed after each try: many devices take one connection or two, and whoever looks
    after them on the site needs one as well. All talk in one event loop, as to have one each takes longer
    than the talk. Where models were found is remembered, and checked each time: to walk through a map takes a
    dozen questions and more.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        holds_schedule=False, reads_back=True, lease_seconds=180
    )
    timeout_seconds = 5
    concurrency = 64

    def __init__(self, look_up: Callable[[str, int], Sequence[str]] = look_up) -> None:
        self._look_up = look_up
        self._maps: Maps = {}
        self._opening = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process_id = 0

    def check_settings(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the address and the rest; see `Driver.check_settings`."""
        wrong = unknown_settings(settings, known=KNOWN_SETTINGS)
        wrong += _wrong_place(settings.get("host"), settings.get("port", MODBUS_PORT))
        if not _is_whole(settings.get("unit_id", 1), most=255):
            wrong.append("“unit_id” must be a whole number from 0 to 255.")
        if not _is_whole(settings.get("base_address", 0), most=65000):
            wrong.append("“base_address” must be a whole number from 0 to 65000.")
        seconds = settings.get("timeout_seconds", 1)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0.1 <= seconds <= 5:
            wrong.append("“timeout_seconds” must be a number from 0.1 to 5.")
        if not isinstance(settings.get("serial_number", ""), str):
            wrong.append("“serial_number” must be a text, as the device says it.")
        if not isinstance(settings.get("limits_export", False), bool):
            wrong.append("“limits_export” must be true or false.")
        return wrong

    def apply(self, set_point: SetPoint, device: Device, *, not_after: datetime) -> Answer:
        """Write one set-point; see `Driver.apply`."""
        from devices.drivers.modbus_talk import carry  # noqa: PLC0415 - the web need not load pymodbus

        deadline = time.monotonic() + self.timeout_seconds
        site = self._site(device)
        try:
            numbers = allowed_numbers(
                site.host,
                site.port,
                policy=policy_set(PORTS_SETTING),
                look_up=self._look_up,
                seconds=self.timeout_seconds,
            )
            task = carry(
                numbers,
                site,
                set_point,
                maps=self._maps,
                rated_kw=device.rated_power_kw,
                not_after=not_after,
                seconds=deadline - time.monotonic(),
            )
            return asyncio.run_coroutine_threadsafe(task, self._running_loop()).result()
        except Forbidden as reason:
            raise DriverError(f"The device's address {reason}", permanent=True) from None
        except (BrokenMap, Unsuited) as reason:
            raise DriverError(str(reason), permanent=True) from None
        except UnknownName:
            raise DriverError(
                "The device cannot be found: its name leads nowhere.", permanent=False
            ) from None
        except TimeoutError:
            raise DriverError(
                f"The device did not answer within {self.timeout_seconds:g} s.", permanent=False
            ) from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Return this process's loop, which runs in a thread of its own: threads do not outlive a fork."""
        with self._opening:
            if self._loop is None or self._process_id != os.getpid():
                self._loop, self._process_id = asyncio.new_event_loop(), os.getpid()
                Thread(target=self._loop.run_forever, name="modbus devices", daemon=True).start()
            return self._loop

    def _site(self, device: Device) -> Site:
        settings = self.settings_of(device)
        base = settings.get("base_address")
        return Site(
            host=settings["host"],
            port=settings.get("port", MODBUS_PORT),
            unit_id=settings.get("unit_id", 1),
            bases=BASES if base is None else (base,),
            answer_seconds=min(settings.get("timeout_seconds", 1), self.timeout_seconds),
            serial_number=settings.get("serial_number", ""),
            limits_export=settings.get("limits_export", False),
        )


def _wrong_place(host: object, port: object) -> list[str]:
    if not isinstance(host, str) or not host:
        return ["“host” is missing; give one such as 10.20.0.7 or inverter.example.com."]
    if not _is_whole(port, most=65535):
        return ["“port” must be a whole number from 0 to 65535."]
    try:
        check_place(host, port, policy=policy_set(PORTS_SETTING))
    except Forbidden as reason:
        return [f"“host” {reason}"]
    return []


def _is_whole(value: object, *, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
