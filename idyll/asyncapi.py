"""The AsyncAPI document of the sockets: made from the schemas that events are validated and sent with."""

from typing import Any, cast

import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from .asyncapi_words import ABOUT, LOGIN, NAMESPACES, PATHS
from .events.catalogue import CATALOGUE, ServerEvent
from .fields import Schema
from .live.events import EVENTS, ClientEvent
from .openapi import example_of, said_of
from .openapi_words import PROBLEM


def document(app: Flask) -> dict[str, Any]:
    """The whole document, the same for everybody."""
    if "asyncapi" not in app.extensions:
        app.extensions["asyncapi"] = orjson.loads(
            orjson.dumps(build(app.config["API_TITLE"], app.config["API_VERSION"]))
        )
    found: dict[str, Any] = app.extensions["asyncapi"]
    return found


def build(title: str, version: str) -> dict[str, Any]:
    components = _Components(title, version)
    messages = {"refusal": components.refusal()}
    for event in EVENTS.values():
        messages |= components.asked(event)
    for sent in CATALOGUE.values():
        messages |= components.sent(sent)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"{title} live", "version": version, "description": ABOUT},
        "defaultContentType": "application/json",
        "servers": {name: _server(path) for name, path in PATHS.items()},
        "channels": {name: _channel(namespace, messages) for name, namespace in NAMESPACES.items()},
        "operations": {name: made for channel in NAMESPACES for name, made in _operations(channel).items()},
        "components": {
            "messages": messages,
            "schemas": dict(sorted(components.schemas().items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": LOGIN}
            },
        },
    }


class _Components:
    """The messages with their payloads, which are converted as those of the OpenAPI document are."""

    def __init__(self, title: str, version: str) -> None:
        plugin = MarshmallowPlugin(schema_name_resolver=_name_of)
        self.spec = APISpec(title, version, "3.1.0", plugins=[plugin])
        self.converter = cast("Any", plugin.converter)  # made with the spec, and without types
        self.converter.add_attribute_function(said_of)
        self.spec.components.schema("Problem", PROBLEM)

    def schemas(self) -> dict[str, Any]:
        found: dict[str, Any] = self.spec.to_dict()["components"]["schemas"]
        return found

    def asked(self, event: ClientEvent) -> dict[str, Any]:
        asking = self._message(event.name, event.schema, event.description)
        ack = self._message(event.name, event.ack, f"The acknowledgement of `{event.name}`")
        return {f"client_{event.name}": asking, f"ack_{event.name}": ack}

    def sent(self, event: ServerEvent) -> dict[str, Any]:
        more = {"x-recipients": event.to, "x-kept": event.kept}
        return {f"server_{event.name}": self._message(event.name, event.payload, event.says) | more}

    def refusal(self) -> dict[str, Any]:
        example = example_of("422")["value"] | {"instance": "/socket.io"}
        return {
            "name": "refusal",
            "summary": "The acknowledgement of what is refused",
            "payload": {"$ref": "#/components/schemas/Problem"},
            "examples": [{"payload": example}],
        }

    def _message(self, name: str, payload: type[Schema], summary: str) -> dict[str, Any]:
        converted = self.converter.resolve_nested_schema(payload)
        return {"name": name, "summary": summary, "payload": converted, "examples": [{"payload": payload.EXAMPLE}]}


def _name_of(schema: Any) -> str:
    """The component's name: the class's own, and for the changed fields of an answer, TaskUpdates for TaskOut."""
    instance = schema() if isinstance(schema, type) else schema
    name = type(instance).__name__
    return f"{name.removesuffix('Out')}Updates" if instance.partial else name


def _server(path: str) -> dict[str, Any]:
    return {
        "host": "{host}",
        "pathname": path,
        "protocol": "socket.io",
        "protocolVersion": "5",
        "description": f"The path `{path}`",
        "variables": {"host": {"default": "localhost:8000", "description": "Wherever the REST API is served"}},
        "security": [{"$ref": "#/components/securitySchemes/token"}],
    }


def _channel(namespace: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": namespace,
        "description": f"The namespace `{namespace}`, on each server; all of them behave alike",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operations(channel: str) -> dict[str, Any]:
    """`receive` is what clients emit, `send` what they listen to: the document speaks for the server."""

    def said(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]

    where: dict[str, Any] = {"channel": {"$ref": f"#/channels/{channel}"}}
    received = {
        f"{channel}_receive_{name}": {
            "action": "receive",
            **where,
            "summary": event.description,
            "messages": said(f"client_{name}"),
            "reply": {**where, "messages": said(f"ack_{name}", "refusal")},
        }
        for name, event in EVENTS.items()
    }
    sent = {
        f"{channel}_send_{name}": {
            "action": "send",
            **where,
            "summary": event.says,
            "description": f"To: {event.to}",
            "messages": said(f"server_{name}"),
        }
        for name, event in CATALOGUE.items()
    }
    return received | sent
