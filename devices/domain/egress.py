"""Which addresses a driver may speak to.

Addresses of devices are typed by people, so each is looked at twice: as it is written (`destination`), and as
the numbers it leads to when a connection is made (`check_numbers`). ADR 11 says why each is so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_ADDRESS: Final = 2000
PORTS: Final = {"http": 80, "https": 443}


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


LISTABLE: Final = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "127.0.0.0/8", "::1/128"
)
"""Where devices may be if the operator says so: the sites' own networks, and this machine."""

NEVER: Final = _networks(
    "0.0.0.0/8",  # this host
    "100.64.0.0/10",  # behind a carrier; clouds keep their metadata there
    "168.63.129.16/32",  # a cloud's metadata
    "169.254.0.0/16",  # the link; most clouds' metadata
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",  # relays that lead to any IPv4 address
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",  # many at once
    "240.0.0.0/4",
    "::/96",  # unspecified, and IPv4 in disguise; ::1 is judged with this machine
    "64:ff9b::/96",  # IPv4 in disguise
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",  # tunnels that lead to any IPv4 address
    "2001:db8::/32",
    "2002::/16",  # as above
    "3fff::/20",
    "5f00::/16",
    "fd00:ec2::/32",  # a cloud's metadata, in the range of the sites' own
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def is_listable(network: Network) -> bool:
    """Say whether a network is a part of one of the private ranges, or of this machine's own."""
    return any(
        (isinstance(network, IPv4Network) and isinstance(each, IPv4Network) and network.subnet_of(each))
        or (isinstance(network, IPv6Network) and isinstance(each, IPv6Network) and network.subnet_of(each))
        for each in LISTABLE
    )


class Forbidden(Exception):
    """The address must not be spoken to; the text says why, for operators."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be spoken to.

    `networks`: parts of `LISTABLE` where devices are; everything else that is not public is closed.
    `own_ports`, of the portal's database and helpers, are closed at every host; `own_names` are the portal's
    own, and `own_web_port` is where it listens on this machine.
    """

    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset(PORTS.values())
    own_ports: frozenset[int] = frozenset()
    own_names: frozenset[str] = frozenset()
    own_web_port: int | None = None
    ports_setting: str = "DEVICE_PORTS"
    """What an operator sets to open another port."""


@dataclass(frozen=True, slots=True)
class Destination:
    """An address taken apart once, so that nobody reads it differently later. `host` has no brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Return host and port as the Host header says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def destination(url: object, *, policy: Policy) -> Destination:
    """Take an address apart.

    Raises:
        Forbidden: it is no plain http address, or its port or the numbers it is written with are not allowed.
    """
    if not isinstance(url, str) or not url:
        raise Forbidden("is missing; give one such as https://gateway.example.com/devices/7.")
    if len(url) > LONGEST_ADDRESS:
        raise Forbidden(f"is longer than {LONGEST_ADDRESS} characters.")
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise Forbidden("may have no blanks, line ends, backslashes or characters beyond ASCII.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Forbidden("is not an address that can be understood.") from None
    if parts.scheme not in PORTS or not host:
        raise Forbidden("must begin with https:// (or http://) and a host.")
    if "@" in parts.netloc:
        raise Forbidden("may carry no user or password.")
    if "#" in url:
        raise Forbidden("may have no part behind a #.")
    port = PORTS[parts.scheme] if port is None else port
    check_place(host, port, policy=policy)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(scheme=parts.scheme, host=host, port=port, target=target)


def check_place(host: str, port: int, *, policy: Policy) -> None:
    """Refuse a host and a port as they are written; where a name leads is not looked at.

    Raises:
        Forbidden: they are not allowed, or can be none.
    """
    _check_host(host, policy=policy)
    _check_port(port, policy=policy)
    if (number := as_number(host)) is not None:
        check_numbers([number], port=port, policy=policy)


def check_numbers(numbers: Iterable[str], *, port: int, policy: Policy) -> None:
    """Refuse if any of the addresses, written as numbers, is closed.

    Raises:
        Forbidden: with the first that is.
    """
    for number in numbers:
        address = _plain(ipaddress.ip_address(number))
        if not address.is_loopback and any(address in network for network in NEVER):
            raise Forbidden(f"leads to {address}, where no device can be.")
        is_listed = any(address in network for network in policy.networks)
        if not is_listed and (any(address in network for network in LISTABLE) or not address.is_global):
            raise Forbidden(f"leads to {address}, which is in no network of DEVICE_NETWORKS.")
        if address.is_loopback and port == policy.own_web_port:
            raise Forbidden("leads to the portal itself.")


def _plain(address: Address) -> Address:
    """Return the IPv4 address in ::ffff:0:0/96, which the system connects to as such."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _check_host(host: str, *, policy: Policy) -> None:
    is_ipv6 = ":" in host
    if (is_ipv6 and as_number(host) is None) or not (is_ipv6 or _HOST.fullmatch(host)):
        raise Forbidden("has a host that can be no name.")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) and as_number(host) is None:
        raise Forbidden("has a host of digits; write it as four decimal numbers with dots.")
    name = host.rstrip(".").lower()
    if any(name == own or (own.startswith(".") and f".{name}".endswith(own)) for own in policy.own_names):
        raise Forbidden("leads to the portal itself.")


def as_number(host: str) -> str | None:
    """Return a host that is an address written the one way everybody reads the same."""
    try:
        return None if "%" in host else str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _check_port(port: int, *, policy: Policy) -> None:
    if port in policy.own_ports:
        raise Forbidden(f"has port {port}, which is of the portal's own database or helpers.")
    if port not in policy.ports:
        known = ", ".join(str(known) for known in sorted(policy.ports))
        raise Forbidden(f"has port {port}; {policy.ports_setting} allows {known}.")
