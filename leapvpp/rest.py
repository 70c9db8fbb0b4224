"""What every answer of the REST API has in common."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
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


class ShallowJson(JSONParser):
    """JSON that does not nest beyond what Python can read."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Read a body.

        Raises: ParseError also when it nests too deep.
        """
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deep.") from None


PROBLEM = {
    "type": "object",
    "description": "Problem details as RFC 9457 has them.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong with this request, in a sentence."},
        "errors": {
            "type": "object",
            "additionalProperties": True,
            "description": "Of a request that is not valid: sentences by the name of the field.",
        },
    },
}
PROBLEMS = {
    "400": "The request is not valid; `errors` names the fields.",
    "401": "No key and no session, or one that is not known.",
    "403": "The role does not allow it.",
    "404": "There is no such row.",
}


def describe_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add to every operation of the OpenAPI description the errors that it may answer."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in result["paths"].items():
        for operation in operations.values():
            for status, description in PROBLEMS.items():
                if status != "404" or "{" in path:
                    answer = {"description": description, "content": content}
                    operation["responses"].setdefault(status, answer)
    return result
