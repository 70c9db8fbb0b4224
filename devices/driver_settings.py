"""A device's settings belong to its driver: checked when they are written, their secrets kept and not shown.

Forms, files and the API all go through here. A secret that is left out, empty or masked stays what it is;
null takes it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from devices.drivers import driver_named
from devices.drivers.base import DriverError
from devices.models import Device

MASK: Final = "********"
NEW: Final = "(new)"
DEFAULT_DRIVER: Final = "simulator"

Settings = Mapping[str, Any]


def wrong_settings(driver: str, settings: Any) -> list[str]:
    """Return a sentence for each thing that the driver cannot work with."""
    if not isinstance(settings, Mapping):
        return ["Settings are a JSON object, such as {}."]
    try:
        return driver_named(driver).check_settings(settings)
    except DriverError as error:
        return [str(error)]


def shown(driver: str, settings: Any, *, beside: Any = None) -> Any:
    """Return settings as they may be shown; a secret that differs from the one `beside` says so.

    Nothing is known of the settings of a driver that is not installed, so all of them are masked.
    """
    if not isinstance(settings, Mapping):
        return settings
    secrets = _secrets(driver, settings)
    held = beside if isinstance(beside, Mapping) else settings
    return {
        name: value if name not in secrets or not value else MASK if value == held.get(name) else NEW
        for name, value in settings.items()
    }


def blanked(driver: str, typed: Any) -> Any:
    """Return settings that somebody just typed without the secrets among them."""
    if not isinstance(typed, Mapping):
        return typed
    secrets = _secrets(driver, typed)
    return {
        name: "" if name in secrets and value not in (None, MASK) else value for name, value in typed.items()
    }


def completed(driver: str, given: Any, *, held_driver: str, held: Any) -> Any:
    """Return what is to be stored: the settings as given, with the secrets that were not given again."""
    if not isinstance(given, Mapping):
        return given
    kept = held if isinstance(held, Mapping) and driver == held_driver else {}
    stored = dict(given)
    for name in _secrets(driver, {**kept, **given}):
        value = given.get(name, "")
        if value == "" or value == MASK:
            value = kept.get(name)
        stored.pop(name, None)
        if value is not None:
            stored[name] = value
    return stored


def settle(wanted: Mapping[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Complete and check the settings of devices that are to be written: `{external_id: fields}`.

    The fields are changed in place. Returns sentences by external id where something is wrong. One query.
    """
    concerned = {name: fields for name, fields in wanted.items() if {"settings", "driver"} & fields.keys()}
    if not concerned:
        return {}
    rows = Device.objects.filter(external_id__in=concerned).values_list("external_id", "driver", "settings")
    stored = {name: (driver, settings) for name, driver, settings in rows}
    wrong: dict[str, list[str]] = {}
    for name, fields in concerned.items():
        held_driver, held = stored.get(name, (DEFAULT_DRIVER, {}))
        driver = fields.get("driver", held_driver)
        if "settings" in fields:
            fields["settings"] = completed(driver, fields["settings"], held_driver=held_driver, held=held)
        if sentences := wrong_settings(driver, fields.get("settings", held)):
            wrong[name] = sentences
    return wrong


def _secrets(driver: str, settings: Settings) -> frozenset[str]:
    try:
        return driver_named(driver).secret_settings
    except DriverError:
        return frozenset(settings)
