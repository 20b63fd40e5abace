"""Changes that overtake each other: what is told goes by what may be seen when it is told, not when it was done."""

import pytest
from conftest import PASSWORD
from doors import log_in
from listeners import Listeners, names, nothing_told
from talk import done, made

# On SQLite one cannot hold back the log without holding up every writer.
pytestmark = [pytest.mark.database, pytest.mark.only_on("postgresql", "mariadb")]

AT_TEN = {"title": "M", "date": "2030-01-01", "time": "10:00"}
JOB = {"name": "T", "deadline": "2030-01-01"}


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


@pytest.fixture
def everybody(owner, moderator, editor, other_editor, pending):
    return {"owner": owner, "moderator": moderator, "editor": editor, "other": other_editor, "pending": pending}


@pytest.fixture
def listeners(live, everybody, editor):
    rooms = {"owner": ["management"], "moderator": ["management", f"editor:{editor.id}"]}
    return Listeners(live, everybody, rooms)


@pytest.fixture
def held(live, listeners):
    """The log stands still until the end of the block; then all is told at once, and everybody has heard it."""

    class Held:
        def __enter__(self):
            self.log = nothing_told(live.inside)
            self.log.__enter__()

        def __exit__(self, *error):
            self.log.__exit__(*error)
            if error == (None, None, None):
                listeners.settle()

    return Held()


def heard(listeners, name):
    """Without notifications, whose texts are their reader's own."""
    return [event for event in listeners.heard(name) if event["event"] != "new_notification"]


def put(api, path, by, **fields):
    return made(api.put(f"/api{path}", by, fields))


def post(api, path, by, **fields):
    return made(api.post(f"/api{path}", by, fields))


# -- out of sight before it was told ---------------------------------------------------------------------------------


def test_a_task_that_goes_on_before_it_was_told_of_is_told_to_its_last_assignee_alone(
    api, held, listeners, owner, editor, other_editor, moderator
):
    with held:
        task = post(api, "/tasks", owner, **JOB, assignedTo=editor.id)["id"]
        put(api, f"/tasks/{task}", owner, name="Secret")
        put(api, f"/tasks/{task}", owner, assignedTo=other_editor.id)
    for name in ("owner", "moderator"):
        assert names(heard(listeners, name)) == ["task_created", "task_updated", "task_updated"]
    [parting] = heard(listeners, "editor")
    assert parting["data"]["updates"] == {"assignedTo": other_editor.id}
    [created] = heard(listeners, "other")
    assert created["data"]["task"]["name"] == "Secret"
    # A notification is its reader's own, whatever it is about.
    assert names(listeners.heard("editor")).count("new_notification") == 1
    assert listeners.heard("pending") == []


def test_a_task_that_comes_back_is_whole_again(api, held, listeners, owner, editor, other_editor):
    task = post(api, "/tasks", owner, **JOB, assignedTo=editor.id)["id"]
    listeners.ears["editor"].wait("task_created")
    with held:
        for somebody in (other_editor, editor):
            put(api, f"/tasks/{task}", owner, assignedTo=somebody.id, name=f"For {somebody.name}")
    _, parting, again = heard(listeners, "editor")
    assert parting["data"]["updates"] == {"assignedTo": other_editor.id}
    assert again["data"]["task"] == api.get(f"/api/tasks/{task}", editor).json
    assert [event["data"]["updates"] for event in heard(listeners, "other")] == [{"assignedTo": editor.id}]


def test_what_is_gone_before_it_was_told_of_is_told_as_gone_only(api, held, listeners, owner, editor):
    with held:
        task = post(api, "/tasks", owner, **JOB | {"name": "Secret"}, assignedTo=editor.id)["id"]
        meeting = post(api, "/meetings", owner, **AT_TEN | {"title": "Secret"}, attendees="All Team")["id"]
        message = post(api, "/chat/messages", owner, message="Secret")["id"]
        put(api, f"/chat/messages/{message}", owner, message="Secret still")
        for path in (f"tasks/{task}", f"meetings/{meeting}", f"chat/messages/{message}"):
            assert api.delete(f"/api/{path}", owner).status_code == 204
    expected = ["task_deleted", "meeting_deleted", "message_deleted"]
    for name in ("owner", "moderator", "editor"):
        assert names(heard(listeners, name)) == expected, name
        assert "Secret" not in str(heard(listeners, name))
    assert names(heard(listeners, "other")) == expected[1:]


def test_words_that_were_taken_back_before_they_were_told_are_never_told(api, held, listeners, editor):
    with held:
        message = post(api, "/chat/messages", editor, message="Secret")["id"]
        put(api, f"/chat/messages/{message}", editor, message="What I meant")
    for name in ("owner", "other"):
        told = heard(listeners, name)
        assert names(told) == ["new_message", "message_updated"]
        assert "Secret" not in str(told)


