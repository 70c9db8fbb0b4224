"""Make a key of the REST API."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from leapvpp.keys import create_api_key
from leapvpp.models import Role


class Command(BaseCommand):
    """Prints one line, the key; it is stored as a hash and cannot be shown again."""

    help = "Make a key of the REST API and print it, once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a name for people and a role."""
        parser.add_argument("name", help="What the key is for.")
        parser.add_argument("--role", choices=Role.values, default=Role.VIEWER.value)

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the key."""
        self.stdout.write(create_api_key(name=options["name"], role=options["role"], now=timezone.now()))
