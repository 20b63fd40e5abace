"""Rooms and messages over REST: who may enter, in which order they come, what is unread, what may be taken back."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from idyll import limits
from idyll.ids import uuid7

pytestmark = pytest.mark.database

MESSAGES = "/api/chat/messages"


def say(api, by, text="Hello", room="team", status=201, **more):
    answer = api.post(MESSAGES, by, {"message": text, "room": room, **more})
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.json


def texts(api, by, **query):
    answer = api.get(MESSAGES, by, query_string=query)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return [message["message"] for message in answer.json["data"]]


def room(api, by, name="team"):
    return next(found for found in api.get("/api/chat/rooms", by).json["data"] if found["room"] == name)


@pytest.fixture
def unhurried(monkeypatch, app):
    """Nobody is flooding: for tests that send many."""
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 1000)


# -- rooms -----------------------------------------------------------------------------------------------------------


def test_a_message_says_who_wrote_it_where_and_when(api, editor):
    sent = say(api, editor, "  The grade looks good.\nNext?  ", clientId="c-1")
    assert sent | {"id": "", "timestamp": "", "seq": 0} == {
        "id": "",
        "room": "team",
        "message": "The grade looks good.\nNext?",
        "sender": "Asha Editor",
        "senderId": editor.id,
        "senderRole": "editor",
        "type": "user",
        "clientId": "c-1",
        "timestamp": "",
        "editedAt": None,
        "deletedAt": None,
        "seq": 0,
    }
    assert api.get(MESSAGES, editor).json["data"] == [sent]


def test_everybody_lists_the_rooms_that_they_may_enter(api, owner, moderator, editor, other_editor, pending):
    def names(by):
        return [(found["room"], found["title"]) for found in api.get("/api/chat/rooms", by).json["data"]]

    theirs = sorted([(f"editor:{editor.id}", "Asha Editor"), (f"editor:{other_editor.id}", "Ravi Editor")])
    assert names(owner) == names(moderator) == [("team", "Team"), ("management", "Management"), *theirs]
    assert names(editor) == [("team", "Team"), (f"editor:{editor.id}", "Asha Editor")]
    assert list(api.pages("/api/chat/rooms", owner, limit=1)) == api.get("/api/chat/rooms", owner).json["data"]
    assert api.get("/api/chat/rooms", pending).json["code"] == "account_pending"


@pytest.mark.parametrize(
    ("who", "where", "status"),
    [
        ("owner", "team", 200),
        ("owner", "management", 200),
        ("owner", "editor", 200),
        ("owner", "unknown", 404),
        ("moderator", "management", 200),
        ("moderator", "editor", 200),
        ("editor", "team", 200),
        ("editor", "editor", 200),
        ("editor", "management", 403),
        ("editor", "unknown", 403),
        ("other_editor", "editor", 403),
        ("pending", "team", 403),
    ],
)
def test_nobody_reads_writes_or_marks_in_a_room_that_is_not_theirs(api, request, owner, editor, who, where, status):
    by = request.getfixturevalue(who)
    name = {"editor": f"editor:{editor.id}", "unknown": f"editor:{uuid7()}"}.get(where, where)
    theirs = say(api, owner, room=name)["id"] if where != "unknown" else uuid7()
    assert api.get(MESSAGES, by, query_string={"room": name}).status_code == status
    assert api.post(MESSAGES, by, {"message": "x", "room": name}).status_code == (201 if status == 200 else status)
    assert api.put(f"/api/chat/rooms/{name}/read", by, {"messageId": theirs}).status_code == status
    if status != 200:
        expected = [] if where == "unknown" else ["Hello"]
        assert where == "unknown" or texts(api, owner, room=name) == expected


@pytest.mark.parametrize(
    "name", ["Team", "general", "editor:", "editor:asha", "user:019b7711-9680-7ca3-8a96-3b58df09357b"]
)
def test_there_are_no_other_rooms(api, owner, name):
    assert api.get(MESSAGES, owner, query_string={"room": name}).json["errors"].keys() == {"room"}
    assert api.post(MESSAGES, owner, {"message": "x", "room": name}).json["errors"].keys() == {"room"}
    assert api.put(f"/api/chat/rooms/{name}/read", owner, {"messageId": uuid7()}).status_code == 404


def test_a_demoted_manager_is_out_of_the_managers_room_at_once(app, api, people, owner, moderator):
    say(api, moderator, room="management")
    api.put(f"/api/users/{moderator.id}", owner, {"role": "editor"})
    login = api.post("/api/auth/login", json={"login": moderator.email, "password": "four-minutes-of-film"})
    token = login.json["accessToken"]
    assert api.get(MESSAGES, token, query_string={"room": "management"}).status_code == 403
    assert [found["room"] for found in api.get("/api/chat/rooms", token).json["data"]] == [
        "team",
        f"editor:{moderator.id}",
    ]


@pytest.mark.parametrize("change", ["promoted", "removed"])
def test_managers_still_read_the_room_of_an_editor_who_is_none_any_more(api, owner, moderator, editor, change):
    name = f"editor:{editor.id}"
    said = say(api, editor, room=name)
    if change == "promoted":
        api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"})
    else:
        api.delete(f"/api/users/{editor.id}", owner)
    sender = "Asha Editor" if change == "promoted" else "Former member"
    [found] = api.get(MESSAGES, moderator, query_string={"room": name}).json["data"]
    assert (found["message"], found["sender"]) == ("Hello", sender)
    marked = api.put(f"/api/chat/rooms/{name}/read", moderator, {"messageId": said["id"]})
    assert marked.status_code == 200
    assert marked.json | {"lastMessage": None} == {"room": name, "title": sender, "unread": 0, "lastMessage": None}


# -- order and pages -------------------------------------------------------------------------------------------------


def test_the_newest_page_comes_first_and_each_page_ascends(api, unhurried, owner, editor):
    for n in range(7):
        say(api, (owner, editor)[n % 2], f"{n}")
    say(api, owner, "elsewhere", room="management")
    first = api.get(MESSAGES, editor, query_string={"limit": 3})
    assert [message["message"] for message in first.json["data"]] == ["4", "5", "6"]
    say(api, owner, "7")
    cursor = first.json["nextCursor"]
    second = api.get(MESSAGES, editor, query_string={"limit": 3, "cursor": cursor})
    assert [message["message"] for message in second.json["data"]] == ["1", "2", "3"]
    third = api.get(MESSAGES, editor, query_string={"limit": 3, "cursor": second.json["nextCursor"]})
    assert [message["message"] for message in third.json["data"]] == ["0"]
    assert third.json["nextCursor"] is None
    assert "Link" in first.headers
    assert "Link" not in third.headers


def test_before_and_after_cut_at_a_message(api, unhurried, editor):
    ids = [say(api, editor, f"{n}")["id"] for n in range(6)]
    assert texts(api, editor, before=ids[2]) == ["0", "1"]
    assert texts(api, editor, after=ids[2]) == ["3", "4", "5"]
    assert texts(api, editor, after=ids[0], before=ids[4]) == ["1", "2", "3"]
    assert texts(api, editor, before=ids[4], limit=2) == ["2", "3"]
    assert texts(api, editor, after=ids[5]) == texts(api, editor, before=ids[0]) == []


@pytest.mark.parametrize("query", ["before", "after", "cursor", "limit", "sort"])
def test_what_no_list_of_messages_gave_is_refused(api, owner, editor, query):
    elsewhere = say(api, owner, room="management")["id"]
    for value in ("x", elsewhere, "0"):
        answer = api.get(MESSAGES, owner, query_string={query: value})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [query])


# -- unread ----------------------------------------------------------------------------------------------------------


def test_unread_counts_what_others_wrote_since_the_mark(api, unhurried, owner, moderator, editor):
    ids = [say(api, by, "x")["id"] for by in (owner, editor, owner, moderator)]
    assert room(api, editor)["unread"] == 3
    assert room(api, owner)["unread"] == 2
    assert room(api, editor)["lastMessage"]["id"] == ids[-1]
    marked = api.put("/api/chat/rooms/team/read", editor, {"messageId": ids[2]})
    assert (marked.status_code, marked.json["room"], marked.json["unread"]) == (200, "team", 1)
    assert room(api, editor) == marked.json
    assert room(api, owner)["unread"] == 2
    assert room(api, owner, f"editor:{editor.id}")["unread"] == 0


def test_a_read_mark_never_moves_back(api, unhurried, owner, editor):
    ids = [say(api, owner, "x")["id"] for _ in range(3)]
    for message_id, unread in ((ids[1], 1), (ids[0], 1), (ids[2], 0), (ids[1], 0)):
        assert api.put("/api/chat/rooms/team/read", editor, {"messageId": message_id}).json["unread"] == unread


def test_a_deleted_message_is_nothing_to_read(api, owner, editor):
    gone = say(api, owner)["id"]
    api.delete(f"{MESSAGES}/{gone}", owner)
    assert room(api, editor)["unread"] == 0
    assert room(api, editor)["lastMessage"]["message"] is None


def test_a_mark_needs_a_message_of_that_room(api, owner):
    elsewhere = say(api, owner, room="management")["id"]
    for message_id in (elsewhere, uuid7(), "x", None):
        answer = api.put("/api/chat/rooms/team/read", owner, {"messageId": message_id})
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["messageId"])


# -- edit and delete -------------------------------------------------------------------------------------------------


def test_the_author_rewrites_a_message_and_it_says_so(api, editor, other_editor):
    sent = say(api, editor, "First")
    assert api.put(f"{MESSAGES}/{sent['id']}", editor, {"message": "First"}).json == sent
    edited = api.put(f"{MESSAGES}/{sent['id']}", editor, {"message": "Second"}).json
    assert edited["editedAt"] >= sent["timestamp"]
    assert edited == sent | {"message": "Second", "editedAt": edited["editedAt"]}
    assert api.get(MESSAGES, other_editor).json["data"] == [edited]


@pytest.mark.parametrize(
    ("who", "name", "edit", "delete"),
    [
        ("editor", "team", 200, 204),
        ("other_editor", "team", 403, 403),
        ("moderator", "team", 403, 204),
        ("owner", "team", 403, 204),
        ("other_editor", "editor", 404, 404),
        ("moderator", "editor", 403, 204),
        ("pending", "team", 403, 403),
    ],
)
def test_authors_edit_and_authors_and_managers_delete(api, request, editor, who, name, edit, delete):
    by = request.getfixturevalue(who)
    sent = say(api, editor, room=f"editor:{editor.id}" if name == "editor" else name)
    path = f"{MESSAGES}/{sent['id']}"
    assert api.put(path, by, {"message": "Other words"}).status_code == edit
    assert api.delete(path, by).status_code == delete
    [now] = api.get(MESSAGES, editor, query_string={"room": sent["room"]}).json["data"]
    assert (now["message"] is None) == (now["deletedAt"] is not None) == (delete == 204)


def test_a_deleted_message_leaves_its_place_and_not_its_words(api, editor):
    sent = say(api, editor, clientId="c-1")
    path = f"{MESSAGES}/{sent['id']}"
    assert [api.delete(path, editor).status_code for _ in range(2)] == [204, 204]
    [left] = api.get(MESSAGES, editor).json["data"]
    assert left == sent | {"message": None, "deletedAt": left["deletedAt"]}
    refused = api.put(path, editor, {"message": "Back"})
    assert (refused.status_code, refused.json["code"], refused.json["current"]) == (409, "message_deleted", "deleted")
    assert api.delete(f"{MESSAGES}/{uuid7()}", editor).status_code == 404


@pytest.mark.parametrize("field", ["sender", "senderId", "senderRole", "type", "timestamp", "id"])
def test_nobody_speaks_for_another(api, owner, editor, field):
    refused = api.post(MESSAGES, editor, {"message": "x", field: owner.id})
    assert (refused.status_code, list(refused.json["errors"])) == (422, [field])
    assert texts(api, editor) == []


@pytest.mark.parametrize("text", ["", "   ", "x" * 4001, "nul\x00", "bell\x07", None, 7, ["x"]])
def test_a_message_is_a_text_of_1_to_4000_characters(api, editor, text):
    assert api.post(MESSAGES, editor, {"message": text}).json["errors"].keys() == {"message"}
    longest = "🎬" * 4000
    assert say(api, editor, longest)["message"] == longest


# -- once, and not too often -----------------------------------------------------------------------------------------


def test_a_client_id_is_stored_once_for_its_sender(api, editor, other_editor):
    first = say(api, editor, "Hello", clientId="c-1")
    assert say(api, editor, "Hello again", clientId="c-1", status=200) == first
    assert say(api, other_editor, "Mine", clientId="c-1")["id"] != first["id"]
    for _ in range(2):
        say(api, editor, "No id")
    assert texts(api, editor) == ["Hello", "Mine", "No id", "No id"]


def test_client_ids_differ_by_every_letter(api, editor):
    for client_id in ("a", "A", "á", "a" * 64):
        say(api, editor, client_id, clientId=client_id)
    assert texts(api, editor) == ["a", "A", "á", "a" * 64]
    assert api.post(MESSAGES, editor, {"message": "x", "clientId": "a" * 65}).json["errors"].keys() == {"clientId"}


def test_the_eleventh_message_within_ten_seconds_has_to_wait(api, editor, other_editor):
    for n in range(10):
        say(api, editor, f"{n}", clientId=f"c-{n}")
        api.post(MESSAGES, editor, {"message": ""})
        api.post(MESSAGES, editor, {"message": "x", "room": "management"})
        say(api, editor, f"{n}", clientId=f"c-{n}", status=200)
    refused = api.post(MESSAGES, editor, {"message": "one more"})
    assert (refused.status_code, refused.json["code"]) == (429, "rate_limited")
    assert 1 <= refused.json["retryAfter"] <= 10
    assert refused.headers["Retry-After"] == str(refused.json["retryAfter"])
    say(api, editor, "0", clientId="c-0", status=200)
    say(api, other_editor, "Nobody else is slowed down")
    assert len(texts(api, editor)) == 11


def test_the_flood_ends_when_the_first_message_is_old_enough(api, app, monkeypatch, editor):
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 1)
    say(api, editor)
    say(api, editor, status=429)
    monkeypatch.setattr(limits, "FLOOD_SECONDS", 0.0)
    say(api, editor)


def test_a_client_id_sent_by_eight_tabs_at_once_is_stored_once_and_counted_once(api, app, editor):
    start = Barrier(8)

    def send(_):
        tab = type(api)(app)
        start.wait()
        return tab.post(MESSAGES, editor, {"message": "Hello", "clientId": "c-1"})

    with ThreadPoolExecutor(8) as tabs:
        answers = list(tabs.map(send, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert texts(api, editor) == ["Hello"]
    for n in range(9):
        say(api, editor, f"{n}")
    say(api, editor, "one too many", status=429)


def test_two_tabs_that_mark_at_once_leave_the_later_mark(api, app, unhurried, owner, editor):
    ids = [say(api, owner, "x")["id"] for _ in range(6)]
    start = Barrier(6)

    def mark(message_id):
        tab = type(api)(app)
        start.wait()
        return tab.put("/api/chat/rooms/team/read", editor, {"messageId": message_id}).status_code

    with ThreadPoolExecutor(6) as tabs:
        assert list(tabs.map(mark, ids)) == [200] * 6
    assert room(api, editor)["unread"] == 0
