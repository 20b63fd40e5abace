"""Bad input, made from the OpenAPI document for every route that takes a body or a query.

Never a 5xx, always the right refusal with the field named, and not a row written.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import jsonschema
import pytest
from conftest import Api, settings
from flask import Flask
from sqlalchemy import func, select

from idyll import create_app
from idyll.extensions import db
from idyll.openapi import document

pytestmark = pytest.mark.database

UNKNOWN = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"
# The document alone: nothing is asked of its database.
DOCUMENT = document(create_app(settings(DATABASE_URL="sqlite://")))


def operations(part: str) -> list[Any]:
    """Every operation that has a `requestBody` or query `parameters`; PATCH is PUT."""
    return [
        pytest.param(method.upper(), path, operation, id=f"{method.upper()} {path}")
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if method not in ("parameters", "patch")
        and (
            "requestBody" in operation
            if part == "body"
            else any(parameter["in"] == "query" for parameter in operation["parameters"])
        )
    ]


with_body = pytest.mark.parametrize(("method", "path", "operation"), operations("body"))
with_query = pytest.mark.parametrize(("method", "path", "operation"), operations("query"))


def filled(path: str, key: str = UNKNOWN) -> str:
    return re.sub(r"\{\w+\}", key, path.replace("{room}", "team"))


def counts(app: Flask) -> dict[str, int]:
    """The rows of every table."""
    tables = db.metadata.sorted_tables
    with app.app_context():
        each = [select(func.count()).select_from(table) for table in tables]
        return {table.name: db.session.execute(one).scalar_one() for table, one in zip(tables, each, strict=True)}


@pytest.fixture
def untouched(app, owner, editor) -> Iterator[None]:
    """Fails when the test wrote anything."""
    before = counts(app)
    yield
    assert counts(app) == before


def body_schema(operation: dict[str, Any]) -> dict[str, Any]:
    return _resolved(operation["requestBody"]["content"]["application/json"]["schema"])


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def example(operation: dict[str, Any]) -> dict[str, Any]:
    return dict(operation["requestBody"]["content"]["application/json"]["example"])


VALUES = [None, True, False, 0, -1, 7, 2**70, -(2**70), 1.5, 1e308, "", "nonsense", "7", "true", [], {}, [[]]]
VALUES += [[None], [7], [{}], {"id": UNKNOWN}, {"$ne": None}, "x" * 20_000, ["x"] * 10_000, "2026-02-30", "25:00"]
SECRET = ("password", "currentPassword", "token", "refreshToken")  # any characters


def wrong_values(name: str, schema: dict[str, Any]) -> Iterator[Any]:
    """What the document says that the field can't be."""
    valid = jsonschema.Draft202012Validator(
        {**schema, "components": DOCUMENT["components"]}, format_checker=jsonschema.FormatChecker()
    ).is_valid
    for value in VALUES:
        # In an optional text the empty one is null.
        if not valid(value) and not (value == "" and valid(None)):
            yield value
    if name not in SECRET:
        yield "a\0b"
    if "array" in schema.get("type", ""):
        yield from ([None], [7], [{}], ["a\0b"], [["x"]], [True, "x"])


@with_body
def test_a_wrong_value_in_any_field_is_named(method, path, operation, api, owner, untouched):
    fields = body_schema(operation)["properties"]
    assert fields
    for name, schema in fields.items():
        for value in wrong_values(name, _resolved(schema)):
            answer = api(method, filled(path), owner, example(operation) | {name: value})
            assert answer.status_code == 422, (name, value)
            assert name in answer.json["errors"], (name, value)


@with_body
def test_a_missing_required_field_and_an_unknown_one_are_named(method, path, operation, api, owner, untouched):
    body = example(operation)
    for name in body_schema(operation).get("required", []):
        answer = api(method, filled(path), owner, {key: value for key, value in body.items() if key != name})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [name])
    for name in ("nonsense", "__proto__", "self", "a\0b", "", "ä" * 1000, "id"):
        answer = api(method, filled(path), owner, body | {name: {"deep": [1]}})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [name])


@with_body
@pytest.mark.parametrize("body", ["[]", '"text"', "7", "null", "true", "[[{}]]", '[{"name": "x"}]'])
def test_a_body_that_is_no_object_is_refused(body, method, path, operation, api, owner, untouched):
    answer = api(method, filled(path), owner, data=body, content_type="application/json")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["body"])


