"""docs/live.md: what it says is so, and its code does what it says of tokens and of the chat."""

import json
import re
import time
from collections.abc import Iterable
from typing import Any

import marshmallow as ma
import pytest
from servers import ROOT
from tabs import OWN_EVENTS, post
from talk import made, token_for, until
from typescript import built, on_the_pages

from config import load
from idyll.chat.schemas import MessageIn
from idyll.events.catalogue import CATALOGUE
from idyll.limits import FLOOD_SECONDS
from idyll.live.events import EVENTS
from idyll.live.frames import MAX_BYTES
from idyll.live.hub import CONNECT_SECONDS
from idyll.live.schemas import Sync
from idyll.sockets import EVENTS_PER_REQUEST
from idyll.users.roles import Role

pytestmark = pytest.mark.only_on("postgresql")
PAGE = (ROOT / "docs" / "live.md").read_text()


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def history(api, who) -> list[str]:
    return [row["message"] for row in api.get("/api/chat/messages", who).json["data"]]


# -- the page --------------------------------------------------------------------------------------------------------


def keys(schema: type[ma.Schema]) -> set[str]:
    return {str(field.data_key) for field in schema().fields.values()} - {"eventId"}


def with_nulls(schema: ma.Schema, example: Any) -> Any:
    """The example with null wherever it may be."""
    nulls = dict(example)
    for field in schema.fields.values():
        if field.allow_none:
            nulls[field.data_key] = None
        elif isinstance(field, ma.fields.Nested):
            nulls[field.data_key] = with_nulls(field.schema, example[field.data_key])
    return nulls


def checks_of_types() -> Iterable[str]:
    """TypeScript that compiles when the page's types are what the server's schemas say."""

    def is_a(kind: str, value: Any) -> str:
        return f"is<{kind}>()({json.dumps(value)});"

    def has(kind: str, names: Iterable[str]) -> str:
        return f"all<keyof {kind}>({json.dumps(dict.fromkeys(names, True))});"

    yield 'import type { Asks, Events, Role } from "./live-types";'
    yield "const is = <T>() => <V extends T>(value: V) => value;"
    yield "const all = <K extends PropertyKey>(names: Record<K, true>) => names;"
    yield has("Events", [*CATALOGUE, *OWN_EVENTS])
    yield has("Asks", EVENTS)
    yield has("Record<Role, 0>", Role)
    for name, event in CATALOGUE.items():
        kind = f'Events["{name}"]'
        yield has(kind, keys(event.payload))
        yield is_a(kind, event.payload.EXAMPLE)
        if not any(word in event.payload.EXAMPLE for word in ("updates", "application")):
            yield is_a(kind, with_nulls(event.payload(), event.payload.EXAMPLE))
    for name, asked in EVENTS.items():
        payload, answer = f'Asks["{name}"][0]', f'Asks["{name}"][1]'
        yield f"is<Record<keyof {payload}, unknown>>()({json.dumps(dict.fromkeys(keys(asked.schema)))});"
        yield is_a(payload, asked.schema.EXAMPLE)
        yield has(answer, keys(asked.ack))
        yield is_a(answer, asked.ack.EXAMPLE)


def test_its_types_are_those_of_the_server(tmp_path):
    built({**on_the_pages(), "src/checks.ts": "\n".join(checks_of_types())}, tmp_path)


def test_its_figures_are_those_of_the_server():
    settings, message, sync = load({}), MessageIn().fields, Sync().fields["limit"]
    longest = {name: field.validate.max for name, field in message.items() if name in ("message", "client_id")}
    for words in (
        f"{settings['CHAT_FLOOD_LIMIT']} of a person in any {FLOOD_SECONDS:g} seconds",
        f"{EVENTS_PER_REQUEST * settings['RATE_LIMIT_PER_MINUTE']} of a person a minute",
        f"{settings['SOCKETS_PER_USER']} of a person (`SOCKETS_PER_USER`)",
        f"{settings['SOCKETS_PER_ADDRESS']} of an address (`SOCKETS_PER_ADDRESS`)",
        f"{settings['SOCKETS_TOTAL']} of an instance (`SOCKETS_TOTAL`)",
        f"{MAX_BYTES // 1024} KiB",
        f"a message {longest['message']:,} characters",
        f"up to {longest['client_id']} characters",
        f"within {CONNECT_SECONDS} seconds",
        f"`ACCESS_TOKEN_SECONDS`, {settings['ACCESS_TOKEN_SECONDS'] // 60} minutes",
        f"`EVENT_RETENTION_DAYS` ({settings['EVENT_RETENTION_DAYS']})",
        f"(1–500, by default {sync.load_default})",
    ):
        assert words in PAGE


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", PAGE))
def test_its_links_lead_somewhere(link):
    path, _, anchor = link.partition("#")
    text = (ROOT / "docs" / path).read_text() if path else PAGE
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}


def test_its_example_of_a_refusal_is_one(live, editor):
    answer = live.connect(editor).emit("send_message", {})
    shown = json.loads(re.search(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])
    assert shown | {"requestId": answer["requestId"]} == answer


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_replaced_before_its_end_and_the_connection_stays(open_tab, live, editor, moderator):
    token = token_for(live.inside, editor, 5)
    tab = open_tab(editor, "open", {"token": token, "seconds": 5, "renewBefore": 3})
    tab.do("join", "team")
    ended = time.monotonic() + 6
    until(lambda: time.monotonic() > ended)
    post(live, moderator, ["still there"])
    tab.wait("new_message")
    assert tab.all("token_expired") == []
    assert tab.all("state")[-1] == "live"
    assert tab.all("state").count("live") == 1


