"""Every event that any test causes or receives, against the AsyncAPI document."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import jsonschema
import orjson

import idyll  # noqa: F401 - its handlers register the clients' events
from idyll.asyncapi import build
from idyll.events.catalogue import CATALOGUE
from idyll.live.events import EVENTS


def check_message(name: str, data: Any) -> None:
    """Raises AssertionError when the document promises no such event of the server, or another payload."""
    assert name in CATALOGUE, f"there is no event {name}"
    _check(f"server_{name}", data)


def check_ack(name: str, answer: Any) -> None:
    """Raises AssertionError when the document promises another acknowledgement of a client's event."""
    assert name in EVENTS, f"there is no event {name}"
    refused = isinstance(answer, dict) and "code" in answer
    _check("refusal" if refused else f"ack_{name}", answer)


def check_log(rows: Iterable[tuple[str, str]]) -> None:
    """Events as the log keeps them: they get their id when they are sent."""
    for name, text in rows:
        check_message(name, {**orjson.loads(text), "eventId": "e41-9b0d2e4f"})


def _check(message: str, data: Any) -> None:
    # The error that went deepest says more than "none of these".
    error = jsonschema.exceptions.best_match(_validator(message).iter_errors(data))
    assert error is None, f"{message} at {error.json_path}: {error.message}"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(build("Idyll", "1.0.0")))
    return found


@cache
def _validator(message: str) -> Any:
    components = document()["components"]
    schema = {**components["messages"][message]["payload"], "components": components}
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
