"""One connection to a Modbus device, by pymodbus. Loaded when the first is made: the web never makes one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from devices.domain.egress import Forbidden
from devices.drivers.base import DriverError
from devices.drivers.egress import CONNECT_SECONDS, is_peer

_MAY_PASS: Final = {
    4: "says that it failed",
    5: "needs more time",
    6: "is busy",
}
_OF_ITS_GATEWAY: Final = {
    10: "cannot be reached through its gateway",
    11: "does not answer its gateway",
}


class Refused(Exception):
    """The device answered that it does not do this: an exception of Modbus, by its code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}.")
        self.code = code


class Line:
    """A connection to one unit. Each request is made once."""

    def __init__(self, client: AsyncModbusTcpClient, *, unit_id: int) -> None:
        self._client = client
        self._unit_id = unit_id

    async def read(self, address: int, count: int) -> Sequence[int]:
        """Return holding registers.

        Raises:
            Refused: the device has none there.
            DriverError: it did not answer, or not with what was asked.
        """
        answer = await self._asked(
            lambda: self._client.read_holding_registers(address, count=count, device_id=self._unit_id)
        )
        if len(answer.registers) != count:
            raise _heard(f"answered with {len(answer.registers)} registers, not {count}")
        return answer.registers

    async def write(self, address: int, registers: list[int], *, not_after: datetime) -> None:
        """Write holding registers, unless it is too late.

        Raises:
            Refused: the device does not take it.
            DriverError: it did not answer, or `not_after` has come.
        """
        # The last thing before the write: whoever was paused here has lost the device to another.
        if datetime.now(UTC) >= not_after:
            raise DriverError(
                "The try took too long, so nothing more was written.", permanent=False, is_heard=True
            )
        await self._asked(lambda: self._client.write_registers(address, registers, device_id=self._unit_id))

    async def _asked(self, request: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU:
        try:
            answer = await request()
        except ModbusException as error:
            raise _silence("did not answer") from error
        if not answer.isError():
            return answer
        code = answer.exception_code
        if code in _MAY_PASS:
            raise _heard(_MAY_PASS[code])
        if code in _OF_ITS_GATEWAY:
            raise _silence(_OF_ITS_GATEWAY[code])
        raise Refused(code)


@asynccontextmanager
async def connected(
    numbers: Sequence[str], port: int, *, unit_id: int, answer_seconds: float
) -> AsyncIterator[Line]:
    """Connect to the first of a host's numbers that answers.

    Raises:
        DriverError: none does.
        Forbidden: somebody else answered.
    """
    for number in numbers:
        client = AsyncModbusTcpClient(
            number, port=port, timeout=CONNECT_SECONDS, retries=0, reconnect_delay=0
        )
        if await client.connect():
            break
    else:
        raise _silence("cannot be reached")
    try:
        peer = client.ctx.transport.get_extra_info("peername")[0]
        if not is_peer(peer, number):
            raise Forbidden(f"was answered from {peer}.")
        client.ctx.comm_params.timeout_connect = answer_seconds
        yield Line(client, unit_id=unit_id)
    finally:
        client.close()
        await asyncio.sleep(0)  # lets the socket close before its loop does


def _silence(predicate: str) -> DriverError:
    return DriverError(f"The device {predicate}.", permanent=False)


def _heard(predicate: str) -> DriverError:
    return DriverError(f"The device {predicate}.", permanent=False, is_heard=True)
