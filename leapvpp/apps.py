"""The project as an app: its checks, and the admin site it brings."""

from __future__ import annotations

import importlib

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class LeapvppConfig(AppConfig):
    """Registers the system checks."""

    name = "leapvpp"
    verbose_name = "Portal"
    default = True

    def ready(self) -> None:
        """Load what registers itself by being loaded."""
        importlib.import_module("leapvpp.checks")


class PortalAdminConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with the portal's rule for who may enter.

    The admin's modules are loaded by `leapvpp.urls`: worker and dispatcher have no use for them, and
    would be half as big again.
    """

    default = False
    default_site = "leapvpp.admin_site.PortalAdminSite"