def test_a_token_that_ends_costs_nothing(open_tab, live, editor, moderator):
    # The tab takes it to be good for longer, as one does whose timers the browser holds up.
    tab = open_tab(editor, "open", {"token": token_for(live.inside, editor, 3), "seconds": 100})
    tab.do("join", "team")
    said = []
    while "offline" not in tab.all("state"):
        said.append(f"said {len(said)}")
        post(live, moderator, said[-1:])
    post(live, moderator, ["in between"])
    tab.is_in("offline")
    tab.is_in("live")
    post(live, moderator, ["after"])
    tab.hears("after")
    assert tab.all("token_expired") == [{}]
    assert tab.texts() == [*said, "in between", "after"]


def test_a_laptop_that_slept_connects_with_a_new_token(open_tab, live, editor):
    slept = token_for(live.inside, editor, -10)
    open_tab(editor, "open", {"token": slept, "seconds": 100})


def test_who_is_approved_or_promoted_sees_more_at_once(open_tab, api, moderator, editor, pending, owner):
    for assignee in (editor, None):
        task = {"name": "One", "deadline": "2031-01-01", "assignedTo": assignee and assignee.id}
        made(api.post("/api/tasks", moderator, task))
    new, promoted = open_tab(pending, "start"), open_tab(editor, "start")
    assert new.do("shown") == {"tasks": [], "messages": []}
    made(api.put(f"/api/users/{pending.id}", moderator, {"status": "approved"}))
    made(api.post("/api/tasks", moderator, {"name": "Two", "deadline": "2031-01-01", "assignedTo": pending.id}))
    made(api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"}))
    until(lambda: len(new.do("shown")["tasks"]) == 1)
    until(lambda: len(promoted.do("shown")["tasks"]) == 3)
    assert new.send("Thank you").result(30)["sender"] == pending.name


def test_a_log_out_ends_it(open_tab, live, api, editor, moderator):
    tab = open_tab(editor, "open")
    other = open_tab(editor, "open")
    tab.do("signOut")
    tab.is_in("ended")
    sessions = api.get("/api/auth/sessions", editor).json["data"]
    for session in sessions:
        if not session["current"]:
            assert api.delete(f"/api/auth/sessions/{session['id']}", editor).status_code == 204
    other.is_in("ended")
    for ended in (tab, other):
        assert ended.all("state")[-2:] == ["offline", "ended"]
        assert ended.do("state") == "ended"


# -- chat ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["deaf", "mute"])
def test_a_message_without_an_answer_is_sent_again_and_stored_once(in_the_team, api, cable, editor, lost):
    setattr(cable, lost, True)
    sent = in_the_team.send("Did you get this?", client_id="c-1")
    time.sleep(1)
    assert history(api, editor) == (["Did you get this?"] if lost == "deaf" else [])
    cable.mute = False
    in_the_team.send("And this?")
    time.sleep(0.5)
    cable.cut()
    stored = sent.result(30)
    in_the_team.hears("And this?")
    assert stored["clientId"] == "c-1"
    assert stored["id"] == api.get("/api/chat/messages", editor).json["data"][0]["id"]
    assert history(api, editor) == in_the_team.texts() == ["Did you get this?", "And this?"]


def test_the_same_client_id_is_one_message(in_the_team, api, editor):
    first, again = (in_the_team.send(text, client_id="c-1").result(30) for text in ("Hello", "Hello!"))
    assert first == again
    in_the_team.send("Bye").result(30)
    in_the_team.hears("Bye")
    assert history(api, editor) == in_the_team.texts() == ["Hello", "Bye"]


def test_a_refusal_is_told_and_the_next_message_goes_out(in_the_team):
    empty, secret = in_the_team.send(""), in_the_team.send("psst", "management")
    assert in_the_team.send("Hello").result(30)["message"] == "Hello"
    assert empty.result(30)["refused"]["errors"].keys() == {"message"}
    assert secret.result(30)["refused"]["code"] == "forbidden"
    assert in_the_team.do("join", "management")["refused"]["status"] == 403
    in_the_team.do("startOver")
    in_the_team.is_in("live")


def test_messages_wait_for_the_limit_and_connections_for_a_place(open_tab, live, api, editor):
    running = live.start(CHAT_FLOOD_LIMIT="2", SOCKETS_PER_USER="1")
    tab = open_tab(editor, "open", url=running.url)
    second = open_tab(editor, url=running.url)
    second.do("open")
    words = [tab.send(text) for text in ("one", "two", "three")]
    assert [word.result(40)["message"] for word in words] == ["one", "two", "three"]
    assert history(api, editor) == ["one", "two", "three"]
    assert second.all("state") == ["offline"]
    tab.do("close")
    second.is_in("live")


def test_people_come_type_and_go(in_the_team, open_tab, live, editor, moderator):
    max_ = open_tab(moderator, "open")
    max_.do("join", "team")
    assert {member["id"] for member in max_.wait("members")["members"]} == {editor.id, moderator.id}
    assert in_the_team.wait("user_joined", lambda data: data["user"]["id"] == moderator.id)["room"] == "team"
    max_.do("typing", "team", True)
    user = {"id": moderator.id, "displayName": moderator.name}
    assert in_the_team.wait("typing") == {"room": "team", "user": user, "typing": True}
    in_the_team.do("leave", "team")
    # Answered after what was said before it.
    assert in_the_team.do("ask", "leave_room", {"room": "team"}) == {"room": "team"}
    post(live, moderator, ["only Max is there"])
    until(lambda: max_.texts() == ["only Max is there"])
    assert in_the_team.do("ask", "join_room", {"room": "team"})["members"][0]["id"] == editor.id
    assert in_the_team.texts() == []
    max_.do("close")
    assert in_the_team.wait("user_left")["user"]["id"] == moderator.id
