"""Drivers by name, as `settings.DEVICE_DRIVERS` lists them."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from devices.drivers.base import Capabilities, Driver, DriverError


def driver_named(name: str) -> Driver:
    """Return the driver a device names.

    Raises:
        DriverError: permanent; no such driver is installed, or it cannot be loaded.
    """
    path = settings.DEVICE_DRIVERS.get(name)
    if path is None:
        known = ", ".join(sorted(settings.DEVICE_DRIVERS))
        raise DriverError(f"No driver is called “{name}”; there are: {known}.", permanent=True)
    return _load(path)


def capabilities_of(name: str) -> Capabilities:
    """Return what a driver's devices can do; of one that cannot be loaded, what most can."""
    try:
        return driver_named(name).capabilities
    except DriverError:
        return Driver.capabilities


@cache
def _load(path: str) -> Driver:
    try:
        driver: Driver = import_string(path)()
    except ImportError as error:
        raise DriverError(f"The driver {path} cannot be loaded: {error}", permanent=True) from error
    return driver
