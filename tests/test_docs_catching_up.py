"""What docs/live.md says of catching up, and does: whoever was away hears what they missed, once and in order."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from cable import Cable
from live import environment
from servers import start_app
from sqlalchemy import update
from tabs import post
from talk import made, say, until

from idyll.clock import now
from idyll.database import execute
from idyll.events import sealing
from idyll.events import service as events
from idyll.events.catalogue import CATALOGUE
from idyll.events.models import Event
from idyll.transactions import transaction

pytestmark = pytest.mark.only_on("postgresql")


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def shows_what_rest_shows(tab, api, who) -> bool:
    shown = tab.do("shown")
    tasks = {task["id"]: task for task in api.pages("/api/tasks", who)}
    newest = api.get("/api/chat/messages", who).json["data"]
    return {task["id"]: task for task in shown["tasks"]} == tasks and {message["id"] for message in newest} <= {
        message["id"] for message in shown["messages"]
    }


def test_what_is_on_the_screen_follows_what_happens(open_tab, live, api, editor, moderator):
    made(api.post("/api/tasks", moderator, {"name": "One", "deadline": "2031-01-01", "assignedTo": editor.id}))
    post(live, moderator, ["Good morning"])
    tab = open_tab(editor, "start")
    assert [task["name"] for task in tab.do("shown")["tasks"]] == ["One"]
    assert [message["message"] for message in tab.do("shown")["messages"]] == ["Good morning"]

    new = made(api.post("/api/tasks", moderator, {"name": "Two", "deadline": "2031-01-01", "assignedTo": editor.id}))
    post(live, moderator, ["There is a second one"])
    tab.wait("new_message")
    made(api.put(f"/api/tasks/{new['id']}", moderator, {"priority": "high"}))
    assert tab.wait("task_updated")["updates"]["priority"] == "high"
    until(lambda: shows_what_rest_shows(tab, api, editor))
    made(api.put(f"/api/tasks/{new['id']}", moderator, {"assignedTo": None}))
    until(lambda: len(tab.do("shown")["tasks"]) == 1)
    assert shows_what_rest_shows(tab, api, editor)


def test_who_was_away_hears_exactly_what_they_missed(in_the_team, live, cable, moderator):
    post(live, moderator, ["before"])
    in_the_team.wait("new_message")
    cable.unplug()
    in_the_team.is_in("offline")
    missed = [f"missed {n}" for n in range(1100)]  # more than two pages of `sync`
    post(live, moderator, missed)
    cable.plug()
    in_the_team.is_in("live")
    post(live, moderator, ["after"])
    in_the_team.hears("after")
    assert in_the_team.texts() == ["before", *missed, "after"]


def test_a_restart_of_the_server_costs_nothing(open_tab, live, api, editor, moderator):
    settings = environment(live.inside)
    first = start_app(settings)
    live.started.append(first)
    tab = open_tab(editor, "open", url=first.url)
    tab.do("join", "team")
    say(live.connect(moderator), "before")
    tab.wait("new_message")

    assert first.stop() == 0
    tab.is_in("offline")
    waiting = tab.send("written while it was away")
    missed = [f"missed {n}" for n in range(20)]
    post(live, moderator, missed)
    live.started.append(start_app(settings, first.port))
    tab.is_in("live")
    assert waiting.result(30)["sender"] == "Asha Editor"
    post(live, moderator, ["after"])
    tab.hears("after")
    assert tab.texts() == ["before", *missed, "written while it was away", "after"]
    assert [told["members"][0]["id"] for told in tab.all("members")] == [editor.id] * 2


def test_who_was_away_for_too_long_loads_the_lists_anew(open_tab, live, api, cable, editor, moderator):
    tab = open_tab(editor, "start", url=cable.url)
    cable.unplug()
    tab.is_in("offline")
    post(live, moderator, ["long ago"])
    made(api.post("/api/tasks", moderator, {"name": "One", "deadline": "2031-01-01", "assignedTo": editor.id}))
    with live.inside.app_context():
        sealing.seal()
        with transaction():
            execute(update(Event.__table__).values(created_at=now() - timedelta(days=8)))
        assert events.sweep() > 0
    cable.plug()
    tab.is_in("live")
    assert tab.all("new_message") == tab.all("task_created") == []
    assert [task["name"] for task in tab.do("shown")["tasks"]] == ["One"]
    assert shows_what_rest_shows(tab, api, editor)
    post(live, moderator, ["now"])
    assert tab.wait("new_message")["message"] == "now"


def test_a_list_that_did_not_come_is_fetched_again(in_the_team, live, moderator):
    in_the_team.do("load", 1)
    in_the_team.is_in("offline")
    post(live, moderator, ["meanwhile"])
    in_the_team.is_in("live")
    assert in_the_team.all("load") == [1, 0]
    in_the_team.do("startOver")
    in_the_team.is_in("live")
    assert in_the_team.all("load") == [1, 0, 0]


def test_events_wait_for_a_list_that_is_on_its_way(in_the_team, live, moderator):
    in_the_team.do("load", 0, 1500)
    post(live, moderator, ["newer than the list"])
    in_the_team.wait("new_message")
    names = [name for name, _ in in_the_team.heard]
    assert names.index("load") < names.index("loaded") < names.index("new_message")


def test_what_happens_while_somebody_catches_up_is_told_after_what_they_missed(in_the_team, live, cable, moderator):
    cable.cut()
    in_the_team.is_in("offline")
    in_the_team.do("load", 0, 4000)  # nothing is handed on before it ends
    post(live, moderator, ["missed"])
    in_the_team.is_in("catching up")
    time.sleep(0.5)  # the replay has come by then
    post(live, moderator, ["meanwhile"])
    in_the_team.hears("meanwhile")
    assert in_the_team.texts() == ["missed", "meanwhile"]


@contextmanager
def broken_again_and_again(cable: Cable) -> Iterator[None]:
    done = threading.Event()

    def cut() -> None:
        chance = random.Random(4)
        while not done.wait(chance.uniform(0.2, 1.5)):
            cable.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        yield
    finally:
        done.set()
        cutter.join()


def test_whatever_happens_while_the_network_breaks_the_screens_are_right_in_the_end(
    open_tab, live, api, cable, editor, other_editor, moderator
):
    tabs = {who.id: open_tab(who, "start", url=cable.url) for who in (editor, moderator)}
    chance = random.Random(4)
    tasks: list[str] = []
    ends = time.monotonic() + 8
    with broken_again_and_again(cable):
        while time.monotonic() < ends:
            deed = chance.choice(["make", "make", "assign", "assign", "rename", "delete", "say"])
            holder = chance.choice([editor.id, other_editor.id, None])
            if deed == "say":
                post(live, other_editor, [f"at {time.monotonic()}"])
            elif deed == "make" or not tasks:
                fields = {"name": "New", "deadline": "2031-01-01", "assignedTo": holder}
                tasks.append(made(api.post("/api/tasks", moderator, fields))["id"])
            elif deed == "delete":
                assert api.delete(f"/api/tasks/{tasks.pop(chance.randrange(len(tasks)))}", moderator).status_code == 204
            else:
                fields = {"assignedTo": holder} if deed == "assign" else {"name": f"Renamed {chance.random()}"}
                made(api.put(f"/api/tasks/{chance.choice(tasks)}", moderator, fields))
    for who in (editor, moderator):
        tab = tabs[who.id]
        until(lambda tab=tab, who=who: shows_what_rest_shows(tab, api, who), 30)
        assert tab.all("state").count("live") > 2
        ids = [data["eventId"] for name, data in tab.heard if name in CATALOGUE and "eventId" in data]
        assert len(ids) == len(set(ids)) > 20
