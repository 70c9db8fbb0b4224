"""Chargers as real OCPP clients, in a loop of their own, each with a manner."""

from __future__ import annotations

import asyncio
import logging
import threading
from base64 import b64encode
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ocpp.routing import after, on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from devices.domain.schedule import as_z

quiet = logging.getLogger("tests.chargers")
quiet.setLevel(logging.CRITICAL)
RATED_KW = 10.0
PASSWORD = "sixteen-or-more-signs"
PATIENCE_SECONDS = 120


class Memory:
    """What a charger holds, and how it behaves; outlives its connection. All it was told is in `told`.

    `manner`: "" | silent | refusing | lying (takes everything and does nothing) | deaf (says not what it
    holds) | absurd (says that it holds it for ages).
    """

    def __init__(self) -> None:
        self.manner = ""
        self.profile: dict[str, Any] | None = None
        self.changes = 0
        self.told: list[str] = []

    async def note(self, what: str) -> None:
        self.told.append(what)
        if self.manner == "silent" or (self.manner == "deaf" and what == "composite"):
            await asyncio.Event().wait()

    def take(self, profile: dict[str, Any] | None) -> None:
        if profile != self.profile:
            self.profile = profile
            self.changes += 1

    @property
    def schedule(self) -> dict[str, Any]:
        assert self.profile is not None
        schedule = self.profile["charging_schedule"]
        return schedule[0] if isinstance(schedule, list) else schedule

    @property
    def version(self) -> int:
        """1.6 carries the version as the profile's id, 2.0.1 as the schedule's."""
        assert self.profile is not None
        return self.schedule.get("id") or self.profile["charging_profile_id"]

    def pieces(self) -> list[tuple[datetime, datetime, float]]:
        """The periods in kW, as they lie in time."""
        if self.profile is None:
            return []
        schedule = self.schedule
        start = datetime.fromisoformat(schedule["start_schedule"])
        periods = schedule["charging_schedule_period"]
        begins = [start + timedelta(seconds=each["start_period"]) for each in periods]
        ends = [*begins[1:], start + timedelta(seconds=schedule["duration"])]
        of_one = 1000 if schedule["charging_rate_unit"] == "W" else 1000 / 230 / 3
        limits = [float(each["limit"]) / of_one for each in periods]
        return list(zip(begins, ends, limits, strict=True))

    def segments(self) -> list[dict[str, Any]]:
        """What it was told, in the words of a schedule's message."""
        return [
            {
                "start": as_z(start),
                "end": as_z(end),
                "mode": "curtail",
                "target_kw": RATED_KW - limit,
                "cap": "up-to-nomination",
            }
            for start, end, limit in self.pieces()
            if limit < RATED_KW
        ]

    def composite(self, seconds: int, unit: str) -> dict[str, Any]:
        """What it will do from now on, or if it lies, whatever it likes."""
        now = datetime.now(UTC).replace(microsecond=0)
        pieces = [] if self.manner == "lying" else self.pieces()
        moments = {now, *(moment for start, end, _ in pieces for moment in (start, end))}
        of_one = 1000 if unit == "W" else 1000 / 230 / 3
        periods = []
        for moment in sorted(moments):
            if not now <= moment < now + timedelta(seconds=seconds):
                continue
            limits = [limit for start, end, limit in pieces if start <= moment < end]
            limit = round(min([*limits, RATED_KW]) * of_one, 1)
            periods.append({"start_period": int((moment - now).total_seconds()), "limit": limit})
        return {
            "duration": 10**15 if self.manner == "absurd" else seconds,
            "charging_rate_unit": unit,
            "charging_schedule_period": periods,
            "start": as_z(now),
        }


class Client16(ChargePoint16):
    def __init__(self, name: str, connection: ClientConnection, memory: Memory) -> None:
        super().__init__(name, connection, response_timeout=PATIENCE_SECONDS, logger=quiet)
        self.memory = memory

    @on("SetChargingProfile")
    async def on_set_profile(self, connector_id, cs_charging_profiles):
        await self.memory.note("set")
        assert connector_id == 0
        if self.memory.manner == "refusing":
            return result16.SetChargingProfile("Rejected")
        self.memory.take(cs_charging_profiles)
        return result16.SetChargingProfile("Accepted")

    @on("ClearChargingProfile")
    async def on_clear_profile(self, **criteria):
        await self.memory.note("clear")
        assert criteria["charging_profile_purpose"] == "ChargePointMaxProfile"
        status = "Accepted" if self.memory.profile else "Unknown"
        self.memory.take(None)
        return result16.ClearChargingProfile(status)

    @on("GetCompositeSchedule")
    async def on_composite(self, duration, charging_rate_unit, **_):
        await self.memory.note("composite")
        said = self.memory.composite(duration, charging_rate_unit)
        return result16.GetCompositeSchedule("Accepted", 0, said.pop("start"), said)

    async def boot(self):
        return await self.call(call16.BootNotification("Model", "Vendor"))


