"""What every answer of the REST API has in common."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder


class Pages(PageNumberPagination):
    """`{"count", "next", "previous", "results"}`, `?page=` and `?page_size=` up to 1,000."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 1000


class NumbersEncoder(JSONEncoder):
    """kW and kWh are JSON numbers, never strings."""

    def default(self, obj: Any) -> Any:
        """Turn a Decimal of at most 12 digits into the number it is."""
        return float(obj) if isinstance(obj, Decimal) else super().default(obj)


class NumbersAreNumbers(JSONRenderer):
    """JSON in which a Decimal is a number."""

    encoder_class = NumbersEncoder
