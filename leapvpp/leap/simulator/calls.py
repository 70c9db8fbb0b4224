"""What the simulator's services have in common: a request taken apart, its answer, its refusal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")
Answer = tuple[int, object]


class Refusal(Exception):
    """A request that is answered with an error, worded as the service of its path does."""

    def __init__(
        self,
        status: int,
        message: str,
        details: Mapping[str, object] | Sequence[Mapping[str, object]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = details or {}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request: what its path names, the body, and what its query says."""

    argument: str
    body: bytes
    query: dict[str, str]


Route = tuple[str, str, Callable[[Call], Answer]]
"""Method, pattern of the path with at most one group – the call's argument –, and who answers."""


class Service(Protocol):
    """A part of Leap's API beside dispatches, meters and webhooks."""

    def routes(self) -> Sequence[Route]:
        """Return what it answers."""


def decode(body: bytes, kind: type[T]) -> T:
    """Read a request. Raises ``Refusal`` (400) for what is not of the kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the request could not be parsed: {error}") from error
