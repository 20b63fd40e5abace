"""Two processes behind nginx: what happens in one reaches the clients of the other, with Redis and without."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from conftest import PASSWORD
from doors import log_in
from flask import Flask
from live import make_inside
from processes import Processes, Two
from servers import available
from sockets import Refused

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.skipif(not (available("redis") and available("nginx")), reason="needs Redis and nginx"),
]
WITH, WITHOUT = "with Redis", "without Redis"
with_redis = pytest.mark.parametrize("processes", [WITH], indirect=True)
SOON = 3  # seconds; one is promised


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Flask:
    return make_inside(f"idyll_two_{worker_id}", tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module", params=[WITH, WITHOUT])
def processes(request, inside) -> Iterator[Processes]:
    processes = Processes.start(inside, redis=request.param == WITH)
    yield processes
    processes.stop()


@pytest.fixture
def two(processes, clients) -> Iterator[Two]:
    two = Two(processes, clients)
    yield two
    clients.close()


@pytest.fixture
def owner(two):
    return two.people.owner(name="Olga Owner")


@pytest.fixture
def moderator(two):
    return two.people.moderator(name="Max Moderator")


@pytest.fixture
def editor(two):
    return two.people.editor(name="Asha Editor")


@pytest.fixture
def other(two):
    return two.people.editor(name="Ravi Editor")


def film(editor):
    return {"name": "Film", "deadline": "2031-01-01", "assignedTo": editor.id}


def of(someone):
    return lambda told: told["user"]["id"] == someone.id


def comes_in(live, someone, seconds=SOON):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(Refused):
            return live.connect(someone)
        time.sleep(0.1)
    return None


# -- events ----------------------------------------------------------------------------------------------------------


def test_what_is_done_by_rest_in_one_process_is_heard_in_the_other(two, owner, editor, other):
    here, there, elsewhere = two.a.connect(editor), two.b.connect(editor), two.b.connect(other)
    task = two.a.api.post("/api/tasks", owner, film(editor)).json
    for client in (there, here):
        assert client.wait("task_created", timeout=SOON)["task"]["id"] == task["id"]
    two.b.api.put(f"/api/tasks/{task['id']}", owner, {"name": "Short film"})
    for client in (here, there):
        assert client.wait("task_updated", timeout=SOON)["updates"]["name"] == "Short film"
    elsewhere.silent()


def test_what_is_said_in_one_process_is_read_once_and_in_order_in_both(two, owner, editor):
    # By turns, as nginx does it: nobody chooses a process.
    tabs = [two.front.connect(who) for who in (owner, editor, owner, editor)]
    assert {tab.state()["transport"] for tab in tabs} == {"websocket"}
    for tab in tabs:
        tab.emit("join_room", {})
    sent = [tabs[n % 4].emit("send_message", {"message": f"Take {n}", "clientId": f"take-{n}"}) for n in range(12)]
    for tab in tabs:
        tab.wait("new_message", lambda told: told["message"] == "Take 11", timeout=SOON)
        assert [event.data["id"] for event in tab.events("new_message")] == [message["id"] for message in sent]
    told = [[event.data["eventId"] for event in tab.events("new_message")] for tab in tabs]
    assert told.count(told[0]) == 4


def test_what_was_missed_is_replayed_by_either_process(two, owner, editor):
    known = two.a.connect(editor).emit("sync", {})["lastEventId"]
    tasks = [live.api.post("/api/tasks", owner, film(editor)).json["id"] for live in (two.a, two.b, two.a)]
    answers = [live.connect(editor).emit("sync", {"since": known}) for live in (two.a, two.b)]
    assert [event["data"]["task"]["id"] for event in answers[0]["events"] if event["event"] == "task_created"] == tasks
    assert answers[0] == answers[1]


# -- rights ----------------------------------------------------------------------------------------------------------


def log_out(two, owner, one):
    return two.a.api.post("/api/auth/logout", one).status_code == 204


def remove(two, owner, one):
    return two.a.api.delete(f"/api/users/{one.id}", owner).status_code == 204


def demote(two, owner, one):
    return two.a.api.put(f"/api/users/{one.id}", owner, {"role": "editor"}).status_code == 200


def reject(two, owner, one):
    return two.a.api.put(f"/api/users/{one.id}", owner, {"status": "rejected"}).status_code == 200


def end_session(two, owner, one):
    (session,) = two.a.api.get("/api/auth/sessions", one).json["data"]
    return two.a.api.delete(f"/api/auth/sessions/{session['id']}", one).status_code == 204


@pytest.mark.parametrize(
    ("who", "end"),
    [("editor", log_out), ("editor", remove), ("moderator", demote), ("pending", reject), ("moderator", end_session)],
)
def test_rights_that_end_in_one_process_end_the_sockets_on_the_other(two, owner, who, end):
    one, room = getattr(two.people, who)(), {"room": "management" if who == "moderator" else "team"}
    there = two.b.connect(one)
    chatting = two.b.connect(one, namespace="/ws/chat", path="/ws/chat")
    if who != "pending":
        chatting.emit("join_room", room)
    assert end(two, owner, one)
    ended_at = time.monotonic()
    two.a.api.post("/api/chat/messages", owner, {"message": "In confidence", **room})
    for client in (there, chatting):
        assert client.wait("token_expired", timeout=SOON) == {}
        assert client.disconnected(SOON) == "io server disconnect"
        assert client.gone[-1].at - ended_at < SOON
    chatting.silent("new_message")


def test_a_new_password_set_in_one_process_leaves_only_the_socket_of_its_session(two, editor):
    session = log_in(two.b.api, editor.email).json["accessToken"]
    old, own = two.b.connect(editor), two.b.connect(session)
    change = {"password": "a-reel-of-my-own", "currentPassword": PASSWORD}
    assert two.a.api.put(f"/api/users/{editor.id}", session, change).status_code == 200
    old.wait("token_expired", timeout=SOON)
    old.disconnected(SOON)
    own.silent("token_expired")
    assert own.is_connected


def test_an_approval_in_one_process_opens_the_ears_of_a_socket_on_the_other(two, owner):
    pending = two.people.pending()
    waiting = two.b.connect(pending)
    waiting_too = two.a.connect(pending)
    assert waiting.emit("join_room", {})["code"] == "account_pending"
    assert two.a.api.put(f"/api/users/{pending.id}", owner, {"status": "approved"}).status_code == 200
    for client in (waiting, waiting_too):
        client.wait("user_updated", lambda told: told["updates"]["status"] == "approved", timeout=SOON)
    two.a.api.post("/api/tasks", owner, film(pending))
    for client in (waiting, waiting_too):
        client.wait("task_created", timeout=SOON)
        assert client.emit("join_room", {})["room"] == "team"


# -- who is here -----------------------------------------------------------------------------------------------------


@with_redis
def test_somebody_with_tabs_at_both_processes_joins_once_and_leaves_with_the_last(two, editor, other):
    ears = [two.a.connect(other), two.b.connect(other)]
    for ear in ears:
        ear.emit("join_room", {})
        ear.forget()
    tabs = [two.a.connect(editor), two.b.connect(editor), two.b.connect(editor)]
    present = [{one["id"] for one in tab.emit("join_room", {})["members"]} for tab in tabs]
    assert present == [{editor.id, other.id}] * 3
    for ear in ears:
        told = ear.wait("user_joined", of(editor), timeout=SOON)
        assert told["room"] == "team"
    time.sleep(0.7)
    for ear in ears:
        assert sum(of(editor)(event.data) for event in ear.events("user_joined")) == 1
    for tab in tabs[:2]:
        tab.disconnect()
    for ear in ears:
        ear.silent("user_left", for_seconds=2.5)
    tabs[2].emit("leave_room", {})
    for ear in ears:
        ear.wait("user_left", of(editor), timeout=SOON)
        ear.silent("user_left")


@with_redis
def test_the_tab_that_closes_last_takes_its_person_along_in_both_processes(two, editor, other):
    ears = [two.a.connect(other), two.b.connect(other)]
    tab = two.b.connect(editor)
    for client in (*ears, tab):
        client.emit("join_room", {"room": "team"})
    for ear in ears:
        ear.wait("user_joined", of(editor), timeout=SOON)
    tab.drop()
    for ear in ears:
        ear.wait("user_left", of(editor), timeout=4)
    assert [one["id"] for one in two.a.connect(other).emit("join_room", {})["members"]] == [other.id]


@with_redis
def test_typing_is_seen_in_the_room_of_the_other_process_and_nowhere_else(two, owner, editor, other):
    own, in_room, outside = two.a.connect(editor), two.b.connect(other), two.b.connect(owner)
    for client in (own, in_room):
        client.emit("join_room", {})
    assert own.emit("typing", {"typing": True}) == {"room": "team", "typing": True}
    told = in_room.wait("typing", timeout=SOON)
    assert told == {"room": "team", "user": {"id": editor.id, "displayName": editor.name}, "typing": True}
    for client in (own, outside):
        client.silent("typing")


@with_redis
def test_the_people_of_a_killed_process_leave_and_come_again(two, owner, editor, other, moderator):
    for _ in range(10):
        two.a.connect(owner)
    ear = two.b.connect(other)
    lost, kept = two.a.connect(editor), [two.a.connect(moderator), two.b.connect(moderator)]
    for client in (ear, lost, *kept):
        client.emit("join_room", {})
    ear.wait("user_joined", of(editor))
    two.a.app.kill_worker()
    lost.disconnected()
    ear.wait("user_left", of(editor), timeout=30)
    assert not [event for event in ear.events("user_left") if event.data["user"]["id"] == moderator.id]
    lost.reconnect(timeout=20)
    present = {one["id"] for one in lost.emit("join_room", {})["members"]}
    assert present == {editor.id, other.id, moderator.id}
    ear.wait("user_joined", of(editor), timeout=SOON)
    # Nor do the sockets of a killed process count for long.
    assert comes_in(two.b, owner, seconds=30)


# -- limits ----------------------------------------------------------------------------------------------------------


@with_redis
def test_ten_sockets_a_person_over_both_processes(two, editor, other):
    tabs = [live.connect(editor) for _ in range(5) for live in (two.a, two.b)]
    for live in (two.a, two.b):
        refused = live.connect(editor, wait=False).refused()
        assert (refused.data["status"], refused.data["code"]) == (429, "rate_limited")
        assert refused.data["retryAfter"] > 0
        live.connect(other)
    tabs[0].disconnect()
    tabs[0].disconnected()
    assert comes_in(two.b, editor)


@with_redis
def test_ten_messages_in_ten_seconds_over_both_processes_and_both_doors(two, editor, other):
    tabs = [two.a.connect(editor), two.b.connect(editor)]
    for n in range(8):
        assert tabs[n % 2].emit("send_message", {"message": f"Again {n}"})["id"]
    for live in (two.a, two.b):
        assert live.api.post("/api/chat/messages", editor, {"message": "Again"}).status_code == 201
    for tab in tabs:
        refused = tab.emit("send_message", {"message": "Too often"})
        assert (refused["code"], 1 <= refused["retryAfter"] <= 10) == ("rate_limited", True)
    assert two.b.api.post("/api/chat/messages", editor, {"message": "Too often"}).status_code == 429
    assert two.b.connect(other).emit("send_message", {"message": "Me too"})["id"]
