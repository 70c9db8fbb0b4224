"""How people word moments and names to the simulator: ``1h30m``, and a name for an id of Leap's."""

import re
from datetime import timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

_OFFSET = re.compile(r"(-?)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
NAMESPACE = uuid5(NAMESPACE_URL, "leapvpp-simulator")


def recipient_id(name: str) -> str:
    """Return the id that stands for a meter or group unless another is given; a UUID is itself."""
    try:
        return str(UUID(name))
    except ValueError:
        return str(uuid5(NAMESPACE, name))


def parse_offset(text: str) -> timedelta:
    """Return the duration that a text such as ``1h30m`` or ``-5m`` means.

    >>> parse_offset("1h30m")
    datetime.timedelta(seconds=5400)
    """
    match = _OFFSET.fullmatch(text)
    if match is None or not any(match.groups()[1:]):
        raise ValueError(f"{text!r} is not a time such as 90s, 5m, 1h30m, 2d or -5m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    offset = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -offset if match[1] else offset
