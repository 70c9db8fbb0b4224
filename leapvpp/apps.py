"""The project as an app: its checks, and the admin site it brings."""

from __future__ import annotations

import importlib

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class LeapvppConfig(AppConfig):
    """Registers the system checks and the API's description of its keys."""

    name = "leapvpp"
    verbose_name = "Portal"
    default = True

    def ready(self) -> None:
        """Load what registers itself by being loaded."""
        importlib.import_module("leapvpp.checks")
        importlib.import_module("leapvpp.schema")


class PortalAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the portal's rule for who may enter."""

    default = False
    default_site = "leapvpp.admin_site.PortalAdminSite"
