"""Holds requests and answers against what Leap documents; `README.md` says where that is from."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker

from leapvpp.leap.simulator.server import LeapSimulator

HERE = Path(__file__).parent
DOCUMENTS = ("dispatch", "meter-details", "meter-enrollment", "webhooks", "create-meters")
NOT_IN_ANY_FILE = re.compile(r"/v1\.1/enrollment/meters/.*|(?!/v\d).*")
"""Participation, which Leap documents in its guides alone, and what is none of Leap's API."""
MAY_BE_NULL = ("energy_kw", "nomination_kw")
"""Of requests: in Leap's own examples one is null, though no schema says that it may."""
Json = dict[str, Any]
formats = FormatChecker(formats=())


@formats.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(UUID(value))


@formats.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


class Operation(NamedTuple):
    """One thing that Leap can be asked, and the schemas around it."""

    name: str
    said: Json
    schemas: Json

    def problems_of_request(self, body: object, query: dict[str, list[str]]) -> Iterator[str]:
        """Yield what Leap would refuse, and fields that it would not know."""
        if "request" in self.said:
            # What Leap does not know it ignores: a field with another name would be a wish never heard.
            schema = {**self.said["request"], "unevaluatedProperties": False}
            yield from self._problems(schema, without_nulls(body, of=MAY_BE_NULL))
        elif body is not None:
            yield "there is no body to be sent"
        known = self.said.get("query", {})
        for name, values in query.items():
            if name not in known:
                yield f"there is no {name} in the query"
                continue
            for value in values:
                typed = json.loads(value) if known[name].get("type") in {"boolean", "integer"} else value
                yield from self._problems(
                    known[name], [typed] if known[name].get("type") == "array" else typed
                )

    def problems_of_answer(self, status: int, body: object) -> Iterator[str]:
        """Yield how an answer differs from what Leap gives."""
        if status >= 400 and isinstance(body, dict) and isinstance(body.get("details"), list):
            return  # as in Leap's example of a job refused, whatever its schema says
        statuses = {str(status), f"{status // 100}XX"}.intersection(self.said["statuses"])
        if not statuses and status < 400:
            yield f"{status} is not among {', '.join(self.said['statuses'])}"
        for each in statuses:
            if each in self.said["answers"]:
                yield from self._problems(self.said["answers"][each], without_nulls(body))

    def _problems(self, schema: Json, value: object) -> Iterator[str]:
        validator = Draft202012Validator({**schema, "schemas": self.schemas}, format_checker=formats)
        for error in validator.iter_errors(value):
            yield f"{error.json_path}: {error.message[:300]}"


@cache
def document(name: str) -> Json:
    """Return the facts of one of Leap's files."""
    found: Json = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return found


def operation(method: str, path: str) -> Operation | None:
    """Return what Leap documents for a method and path, a path without variables before one with some."""
    found = [
        Operation(f"{method} {template}", methods[method.lower()], document(name)["schemas"])
        for name in DOCUMENTS
        for template, methods in document(name)["paths"].items()
        if method.lower() in methods and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    ]
    return min(found, key=lambda one: one.name.count("{"), default=None)


def without_nulls(value: object, *, of: Collection[str] = ()) -> object:
    """Leave out what is null, of all fields or of these: Leap's examples write so what may be absent."""
    if isinstance(value, dict):
        return {
            name: without_nulls(each, of=of)
            for name, each in value.items()
            if each is not None or (of and name not in of)
        }
    return [without_nulls(each, of=of) for each in value] if isinstance(value, list) else value


def problems_of(schema: str, value: object, *, of: str) -> list[str]:
    """Return how a value differs from a schema, by its name, of one of Leap's files."""
    whole = Operation("", {}, document(of)["schemas"])
    return list(whole._problems({"$ref": f"#/schemas/{schema}"}, without_nulls(value)))


@contextmanager
def checked(leap: LeapSimulator, *, answers: bool = True) -> Iterator[set[str]]:
    """Check everything that is said to a simulator and by it; yield what was asked, as `GET /path/{id}`.

    ``answers=False`` is for tests whose Leap says odd things on purpose.

    Raises AssertionError at the end, with every difference from what Leap documents.
    """
    seen: set[str] = set()
    problems: list[str] = []
    answering = leap._server.get_app()
    assert answering is not None

    def listening(environ: Json, start_response: Any) -> Iterable[bytes]:
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(sent)
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        known = operation(method, path)
        statuses: list[int] = []

        def noting(line: str, *more: Any) -> Any:
            statuses.append(int(line.split()[0]))
            return start_response(line, *more)

        answer = b"".join(answering(environ, noting))
        if known is None and not NOT_IN_ANY_FILE.fullmatch(path):
            problems.append(f"{method} {path}: Leap documents nothing of the kind")
        if known is not None:
            seen.add(known.name)
            query = parse_qs(environ.get("QUERY_STRING", ""))
            found: list[str] = []
            if statuses[0] < 400:
                found += known.problems_of_request(json.loads(sent) if sent else None, query)
            if answers:
                found += known.problems_of_answer(statuses[0], json.loads(answer) if answer else None)
            problems.extend(f"{known.name} ({statuses[0]}): {each}" for each in found)
        return [answer]

    leap._server.set_app(listening)
    try:
        yield seen
    finally:
        leap._server.set_app(answering)
    assert not problems, "\n".join(dict.fromkeys(problems))