def test_a_meeting_of_all_that_becomes_a_meeting_of_few_is_told_to_these_alone(
    api, held, listeners, owner, editor, other_editor
):
    meeting = post(api, "/meetings", owner, **AT_TEN)["id"]
    listeners.ears["owner"].wait("meeting_created")
    with held:
        put(api, f"/meetings/{meeting}", owner, attendees="All Team")
        put(api, f"/meetings/{meeting}", owner, title="Secret")
        put(api, f"/meetings/{meeting}", owner, attendees=[editor.id])
    [parting] = heard(listeners, "other")
    assert parting["data"]["updates"] == {"attendees": [editor.id]}
    created, *updates = heard(listeners, "editor")
    assert created["event"] == "meeting_created"
    assert [list(event["data"]["updates"]) for event in updates] == [
        ["title", "version", "updatedAt"],
        ["allTeam", "attendees", "version", "updatedAt"],
    ]
    assert names(heard(listeners, "moderator")) == ["meeting_created"] + ["meeting_updated"] * 3


def test_nothing_of_a_person_is_told_who_was_removed_before(api, held, listeners, owner, editor):
    with held:
        nila = {"email": "nila@example.com", "displayName": "Nila Secret", "username": "nila.secret"}
        nila_id = post(api, "/users", owner, **nila)["id"]
        put(api, f"/users/{nila_id}", owner, location="Secret")
        task = post(api, "/tasks", owner, **JOB, assignedTo=nila_id)["id"]
        post(api, "/applications", None, fullName="Nila Secret", email="nila@example.com")
        put(api, f"/users/{editor.id}", editor, location="Secret")
        post(api, "/tasks", owner, **JOB, assignedTo=editor.id)
        for person in (nila_id, editor.id):
            assert api.delete(f"/api/users/{person}", owner).status_code == 204
    for name in ("owner", "moderator"):
        told = heard(listeners, name)
        assert "Secret" not in str(told), name
        assert "nila@" not in str(told), name
        assert [event["data"]["userId"] for event in told if event["event"] == "user_removed"] == [nila_id, editor.id]
        assert {"user_created", "user_updated", "application_created"}.isdisjoint(names(told))
        [created] = [
            e["data"]["task"] for e in told if e["event"] == "task_created" and e["data"]["task"]["id"] == task
        ]
        assert created["assignee"]["displayName"] == "Former member"
    assert listeners.heard("editor") == []
    assert listeners.ears["editor"].wait("token_expired") == {}


# -- rights that end before it was told ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["demoted", "removed", "logged out", "new password"])
def test_who_lost_their_rights_before_it_was_told_hears_nothing_of_it(api, held, listeners, owner, moderator, end):
    elsewhere = log_in(api, moderator.email).json["accessToken"]
    with held:
        post(api, "/tasks", owner, **JOB)
        post(api, "/chat/messages", owner, message="Among us", room="management")
        post(api, "/notifications", owner, title="For managers", message="-", to="managers")
        if end == "demoted":
            put(api, f"/users/{moderator.id}", owner, role="editor")
        elif end == "removed":
            made(api.delete(f"/api/users/{moderator.id}", owner))
        elif end == "logged out":
            made(api.post("/api/auth/logout", moderator, {}))
        else:
            put(api, f"/users/{moderator.id}", elsewhere, password="a-reel-of-my-own", currentPassword=PASSWORD)
        post(api, "/payouts", owner, projectName="Later", amount=1)
    assert {"task_created", "payout_created"} <= set(names(heard(listeners, "owner")))
    assert listeners.heard("moderator") == []
    assert listeners.ears["moderator"].wait("token_expired") == {}


def test_rights_end_in_time_even_while_the_log_stands_still(live, api, listeners, owner, editor, moderator):
    """Another process may have died with the log in its hands; the database keeps it for some seconds more."""
    with nothing_told(live.inside):
        put(api, f"/users/{moderator.id}", owner, role="editor")
        assert listeners.ears["moderator"].wait("token_expired", timeout=3) == {}
        post(api, "/tasks", owner, **JOB)
        made(api.post("/api/auth/logout", editor, {}))
        assert listeners.ears["editor"].wait("token_expired", timeout=3) == {}
    listeners.settle()


def test_who_gained_rights_before_it_was_told_hears_what_they_may_see_now(api, held, listeners, owner, editor, pending):
    with held:
        put(api, f"/users/{pending.id}", owner, status="approved")
        post(api, "/meetings", owner, **AT_TEN, attendees="All Team")
        put(api, f"/users/{editor.id}", owner, role="moderator")
        post(api, "/payouts", owner, projectName="Rent", amount=1)
    assert names(heard(listeners, "pending")) == ["user_updated", "meeting_created"]
    assert "payout_created" in names(heard(listeners, "editor"))
    assert listeners.missed("editor") == listeners.heard("editor")


# -- a process that dies before it told ------------------------------------------------------------------------------


def test_what_a_killed_process_had_no_time_to_tell_is_told_all_the_same(live, listeners, owner, editor):
    doomed = live.start()
    tab = doomed.connect(editor, reconnection=True, reconnection_delay=100)
    since = done(tab, "sync", {})["lastEventId"]
    with nothing_told(live.inside):
        post(doomed.api, "/tasks", owner, **JOB, assignedTo=editor.id)
        doomed.app.kill_worker()
    # In another process, at once; in the one that was started again, by asking.
    told = listeners.ears["editor"].wait("task_created")
    missed = done(tab.connected(20, times=2), "sync", {"since": since})["events"]
    assert missed[0] == {"eventId": told["eventId"], "event": "task_created", "data": told}
    assert names(missed) == ["task_created", "new_notification"]
