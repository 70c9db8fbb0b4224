"""What can go wrong between the portal and Leap, as typed errors.

Leap's services answer errors in four shapes (dispatch, meters, revenue, platform webhooks);
``describe_error`` reads all of them. No error ever carries the API key: ``client`` removes it
from every text before it gets here.
"""

from collections.abc import Mapping, Sequence

import msgspec

LONGEST_MESSAGE = 500
WORTH_A_RETRY = frozenset({408, 425, 429})


class LeapError(Exception):
    """Every failure to get an answer from Leap.

    ``is_permanent`` says that the same request will fail again until somebody changes something.
    """

    @property
    def is_permanent(self) -> bool:
        return False


class LeapUnreachable(LeapError):
    """No answer: connection refused, time out, broken off, or slower than the deadline."""


class UnreadableAnswer(LeapError):
    """An answer that is not what Leap documents: not JSON, another shape, pages without an end."""

    @property
    def is_permanent(self) -> bool:
        return True


class LeapRefused(LeapError):
    """Leap answered with an error status.

    ``code`` is Leap's own word for it (``DISPATCH_INVALID_INPUT``, ``Forbidden``, ...) or empty; ``details``:
    what the body lists, where it lists anything.
    """

    def __init__(
        self, *, status: int, code: str, message: str, details: Sequence[Mapping[str, object]] = ()
    ) -> None:
        super().__init__(f"Leap answered {status} {code or 'without a code'}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)

    @property
    def is_permanent(self) -> bool:
        return self.status < 500 and self.status not in WORTH_A_RETRY


def describe_error(body: bytes) -> tuple[str, str]:
    """Return Leap's code and message from an error body of any of the four shapes, as ``storable``.

    >>> describe_error(b'{"error":"Forbidden","message":"not yours"}')
    ('Forbidden', 'not yours')
    """
    code, message = _read_error(body)
    return storable(code), storable(message)


def listed_details(body: bytes) -> tuple[Mapping[str, object], ...]:
    """Return the details of an error body that lists them, each as Leap wrote it.

    >>> listed_details(b'{"title": "Not valid", "details": [{"json_index": 1, "message": "Missing"}]}')
    ({'json_index': 1, 'message': 'Missing'},)
    """
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ()
    details = found.get("details") if isinstance(found, dict) else None
    return tuple(each for each in details if isinstance(each, dict)) if isinstance(details, list) else ()


def storable(text: str) -> str:
    """Return a text of Leap's without null characters, which PostgreSQL stores nowhere."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _read_error(body: bytes) -> tuple[str, str]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "", body.decode("utf-8", "replace").strip()[:LONGEST_MESSAGE]
    if not isinstance(found, dict):
        return "", str(found)[:LONGEST_MESSAGE]
    code = found.get("error_code") or found.get("code") or found.get("error") or found.get("title")
    message = found.get("message") or _describe_details(found.get("details"))
    return str(code or ""), str(message)[:LONGEST_MESSAGE]


def _describe_details(details: object) -> str:
    if isinstance(details, dict):
        return "; ".join(f"{field}: {problem}" for field, problem in details.items())
    if isinstance(details, list):
        return "; ".join(_describe_detail(detail) for detail in details)
    return str(details or "")


def _describe_detail(detail: object) -> str:
    if not isinstance(detail, dict):
        return str(detail)
    return ": ".join(str(detail[key]) for key in ("message", "description") if detail.get(key))