MALFORMED = {
    "cut short": b'{"name": ',
    "two values": b"{} {}",
    "single quotes": b"{'name': 1}",
    "a comma too many": b'{"name": 1,}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "a key twice": b'{"name": "a", "name": "b"}',
    "a key twice, deep": b'{"name": [{"a": 1, "\\u0061": 2}]}',
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "an encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "the other half": b'{"name": "x\\udc00x"}',
    "half a pair as a key": b'{"\\ud83d": 1}',
    "a raw NUL": b'{"name": "a\0b"}',
    "a raw line break": b'{"name": "a\nb"}',
    "33 levels": b'{"name": ' + b"[" * 32 + b"]" * 32 + b"}",
    "5000 lists": b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "5000 objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "100000 open brackets": b"[" * 100_000,
    "a number of 10000 digits": b'{"name": ' + b"9" * 10_000 + b"}",
}


@with_body
def test_malformed_json_is_refused_as_such(method, path, operation, api, owner, untouched):
    for kind, body in MALFORMED.items():
        answer = api(method, filled(path), owner, data=body, content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (400, "malformed_json"), kind


@with_body
def test_a_body_over_1_mib_is_too_large(method, path, operation, api, owner, untouched):
    for body in (b'{"name": "' + b"x" * 3_000_000 + b'"}', b"[" * 3_000_000, b" " * (1024 * 1024 + 1)):
        answer = api(method, filled(path), owner, data=body, content_type="application/json")
        assert answer.status_code == 413
    answer = api(method, filled(path), owner, data=b" " * 1024 * 1024, content_type="application/json")
    assert answer.status_code == 400


@with_body
def test_only_json_is_taken(method, path, operation, api, owner, untouched):
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "",
    ):
        answer = api(method, filled(path), owner, data=b"{}", content_type=media)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type"), media


def test_32_levels_and_whole_pairs_are_fine(api, owner):
    deep: Any = "x"
    for _ in range(31):
        deep = [deep]
    assert api.post("/api/tasks", owner, {"name": deep, "deadline": "2030-01-01"}).status_code == 422
    body = b'{"name": "\\ud83c\\udfac", "deadline": "2030-01-01"}'
    made = api.post("/api/tasks", owner, data=body, content_type="application/json; charset=utf-8")
    assert made.json["name"] == "🎬"


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    # Those that the document says nothing of need the token that all need.
    [part for part in operations("body") if "security" not in part.values[2]],
)
def test_whoever_may_not_is_told_so_whatever_they_send(method, path, operation, api, pending, untouched):
    for body in (b"{", b"[]", b'{"nonsense": 1}', b"x" * 3_000_000):
        for by, status in ((None, 401), (pending, 403)):
            if by and path == "/api/users/{user_id}" and method == "PUT":
                continue  # the one route with a body that is theirs too
            answer = api(method, filled(path), by, data=body, content_type="application/json")
            assert answer.status_code == status


# -- queries, paths and headers ----------------------------------------------------------------------------------------

TEXTS = ["", "nonsense", "-1", "0", "1.5", "1e3", str(2**70), "٣", "null", "2026-02-30", "x" * 20_000, "[]", "{}", "'"]
BYTES = [b"a\0b", b"\0", b"\x1b[0m"]
GARBLED = [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"%", b"\xf4\x90\x80\x80"]


def readable(text: str, schema: dict[str, Any]) -> Any:
    """A query's text as the type that the document names, if it can be one."""
    types = schema.get("type", [])
    if "integer" in types:
        return int(text) if text.isascii() and text.lstrip("-").isdigit() else text
    return {"true": True, "false": False}.get(text, text) if "boolean" in types else text


@with_query
def test_a_wrong_value_in_any_query_parameter_is_named(method, path, operation, api, owner, untouched):
    queries = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
    for name, schema in ((parameter["name"], parameter["schema"]) for parameter in queries):
        valid = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).is_valid
        wrong = [text for text in TEXTS if not valid(readable(text, schema))]
        for sent in [*(text.encode() for text in wrong if text or not valid(None)), *BYTES]:
            answer = api(method, f"{filled(path, owner.id)}?{name}={quote_from_bytes(sent)}", owner)
            assert answer.status_code == 422, (name, sent)
            assert name in answer.json["errors"], (name, sent)
        for sent in [*(text.encode() for text in TEXTS), *GARBLED]:
            assert api(method, f"{filled(path, owner.id)}?{name}={quote_from_bytes(sent)}", owner).status_code < 500, (
                name,
                sent,
            )


@pytest.mark.parametrize("text", ["%00", "%ff", "%ed%a0%80", "..%2f..%2fetc%2fpasswd", "x" * 5000, "%0d%0aX: 1", "'--"])
def test_nonsense_in_a_path_is_not_found(text, api, owner, untouched):
    for path in ("/api/tasks/{}", "/api/applications/status/{}", "/api/{}", "/docs/{}", "/{}"):
        assert api.get(path.format(text), owner).status_code == 404, path
    assert api.put(f"/api/chat/rooms/{text}/read", owner, {"messageId": UNKNOWN}).status_code == 404
    assert api.put(f"/api/chat/rooms/editor:{text}/read", owner, {"messageId": UNKNOWN}).status_code == 404


HEADERS = ["", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic eDp4", "Bearer " + "x" * 5000, "\xff\xfe", "ä"]


@pytest.mark.parametrize("text", HEADERS)
def test_nonsense_in_a_header_breaks_nothing(text, api, owner, untouched):
    assert api.get("/api/auth/me", headers={"Authorization": text}).status_code == 401
    for name in (
        "If-None-Match",
        "Accept",
        "X-Request-Id",
        "Origin",
        "X-Forwarded-For",
        "User-Agent",
        "Range",
        "Cookie",
    ):
        assert api.get("/api/auth/me", owner, headers={name: text}).status_code == 200, name
    answer = api.post("/api/auth/refresh", json={}, headers={"Authorization": text})
    assert answer.status_code == 401
    answer = api.put(f"/api/users/{owner.id}", owner, {"location": "Goa"}, headers={"If-Match": text})
    assert answer.status_code == 412


def test_documented_examples_are_no_bad_input(api: Api):
    for part in operations("body"):
        _, path, operation = part.values
        valid = jsonschema.Draft202012Validator({**body_schema(operation), "components": DOCUMENT["components"]})
        assert valid.is_valid(example(operation)), path
