"""How far replays have come, as bytes: devices that share a track still share it when read again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from dispatch.domain.replaying import Track, Tracks


@dataclass(frozen=True, slots=True)
class _Packed:
    """`replays`: by device, which of the tracks."""

    until: datetime
    tracks: list[Track]
    replays: list[dict[int, int]]


def pack(replays: Sequence[Tracks], *, until: datetime) -> bytes:
    """Return everything needed to go on after a moment."""
    places: dict[int, int] = {}
    tracks: list[Track] = []
    for replay in replays:
        for track in replay.values():
            if id(track) not in places:
                places[id(track)] = len(tracks)
                tracks.append(track)
    packed = [{device_id: places[id(track)] for device_id, track in replay.items()} for replay in replays]
    return zlib.compress(msgspec.msgpack.encode(_Packed(until, tracks, packed)), 1)


def unpack(content: bytes) -> tuple[list[Tracks], datetime]:
    """Return the replays and the moment they have come to."""
    packed = msgspec.msgpack.decode(zlib.decompress(content), type=_Packed)
    replays = [
        {device_id: packed.tracks[place] for device_id, place in places.items()} for places in packed.replays
    ]
    return replays, packed.until
