"""One account's connection to Leap, which the clients of each of Leap's services share."""

from types import TracebackType
from typing import Self

from leapvpp.leap.transport import DEADLINE_SECONDS, LeapTransport


class LeapConnection:
    """One account's access to Leap. Every method of a client raises the errors of ``leapvpp.leap.errors``."""

    def __init__(
        self, *, base_url: str, api_key: str, attempts: int = 3, total_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Open nothing yet. Raises ``ValueError`` for an address or key that cannot work.

        ``total_seconds``: how long one answer may take to arrive.
        """
        self._transport = LeapTransport(
            base_url=base_url, api_key=api_key, attempts=attempts, total_seconds=total_seconds
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.base_url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()
