"""Filters that refuse what no database could compare, with a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import TextChoices
from rest_framework import serializers
from rest_framework.request import Request

from meters.api.fields import codes

LARGEST_ID = 2**63 - 1
UUID_LENGTH = 36


class MomentField(forms.Field):
    """An ISO 8601 time; one without an offset is UTC."""

    def to_python(self, value: Any) -> datetime | None:
        """Read a time and move it to UTC.

        Raises: forms.ValidationError when it is not one, or lies outside the calendar.
        """
        text = str(value or "").strip()
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise forms.ValidationError("Enter a time in ISO 8601, such as 2026-07-01T23:00:00Z.") from None


def moment_asked(request: Request, *, name: str) -> datetime | None:
    """Read a time from the query, outside of any filter.

    Raises: serializers.ValidationError naming the parameter.
    """
    try:
        moment: datetime | None = MomentField(required=False).clean(request.query_params.get(name, ""))
    except forms.ValidationError as wrong:
        raise serializers.ValidationError({name: wrong.messages}) from None
    return moment


class MomentFilter(django_filters.Filter):
    """Compares a time."""

    field_class = MomentField


class RowIdField(forms.IntegerField):
    """The number of a row, as large as the database can compare."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=LARGEST_ID, **kwargs)


class RowIdFilter(django_filters.Filter):
    """Compares the number of a row."""

    field_class = RowIdField


def stored_leap_id(given: str) -> str:
    """Return an id of Leap's as it is stored: a UUID in lower case, anything else as it came."""
    return given.lower() if len(given) == UUID_LENGTH else given


class LeapIdFilter(django_filters.CharFilter):
    """Compares an id of Leap's, a UUID in any case."""

    def filter(self, qs: Any, value: str) -> Any:
        """Filter by the id as it is stored."""
        return super().filter(qs, stored_leap_id(value))


class MeterIdFilter(django_filters.CharFilter):
    """Compares a meter's id, in any case."""

    def filter(self, qs: Any, value: str) -> Any:
        """Filter by the id as it is stored, in lower case."""
        return super().filter(qs, value.lower())


class CodeChoiceField(django_filters.fields.ChoiceField):
    """One of the codes, in any case."""

    def to_python(self, value: Any) -> str:
        """Lower the code, as the choices are."""
        return str(super().to_python(value)).lower()


class CodeFilter(django_filters.ChoiceFilter):
    """Compares a code, given in any case, with the capitals that are stored."""

    field_class = CodeChoiceField

    def __init__(self, choices: type[TextChoices], **kwargs: Any) -> None:
        super().__init__(choices=codes(choices), **kwargs)

    def filter(self, qs: Any, value: str) -> Any:
        """Filter by the stored code."""
        return super().filter(qs, value.upper() if value else value)