class Client201(ChargePoint201):
    def __init__(self, name: str, connection: ClientConnection, memory: Memory) -> None:
        super().__init__(name, connection, response_timeout=PATIENCE_SECONDS, logger=quiet)
        self.memory = memory

    @on("SetChargingProfile")
    async def on_set_profile(self, evse_id, charging_profile):
        await self.memory.note("set")
        assert evse_id == 0
        if self.memory.manner == "refusing":
            information = {"reason_code": "TooHot", "additional_info": "80 °C"}
            return result201.SetChargingProfile("Rejected", information)
        held = self.memory.profile
        if held and held["id"] != charging_profile["id"]:
            return result201.SetChargingProfile("Rejected", {"reason_code": "DuplicateProfile"})
        self.memory.take(charging_profile)
        return result201.SetChargingProfile("Accepted")

    @on("ClearChargingProfile")
    async def on_clear_profile(self, charging_profile_id):
        await self.memory.note("clear")
        status = "Accepted" if self.memory.profile else "Unknown"
        self.memory.take(None)
        return result201.ClearChargingProfile(status)

    @on("GetCompositeSchedule")
    async def on_composite(self, duration, charging_rate_unit, evse_id):
        await self.memory.note("composite")
        said = self.memory.composite(duration, charging_rate_unit)
        schedule = {**said, "evse_id": evse_id, "schedule_start": said["start"]}
        del schedule["start"]
        return result201.GetCompositeSchedule("Accepted", schedule=schedule)

    @on("GetChargingProfiles")
    async def on_get_profiles(self, **_):
        await self.memory.note("get")
        return result201.GetChargingProfiles("Accepted" if self.memory.profile else "NoProfiles")

    @after("GetChargingProfiles")
    async def after_get_profiles(self, request_id, **_):
        if self.memory.profile:
            await self.call(call201.ReportChargingProfiles(request_id, "CSO", [self.memory.profile], 0))

    async def boot(self):
        station = {"model": "Model", "vendor_name": "Vendor"}
        return await self.call(call201.BootNotification(station, "PowerUp"))


CLIENTS: dict[str, Any] = {"1.6": Client16, "2.0.1": Client201}


class Chargers:
    """A site full of chargers, in a thread."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.memories: dict[str, Memory] = {}
        self.clients: dict[str, Any] = {}
        self.connections: list[ClientConnection] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Chargers:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _stop(self) -> None:
        for connection in self.connections:
            connection.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the chargers' loop, and return what came of it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)

    def sign_in(self, name: str, version: str = "1.6", *, password: str = PASSWORD) -> Any:
        """Connect a charger, boot it, and return it."""
        return self.run(self._sign_in(name, version, password))

    async def _sign_in(self, name: str, version: str, password: str) -> Any:
        connection = await self.open(name, version, password=password)
        memory = self.memories.setdefault(name, Memory())
        client = self.clients[name] = CLIENTS[version](name, connection, memory)
        self.tasks.append(asyncio.create_task(self._listen(client)))
        await client.boot()
        return client

    async def _listen(self, client: Any) -> None:
        with suppress(Exception):  # its connection ended
            await client.start()

    async def open(self, name: str, version: str = "1.6", *, password: str = PASSWORD) -> ClientConnection:
        """Connect as a charger does; whatever comes then is the caller's."""
        secret = b64encode(f"{name}:{password}".encode()).decode()
        connection = await connect(
            f"ws://127.0.0.1:{self.port}/{name}",
            subprotocols=[Subprotocol(f"ocpp{version}")],
            additional_headers={"Authorization": f"Basic {secret}"} if password else None,
            open_timeout=PATIENCE_SECONDS,
        )
        self.connections.append(connection)
        return connection

    def hang_up(self, name: str) -> None:
        """Have a charger go."""
        self.run(self.clients[name]._connection.close())
