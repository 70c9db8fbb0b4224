"""Bring the facts of Leap's OpenAPI files here: `python -m tests.leap.contracts.condense FOLDER`.

Kept are paths, statuses, types, required fields, enums, patterns and limits, and of examples what is data.
Left out is all that is prose. Needs PyYAML and the files; the tests need neither.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

HERE = Path(__file__).parent
NAMES = ("dispatch", "meter-details", "meter-enrollment", "webhooks", "create-meters")
PLAIN = (
    *("type", "format", "enum", "pattern", "required", "minimum", "maximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
)
PROSE = ("title", "message", "description", "action_description", "error", "summary", "error_message")
"""Fields of examples that hold sentences: one word stands for each."""
Json = dict[str, Any]


def condense(document: Json) -> Json:
    """Return the facts of a document, with Leap's addresses of components cut short."""
    prefix = urlsplit(document["servers"][0]["url"]).path
    return {
        "source": f"{document['info']['title']} {document['info']['version']}",
        "paths": {
            prefix + path: {method: _operation(said, document) for method, said in methods.items()}
            for path, methods in document["paths"].items()
        },
        "schemas": {name: _schema(said) for name, said in document["components"]["schemas"].items()},
    }


def examples(document: Json) -> list[Json]:
    """Return the different examples of answers, each with the path, method and status it is first of."""
    prefix = urlsplit(document["servers"][0]["url"]).path
    found: dict[str, Json] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for value in _values(_resolved(answer, document), document):
                    if isinstance(value, dict):
                        value = _without_prose(value)
                        of = {"path": prefix + path, "method": method, "status": status, "value": value}
                        found.setdefault(json.dumps(value, sort_keys=True), of)
    return list(found.values())


def _operation(said: Json, document: Json) -> Json:
    body = _resolved(said.get("requestBody", {}), document)
    content = {
        status: _json_schema(_resolved(answer, document)) for status, answer in said["responses"].items()
    }
    found: Json = {"answers": {status: schema for status, schema in content.items() if schema is not None}}
    found["statuses"] = sorted(content)
    if schema := _json_schema(body):
        found["request"] = schema
    query = [each for each in said.get("parameters", ()) if each.get("in") == "query"]
    if query:
        found["query"] = {each["name"]: _schema(each["schema"]) for each in query}
    return found


def _json_schema(said: Json) -> Json | None:
    content = said.get("content", {}).get("application/json")
    return _schema(content["schema"]) if content else None


def _schema(said: Json) -> Json:
    """Return a schema without prose; what may be null by OpenAPI 3.0 may be so by JSON Schema."""
    if "$ref" in said:
        return {"$ref": said["$ref"].replace("#/components/schemas/", "#/schemas/")}
    found = {name: value for name, value in said.items() if name in PLAIN}
    if "properties" in said:
        found["properties"] = {name: _schema(value) for name, value in said["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(said.get(name), dict):
            found[name] = _schema(said[name])
    for name in ("allOf", "oneOf", "anyOf"):
        if name in said:
            found[name] = [_schema(value) for value in said[name]]
    if said.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    return found


def _values(answer: Json, document: Json) -> Iterator[Any]:
    content = answer.get("content", {}).get("application/json", {})
    if "example" in content:
        yield content["example"]
    for each in content.get("examples", {}).values():
        yield _resolved(each, document)["value"]
    schema = _resolved(content.get("schema", {}), document)
    if "example" in schema:
        yield schema["example"]


def _resolved(said: Json, document: Json) -> Json:
    while "$ref" in said:
        found: Any = document
        for part in said["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        said = found
    return said


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "text" if name in PROSE and isinstance(inner, str) else _without_prose(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_prose(each) for each in value]
    return value


class _Texts(yaml.SafeLoader):
    """Reads times as the texts they are."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def main(folder: Path) -> None:
    """Write the facts and the examples of every document."""
    for name in NAMES:
        document = yaml.load((folder / f"{name}.yml").read_text(encoding="utf-8"), Loader=_Texts)  # noqa: S506
        for path, content in (
            (HERE / f"{name}.json", condense(document)),
            (HERE / "examples" / f"{name}.json", examples(document)),
        ):
            path.write_text(
                json.dumps(content, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
