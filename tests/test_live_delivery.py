"""Who hears what, live: every change and every kind of listener, exact in both directions, and alike in the replay."""

import pytest
from conftest import Api
from listeners import Listeners, names
from talk import made
from test_event_audience import SHORT, TABLE, Agency


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


@pytest.fixture
def agency(live, api, owner, moderator, editor, other_editor, pending):
    # What is there before is made without the network: it is only waited for.
    made = Agency(Api(live.inside), owner, moderator, editor, other_editor)
    made.api = api
    made.viewers["pending"] = pending
    return made


@pytest.fixture
def listeners(live, agency):
    rooms = {"owner": ["management", agency.room], "moderator": ["management", agency.room], "editor": [agency.room]}
    return Listeners(live, agency.viewers, rooms)


def long(shorts):
    return sorted(SHORT[short] for short in shorts.split())


@pytest.mark.parametrize("what", TABLE)
def test_each_listener_hears_these_events_and_no_others(people, agency, listeners, what):
    change, *expected = TABLE[what]
    agency.leaver = people.moderator()
    change(agency)
    listeners.settle()
    for name, shorts in zip(agency.viewers, [*expected, ""], strict=True):
        heard = listeners.heard(name)
        assert sorted(names(heard)) == long(shorts), name
        if name != "pending":
            assert listeners.missed(name) == heard, name


def person(name, **fields):
    """A change by the owner of a person of the agency; without fields they are removed."""

    def change(a):
        path = f"/users/{a.viewers[name].id}"
        a.put(path, a.owner, **fields) if fields else a.delete(path, a.owner)

    return change


def log_out(name):
    return lambda a: made(a.api.post("/api/auth/logout", a.viewers[name], {}))


OVER = None  # the socket ends, without a word but that

# As above, with the pending person; for whom the rights end, `OVER`.
RIGHTS = {
    "somebody who waits is approved": (person("pending", status="approved"), "uu", "uu", "", "", "uu nn"),
    "somebody who waits is rejected": (person("pending", status="rejected"), "uu", "uu", "", "", OVER),
    "somebody who waits is removed": (person("pending"), "ud", "ud", "", "", OVER),
    "an editor becomes a moderator": (person("editor", role="moderator"), "uu", "uu", "uu nn", "", ""),
    "an editor becomes an owner": (person("other", role="owner"), "uu", "uu", "", "uu nn", ""),
    "a moderator becomes an editor": (person("moderator", role="editor"), "uu", OVER, "", "", ""),
    "an editor is removed": (person("editor"), "ud tu mu mu pu pu", "ud tu mu mu pu pu", OVER, "", ""),
    "a moderator is removed": (person("moderator"), "ud", OVER, "", "", ""),
    "an editor logs out": (log_out("editor"), "", "", OVER, "", ""),
    "a manager logs out": (log_out("moderator"), "", OVER, "", "", ""),
}


@pytest.mark.parametrize("what", RIGHTS)
def test_who_loses_rights_hears_nothing_more_and_the_others_hear_of_it(agency, listeners, what):
    change, *expected = RIGHTS[what]
    change(agency)
    for name, shorts in zip(agency.viewers, expected, strict=True):
        if shorts is OVER:
            assert listeners.ears[name].wait("token_expired", timeout=3) == {}
            assert listeners.ears[name].disconnected()
    # What the managers and the team do from here on is no business of theirs.
    for room in ("team", "management", agency.room):
        agency.post("/chat/messages", agency.owner, message="Among us.", room=room)
    listeners.settle()
    for name, shorts in zip(agency.viewers, expected, strict=True):
        heard = [event for event in listeners.heard(name) if "Among us." not in str(event)]
        assert sorted(names(heard)) == long(shorts or ""), name
        if shorts is OVER:
            assert heard == listeners.heard(name)


