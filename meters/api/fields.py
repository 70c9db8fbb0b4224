"""How values look on the wire: our codes in lower case, power as numbers.

Leap's own words (program codes, enrollment status, caps) stay as Leap writes them.
"""

from __future__ import annotations

import json
from typing import Any

from django.db.models import TextChoices
from rest_framework import serializers


def codes(choices: type[TextChoices]) -> list[tuple[str, str]]:
    """List a model's codes as the API writes them, in lower case, with their labels."""
    return [(str(value).lower(), str(label)) for value, label in choices.choices]


class CodeField(serializers.ChoiceField):
    """A code stored in capitals, read and written in lower case; empty is null."""

    def __init__(self, choices: type[TextChoices], **kwargs: Any) -> None:
        known = codes(choices)
        sentence = f"Give one of: {', '.join(code for code, _ in known)}."  # without an echo of the input
        super().__init__(choices=known, error_messages={"invalid_choice": sentence}, **kwargs)

    def to_representation(self, value: Any) -> Any:
        """Write the code in lower case."""
        return str(value).lower() or None

    def to_internal_value(self, data: object) -> str:
        """Read a code in any case."""
        return str(super().to_internal_value(str(data).lower())).upper()


class KilowattField(serializers.DecimalField):
    """Power or energy as people write it in: up to three decimals, not negative."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=12, decimal_places=3, min_value=0, **kwargs)


class JsonObjectField(serializers.DictField):
    """A JSON object that every database can store: no NUL, no lone surrogate, no infinity."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Accept an object.

        Raises: serializers.ValidationError when it is none, or holds what cannot be stored.
        """
        value: dict[str, Any] = super().to_internal_value(data)
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (ValueError, RecursionError):
            raise serializers.ValidationError("Not a JSON object that can be stored.") from None
        if "\\u0000" in text:
            raise serializers.ValidationError("Null characters are not allowed.")
        return value
