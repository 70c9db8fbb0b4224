"""Values that a schema of Leap's allows: with the least in it, or with everything."""

from __future__ import annotations

import re
from typing import Any

from tests.leap.contracts.checking import document

BY_FORMAT = {
    "uuid": "11111111-1111-1111-1111-111111111111",
    "date-time": "2026-12-01T08:00:00Z",
    "date": "2026-12-01",
    "uri": "https://portal.example/hook",
}
TEXTS = ("customer-1", "12345", "CA", "1234567890", "12345678901234567", "+15550100123", "a@demo.example", "")
Json = dict[str, Any]


def sample(schema: str, *, of: str, is_full: bool) -> Any:
    """Return a value of the named schema of one of Leap's files."""
    return _value({"$ref": f"#/schemas/{schema}"}, document(of)["schemas"], is_full=is_full)


def _value(schema: Json, schemas: Json, *, is_full: bool) -> Any:
    flat = _flat(schema, schemas)
    if "enum" in flat:
        return flat["enum"][0]
    if "properties" in flat:
        wanted = (
            flat["properties"] if is_full else {name: flat["properties"][name] for name in flat["required"]}
        )
        return {name: _value(each, schemas, is_full=is_full) for name, each in wanted.items()}
    kind = flat.get("type")
    if kind == "array":
        return [_value(flat["items"], schemas, is_full=is_full)] if is_full or flat.get("minItems") else []
    if kind in {"integer", "number"}:
        return flat.get("minimum", 1)
    if kind == "boolean":
        return False
    if kind == "object":
        return {}
    if flat.get("format") in BY_FORMAT:
        return BY_FORMAT[flat["format"]]
    return next(text for text in TEXTS if _fits(text, flat))


def _fits(text: str, flat: Json) -> bool:
    is_long_enough = flat.get("minLength", 0) <= len(text) <= flat.get("maxLength", 99)
    return is_long_enough and re.search(flat.get("pattern", ""), text) is not None


def _flat(schema: Json, schemas: Json) -> Json:
    """Return a schema with references followed and parts joined; of alternatives the first."""
    while "$ref" in schema:
        schema = schemas[schema["$ref"].removeprefix("#/schemas/")]
    parts = [_flat(each, schemas) for each in (*schema.get("allOf", ()), *schema.get("oneOf", ())[:1])]
    flat: Json = {}
    properties: Json = {}
    required: list[str] = []
    for part in (*parts, schema):
        properties |= part.get("properties", {})
        required += [each for each in part.get("required", ()) if each not in required]
        flat |= {name: value for name, value in part.items() if name not in {"allOf", "oneOf"}}
    return flat | ({"properties": properties, "required": required} if properties else {})