def test_several_edits_come_one_by_one_and_in_order(agency, listeners):
    for n in range(4):
        agency.put(f"/tasks/{agency.task}", agency.owner, name=f"Cut {n}")
        agency.put(f"/meetings/{agency.meeting}", agency.owner, title=f"Cut {n}")
        agency.put(f"/chat/messages/{agency.said}", agency.editor, message=f"Cut {n}")
    listeners.settle()
    heard = listeners.heard("editor")
    assert names(heard) == ["task_updated", "meeting_updated", "new_notification", "message_updated"] * 4
    for place, field in ((0, "name"), (1, "title")):
        updates = [event["data"]["updates"] for event in heard[place::4]]
        assert [update[field] for update in updates] == [f"Cut {n}" for n in range(4)]
        assert [update["version"] for update in updates] == [2, 3, 4, 5]
        assert all(update.keys() == {field, "version", "updatedAt"} for update in updates)
    # Within a minute it is one notification, told again and again.
    assert len({event["data"]["notification"]["id"] for event in heard[2::4]}) == 1
    assert heard[3]["data"]["message"]["message"] == "Cut 0"
    # Who was away is spared the words that were taken back.
    assert {e["data"]["message"]["message"] for e in listeners.missed("editor") if "message" in e["data"]} == {"Cut 3"}
    assert [e["eventId"] for e in listeners.missed("editor")] == [e["eventId"] for e in heard]


def test_parting_words_tell_only_that(agency, listeners):
    agency.put(f"/tasks/{agency.task}", agency.owner, assignedTo=agency.other.id, name="Secret")
    agency.put(f"/meetings/{agency.meeting}", agency.owner, attendees=[agency.other.id], title="Secret")
    listeners.settle()
    told = [event["data"] | {"eventId": ""} for event in listeners.heard("editor")]
    assert told == [
        {"taskId": agency.task, "updates": {"assignedTo": agency.other.id}, "eventId": ""},
        {"meetingId": agency.meeting, "updates": {"attendees": [agency.other.id]}, "eventId": ""},
    ]


def test_who_comes_into_sight_of_a_thing_gets_all_of_it(api, agency, listeners):
    agency.put(f"/tasks/{agency.task}", agency.owner, assignedTo=agency.other.id)
    agency.put(f"/meetings/{agency.meeting}", agency.owner, attendees="All Team")
    listeners.settle()
    shown = {e["event"]: e["data"] for e in listeners.heard("other") if e["event"] != "new_notification"}
    assert shown.keys() == {"task_created", "meeting_created"}
    assert shown["task_created"]["task"] == api.get(f"/api/tasks/{agency.task}", agency.other).json
    assert shown["meeting_created"]["meeting"] == api.get(f"/api/meetings/{agency.meeting}", agency.other).json


def test_a_change_that_is_refused_at_its_end_is_never_told(api, agency, listeners):
    # The name is changed, and its event written, before the decision on a member is refused.
    both = {"displayName": "Never", "status": "rejected"}
    answer = api.put(f"/api/users/{agency.editor.id}", agency.owner, both)
    assert (answer.status_code, answer.json["code"]) == (409, "already_approved")
    task = {"name": "Never", "approvalStatus": "approved"}
    assert api.put(f"/api/tasks/{agency.task}", agency.owner, task).status_code == 409
    listeners.settle()
    for name in agency.viewers:
        assert listeners.heard(name) == [], name
    assert listeners.missed("owner") == listeners.missed("editor") == []


def test_who_hears_of_a_change_finds_it_done(api, agency, listeners):
    ears = listeners.ears
    for n in range(8):
        made(api.put(f"/api/tasks/{agency.task}", agency.owner, {"name": f"Cut {n}"}))
        ears["editor"].wait("task_updated", lambda data, n=n: data["updates"]["name"] == f"Cut {n}")
        assert api.get(f"/api/tasks/{agency.task}", agency.editor).json["name"] == f"Cut {n}"
        sent = ears["editor"].send("send_message", {"message": f"Take {n}"})
        key = ears["other"].wait("new_message", lambda data, n=n: data["message"] == f"Take {n}")["id"]
        page = api.get("/api/chat/messages", agency.other, query_string={"limit": 1}).json["data"]
        assert [message["id"] for message in page] == [key] == [sent.result()["id"]]
