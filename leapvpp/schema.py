"""How the OpenAPI description names what only this project has."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """A key is a bearer token."""

    target_class = "leapvpp.access.ApiKeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the scheme's description."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made with `manage.py create_api_key` or in the admin.",
        }
