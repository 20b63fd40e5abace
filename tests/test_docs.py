"""The pages at /docs: the REST API and the socket events, for people, without the internet."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from idyll import docs_events
from idyll.asyncapi import document

HOST = re.compile(r"""(?:https?:)?//[\w.-]+\.\w+|url\(\s*['"]?(?!data:)""")
KINDS = {".png": "image/png", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}

each_page = pytest.mark.parametrize("path", ["/docs/", "/docs/events"])


@cache
def _named_in(html: str) -> tuple[str, ...]:
    return tuple(re.findall(r"""(?:src|href)=["']([^"']+)["']""", html))


class _Page(HTMLParser):
    """The ids of a page, the places that it links to, its text, and what stays open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.places: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"]] if named.get("id") else []
        self.places |= {href[1:] for href in [named.get("href") or ""] if href.startswith("#")}
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@each_page
def test_a_page_names_only_what_the_app_serves(api, path):
    page = api.get(path)
    assert page.mimetype == "text/html"
    names = {name for name in _named_in(page.get_data(as_text=True)) if not name.startswith("#")}
    assert {"docs.css", "favicon-32x32.png", "./", "events"} < names, "each page leads to the other"
    for name in names:
        with api.get(f"/docs/{name.removeprefix('./')}" if not name.startswith("/") else name) as found:
            assert found.status_code == 200, name
            assert found.mimetype == KINDS.get(Path(name).suffix, "text/html"), name
            assert found.get_data(), name


@each_page
def test_a_page_asks_no_other_host_and_runs_no_script_in_it(api, path):
    page = api.get(path)
    html = page.get_data(as_text=True)
    assert not HOST.search(re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)), "examples may name some"
    assert not re.search(r"<script(?! src=)|\son\w+=|style=", html)
    for name in _named_in(html):
        if name.endswith(".css"):
            with api.get(f"/docs/{name}") as styles:
                assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", styles.get_data(as_text=True))
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "//" not in policy
    assert "*" not in policy


def test_the_rest_page_shows_this_api_and_tells_nobody(api):
    assert api.get("/docs").headers["Location"] == "/docs/"
    start = api.get("/docs/start.js").get_data(as_text=True)
    assert not HOST.search(start)
    assert 'url: "/api/openapi.json"' in start
    assert "validatorUrl: null" in start, "the bundle's default is a service on the internet"


@pytest.mark.parametrize(
    "name", ["index.html", "events.html", "nothing.js", "../config.py", "%2e%2e/config.py", "swagger-ui.css/x"]
)
def test_nothing_else_is_served_there(api, name):
    assert api.get(f"/docs/{name}").status_code == 404


# -- /docs/events ------------------------------------------------------------------------------------------------------


def test_the_page_shows_every_event_with_its_fields_and_an_example(api, app):
    page = _Page(api.get("/docs/events").get_data(as_text=True))
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert page.places <= set(page.ids), "links lead somewhere"
    components = document(app)["components"]
    for key, message in components["messages"].items():
        kind, _, name = key.partition("_")
        if kind in ("client", "server"):
            assert {"client": "emit", "server": "on"}[kind] + f"-{name}" in page.places, key
            assert message["summary"].replace("`", "") in page.text, key
        for example in message["examples"] if kind != "refusal" else ():
            assert all(f'"{field}": ' in page.text for field in example["payload"]), key
    for schema in components["schemas"].values():
        assert all(field in page.text for field in schema["properties"])
    assert page.text.count("To: managers") == 5


def test_what_the_document_says_is_escaped(app):
    evil = "</pre><script>alert(1)</script>"
    with app.test_request_context():
        found = docs_events.page(_said_everywhere(document(app), evil))
    assert "<script" not in found
    assert found.count("&lt;script&gt;") > 100


def _said_everywhere(part: object, words: str) -> object:
    """The document with words of somebody else's in every text of it that is no reference."""
    if isinstance(part, dict):
        return {key: part[key] if key == "$ref" else _said_everywhere(part[key], words) for key in part}
    if isinstance(part, list):
        return [_said_everywhere(item, words) for item in part]
    return f"{part} {words}" if isinstance(part, str) else part
