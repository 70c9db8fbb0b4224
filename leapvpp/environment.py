"""Read the environment into typed values, refusing nonsense with a sentence that says what to set."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from devices.domain.egress import LISTABLE, Network, is_listable
from devices.domain.signing import is_secret

SHORTEST_KEY = 6
TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"0", "false", "no", "off"}
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
TAKEN_HEADERS = {"authorization", "connection", "content-length", "content-type", "cookie", "host"}
LOOPBACK_HOSTS = {"127.0.0.1", "localhost", "::1"}
SERVICE_PORTS = {
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "mqtt": 1883,
    "mqtts": 8883,
}
DATABASE_SCHEMES = {"sqlite", "postgres", "postgresql"}


def read_dotenv(path: Path) -> None:
    """Take what the file sets and the environment does not; a missing file is fine."""
    if path.is_file():
        environ.Env.read_env(path)


def text(name: str, default: str = "") -> str:
    """Return a setting without the blanks around it; an empty one counts as not set."""
    return os.environ.get(name, "").strip() or default


def names(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma list; blanks around its parts and empty parts are dropped."""
    value = os.environ.get(name)
    if value is None:
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]


def topics(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma list of the beginnings of MQTT topics; set and empty: none.

    Raises ImproperlyConfigured on one that cannot begin a topic.
    """
    found = names(name, default)
    for each in found:
        if not each.isprintable() or any(sign in each for sign in "+#") or not all(each.split("/")):
            raise ImproperlyConfigured(f"{name} has {each!r}. Set it to topics such as {', '.join(default)}.")
    return found


def flag(name: str, *, default: bool = False) -> bool:
    """Return a switch. Raises ImproperlyConfigured on a word that is neither yes nor no."""
    value = text(name, "true" if default else "false").lower()
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}. Set it to true or false.")


def choice(name: str, words: tuple[str, ...]) -> str:
    """Return one of the words, the first when nothing is set. Raises ImproperlyConfigured on another."""
    value = text(name, words[0]).lower()
    if value in words:
        return value
    raise ImproperlyConfigured(f"{name} is {value!r}. Set it to {', '.join(words[:-1])} or {words[-1]}.")


def whole_number(name: str, default: int) -> int:
    """Return a number of at least one. Raises ImproperlyConfigured on anything else."""
    value = text(name, str(default))
    if not (value.isascii() and value.isdecimal()) or int(value) < 1:
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to a whole number such as {default}.")
    return int(value)


def secret_key(*, debug: bool) -> str:
    """Return what signs sessions and queued work. Raises ImproperlyConfigured if missing outside DEBUG."""
    key = text("SECRET_KEY")
    if key:
        return key
    if debug:
        return "only-for-development-" + "0123456789abcdefghijklmnopqrstuvwxyz"
    raise ImproperlyConfigured(
        "SECRET_KEY is missing. Set it to a long random text of your own, for example the output of:"
        ' python -c "import secrets; print(secrets.token_urlsafe(50))"'
    )


def webhook_keys(*, debug: bool) -> list[str]:
    """Return the live keys Leap may send. Raises ImproperlyConfigured on none, short or non-ASCII ones."""
    keys = names("LEAP_WEBHOOK_KEYS", ("development-key",) if debug else ())
    if not keys:
        raise ImproperlyConfigured(
            "LEAP_WEBHOOK_KEYS is missing. Set it to the key Leap sends with each dispatch"
            " (two, separated by a comma, while one is being replaced)."
        )
    for place, key in enumerate(keys, start=1):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ImproperlyConfigured(
                f"Key {place} of LEAP_WEBHOOK_KEYS cannot travel in a header."
                " Set it to ASCII letters, digits and signs without blanks."
            )
        if len(key) < SHORTEST_KEY:
            raise ImproperlyConfigured(
                f"Key {place} of LEAP_WEBHOOK_KEYS is too short."
                f" Set it to {SHORTEST_KEY} characters or more; 32 random ones are good."
            )
    return keys


def webhook_header() -> str:
    """Return the name of the header that carries Leap's key. Raises ImproperlyConfigured on a bad name."""
    name = text("LEAP_WEBHOOK_HEADER", "x-api-key")
    if not HEADER_NAME.fullmatch(name) or name.lower() in TAKEN_HEADERS or "_" in name:
        raise ImproperlyConfigured(
            f"LEAP_WEBHOOK_HEADER is {name!r}, which cannot carry a key."
            " Set it to the header name agreed with Leap, for example x-api-key."
        )
    return name


def leap_base_url() -> str:
    """Return Leap's host. Raises ImproperlyConfigured on more than a host, or plain http beyond loopback."""
    url = text("LEAP_API_BASE_URL", "https://api.staging.leap.energy").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ImproperlyConfigured(
            f"LEAP_API_BASE_URL is {url!r}. Set it to scheme and host, for example https://api.leap.energy."
        )
    if parts.path or parts.query or parts.username:
        raise ImproperlyConfigured(
            f"LEAP_API_BASE_URL is {url!r}. Set it to the host only:"
            " no path (the /v2 is added), no user, no query."
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        raise ImproperlyConfigured(
            f"LEAP_API_BASE_URL is {url!r}, over which the key would be readable. Set it to https://."
        )
    return url


def leap_api_key() -> str:
    """Return the key for Leap's API, "" for none. Raises ImproperlyConfigured on one no header can carry."""
    key = text("LEAP_API_KEY")
    if not (key.isascii() and key.isprintable()):
        raise ImproperlyConfigured(
            "LEAP_API_KEY cannot travel in a header. Set it to the key exactly as Leap gave it, in ASCII."
        )
    return key


def leap_connect_url() -> str:
    """Return the partner's address of Leap Connect, "" for none. Raises ImproperlyConfigured on nonsense."""
    url = text("LEAP_CONNECT_URL")
    if not url:
        return url
    if not url.isascii() or not url.isprintable() or not _is_server(url, schemes=("https",)):
        raise ImproperlyConfigured(
            "LEAP_CONNECT_URL is not understood. Set it to the address that Leap gave you for customers, for"
            " example https://connect.leap.energy?account=yours&variant=homes, without refId."
        )
    return url


def server_url(name: str, *, schemes: tuple[str, ...]) -> str:
    """Return a helping server's address, or "" for none. Raises ImproperlyConfigured on another scheme."""
    url = text(name)
    if url and not _is_server(url, schemes=schemes):
        raise ImproperlyConfigured(
            f"{name} is not understood. Set it to {schemes[0]}://host:port, or leave it out."
        )
    return url


def _is_server(url: str, *, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return False


def device_networks() -> tuple[Network, ...]:
    """Return the private networks devices are in. Raises ImproperlyConfigured on others, or on wider ones."""
    return tuple(_device_network(name) for name in names("DEVICE_NETWORKS"))


def _device_network(name: str) -> Network:
    try:
        network = ipaddress.ip_network(name)
    except ValueError:
        raise ImproperlyConfigured(
            f"DEVICE_NETWORKS names {name!r}. Set it to networks such as 10.20.0.0/16, separated by commas."
        ) from None
    if is_listable(network):
        return network
    private = ", ".join(str(each) for each in LISTABLE)
    raise ImproperlyConfigured(
        f"DEVICE_NETWORKS names {name}. Public addresses are open anyway; list parts of {private}."
    )


def device_ports(
    name: str = "DEVICE_PORTS", *, default: tuple[str, ...] = ("80", "443", "8080", "8443")
) -> tuple[int, ...]:
    """Return the ports devices may be spoken to at. Raises ImproperlyConfigured on what is no port."""
    found = names(name, default)
    for port in found:
        if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
            raise ImproperlyConfigured(
                f"{name} names {port!r}. Set it to ports such as {','.join(default)}, separated by commas."
            )
    return tuple(int(port) for port in found)


def signing_secrets(name: str) -> list[str]:
    """Return what requests are signed with. Raises ImproperlyConfigured on what is no secret."""
    secrets = names(name)
    for place, secret in enumerate(secrets, start=1):
        if not is_secret(secret):
            raise ImproperlyConfigured(
                f"Secret {place} of {name} cannot be used. Set it to the output of:"
                ' python -c "import base64, secrets;'
                " print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
            )
    return secrets


def addresses(name: str) -> list[str]:
    """Return addresses of mail. Raises ImproperlyConfigured on what can be none."""
    found = names(name)
    for address in found:
        before, at, after = address.rpartition("@")
        if not (before and at and after) or any(c.isspace() or c in "<>" for c in address):
            raise ImproperlyConfigured(
                f"{name} names {address!r}. Set it to addresses such as desk@example.com, comma-separated."
            )
    return found


def alert_webhook_url() -> str:
    """Return where alerts are posted, or "". Raises ImproperlyConfigured on plain http beyond loopback."""
    url = text("ALERT_WEBHOOK_URL")
    if not url:
        return url
    if not _is_server(url, schemes=("https", "http")):
        raise ImproperlyConfigured(
            "ALERT_WEBHOOK_URL is not understood. Set it to https://host/path, or leave it out."
        )
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        raise ImproperlyConfigured("ALERT_WEBHOOK_URL could be read on its way. Set it to https://.")
    return url


def service_ports(*urls: str) -> tuple[int, ...]:
    """Return the ports of the servers the portal itself leans on."""
    parts = [urlsplit(url) for url in urls]
    found = {part.port or SERVICE_PORTS.get(part.scheme) for part in parts if part.hostname}
    return tuple(sorted(port for port in found if port))


def portal_url() -> str:
    """Return where the workers reach this portal's own web. Raises ImproperlyConfigured on nonsense."""
    default = f"http://127.0.0.1:{text('PORT', '8000')}"
    return server_url("PORTAL_URL", schemes=("http", "https")).rstrip("/") or default


def listen_address(name: str) -> str:
    """Return `host:port` to listen at, "" for none. Raises ImproperlyConfigured on anything else."""
    address = text(name)
    if address and not is_address(address):
        raise ImproperlyConfigured(f"{name} is {address!r}. Set it to host:port, for example 127.0.0.1:9000.")
    return address


def is_address(address: str) -> bool:
    """Say whether a text is `host:port`, an IPv6 address in brackets."""
    host, _, port = address.rpartition(":")
    is_host = bool(host) and (":" not in host or (host[0], host[-1]) == ("[", "]"))
    return is_host and port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535


def email_settings() -> dict[str, Any]:
    """Return Django's EMAIL_ settings from EMAIL_URL; without one, mail is printed."""
    url = text("EMAIL_URL", "consolemail://")
    scheme = urlsplit(url).scheme
    if scheme not in environ.Env.EMAIL_SCHEMES:
        raise ImproperlyConfigured(
            "EMAIL_URL is not understood. Set it to smtp+tls://user:password@host:587, or leave it out."
        )
    return dict(environ.Env.email_url_config(url))


def database(base_dir: Path) -> dict[str, Any]:
    """Return Django's settings for the database. Raises ImproperlyConfigured on one that cannot work."""
    url = text("DATABASE_URL", "sqlite:///db.sqlite3")
    scheme = urlsplit(url).scheme
    if scheme not in DATABASE_SCHEMES:
        raise ImproperlyConfigured(
            "DATABASE_URL is not understood."
            " Set it to sqlite:///db.sqlite3 or postgres://user:password@host:5432/name."
        )
    config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    if scheme == "sqlite":
        return config | _sqlite(str(config["NAME"]), base_dir)
    if not config["NAME"]:
        raise ImproperlyConfigured("DATABASE_URL names no database. Add /name to its end.")
    return config | _postgresql(config.get("OPTIONS", {}))


def _sqlite(name: str, base_dir: Path) -> dict[str, Any]:
    if name == ":memory:" or not name:
        raise ImproperlyConfigured(
            "DATABASE_URL is an SQLite database in memory, which web, worker and dispatcher cannot share."
            " Set it to a file: sqlite:///db.sqlite3."
        )
    return {
        "NAME": str(base_dir / name),
        "CONN_MAX_AGE": None,
        # Immediate, or a reader that turns writer fails with "database is locked" without waiting;
        # full, so that what was acknowledged survives a loss of power.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": (database_patience() or 20_000) / 1000,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def database_patience() -> int:
    """Return how many ms a statement may wait, 0 for the usual. Raises ImproperlyConfigured."""
    patience = text("DATABASE_PATIENCE_MS", "0")
    if not (patience.isascii() and patience.isdecimal() and len(patience) < 10):
        raise ImproperlyConfigured(
            f"DATABASE_PATIENCE_MS is {patience!r}."
            " Set it to a whole number of milliseconds, or leave it out."
        )
    return int(patience)


def _postgresql(options: dict[str, Any]) -> dict[str, Any]:
    if "pool" in options:
        raise ImproperlyConfigured(
            "DATABASE_URL asks for a connection pool, which worker processes would share by accident."
            " Leave pool out."
        )
    # A database that vanishes without a word must be noticed before Leap hangs up after 10 seconds.
    limits: dict[str, Any] = {
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 7000,
    }
    # The questions of pages are many and short: compiling the larger ones takes longer than answering them.
    limits["options"] = "-c jit=off"
    if patience := database_patience():
        limits["options"] += f" -c statement_timeout={patience} -c lock_timeout={patience}"
    return {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "OPTIONS": limits | options}
