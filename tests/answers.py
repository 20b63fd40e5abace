"""Every answer that any test receives, against the OpenAPI document."""

from functools import cache
from typing import Any

import jsonschema
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from idyll.openapi import document

UNDOCUMENTED = ("/healthz", "/readyz", "/docs", "/api/openapi.json", "/api/asyncapi.json")


def check_answer(app: Flask, response: TestResponse) -> None:
    """Raises AssertionError when the answer is not what the document promises."""
    request = response.request
    assert response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if response.status_code >= 400:
        assert response.content_type == "application/problem+json", response.content_type
        _validator(app, "#/components/schemas/Problem").validate(response.json)
        assert response.json["status"] == response.status_code
    if request.path.startswith(UNDOCUMENTED):
        return
    path = _documented_path(app, request.path, request.method)
    if path is None or request.method in ("OPTIONS", "HEAD"):
        return
    operation = document(app)["paths"][path][request.method.lower()]
    promised = operation["responses"].get(str(response.status_code))
    assert promised is not None, f"{request.method} {path} does not promise {response.status_code}"
    if "$ref" in promised:  # a refusal, which was checked above
        return
    content = promised.get("content", {})
    if not content:
        assert not response.get_data(), f"{request.method} {path}: {response.status_code} has a body"
        return
    media = response.mimetype
    assert media in content, f"{request.method} {path}: {media} is not promised"
    if media.endswith("json"):
        pointer = f"#/paths/{path.replace('~', '~0').replace('/', '~1')}/{request.method.lower()}"
        media_pointer = media.replace("/", "~1")
        _validator(app, f"{pointer}/responses/{response.status_code}/content/{media_pointer}/schema").validate(
            response.json
        )


def _documented_path(app: Flask, path: str, method: str) -> str | None:
    try:
        rule, _ = app.url_map.bind("localhost").match(path, method=method, return_rule=True)
    except HTTPException:
        return None
    name = str(rule)
    for part in ("id:", "path:"):
        name = name.replace(f"<{part}", "<")
    return name.replace("<", "{").replace(">", "}")


@cache
def _validator(app: Flask, pointer: str) -> Any:
    schema = {"$ref": pointer, **document(app)}
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
