"""The page of the socket events, /docs/events: the AsyncAPI document for people."""

import json
import re
from typing import Any

from flask import render_template
from markupsafe import Markup, escape

Json = dict[str, Any]


def page(document: Json) -> str:
    """The page as HTML. Whatever comes from the document is escaped: by Jinja, or here."""
    messages, schemas = document["components"]["messages"], document["components"]["schemas"]

    def shown(key: str) -> Json:
        message: Json = messages[key]
        example = json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
        rows = _rows(schemas[_name(message["payload"])])
        return message | {"says": _in_html(message["summary"]), "rows": rows, "example": example}

    def of(kind: str) -> list[str]:
        return [key.removeprefix(kind) for key in messages if key.startswith(kind)]

    # What payloads refer to is told once, at the end.
    nested = sorted(set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schemas))) | {"Problem"})
    return render_template(
        "events.html",
        document=document,
        about=_in_html(document["info"]["description"]),
        emitted=[shown(f"client_{name}") | {"ack": shown(f"ack_{name}")} for name in of("client_")],
        heard=[shown(f"server_{name}") for name in of("server_")],
        objects=[{"name": name, "rows": _rows(schemas[name]), "part_of": _whole(name, schemas)} for name in nested],
    )


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[1]


def _whole(name: str, schemas: Json) -> str | None:
    """The object of whose fields this one has some: TaskOut for TaskUpdates."""
    fields = schemas[name]["properties"]
    if schemas[name].get("required"):
        return None
    return next((other for other, of in schemas.items() if other != name and of.get("properties") == fields), None)


def _rows(schema: Json) -> list[Json]:
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "kind": _kind(of),
            "optional": name not in required,
            "says": _in_html(of.get("description", "")),
        }
        for name, of in schema.get("properties", {}).items()
    ]


def _kind(schema: Json) -> Markup:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        return Markup('<a href="#{0}">{0}</a>').format(_name(schema))
    for several in ("anyOf", "allOf"):
        if several in schema:
            return Markup(" or ").join(_kind(part) for part in schema[several])
    if "enum" in schema:
        return Markup(" · ").join(
            Markup("<code>{}</code>").format("null" if word is None else word) for word in schema["enum"]
        )
    types = schema.get("type", "anything")
    words = escape(" or ".join([types] if isinstance(types, str) else types))
    if "items" in schema:
        words += Markup(" of ") + _kind(schema["items"])
    said = [schema["format"]] if "format" in schema else []
    if "maxLength" in schema:
        said.append(f"{schema.get('minLength', 0)}–{schema['maxLength']:,} characters")
    if "maximum" in schema:
        said.append(f"{schema.get('minimum', 0):,}–{schema['maximum']:,}")
    if schema.get("default") is not None:
        said.append(f"default {schema['default']}")
    return words + (Markup(" <small>{}</small>").format(", ".join(said)) if said else "")


def _in_html(text: str) -> Markup:
    """The paragraphs, lists, **bold** and `code` of a description."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", marked).replace("\n- ", "<br>")
    return Markup("\n").join(Markup("<p>") + Markup(part) + Markup("</p>") for part in marked.split("\n\n") if part)  # noqa: S704 - escaped above # nosec B704
