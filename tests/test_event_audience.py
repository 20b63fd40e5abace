"""Who gets which events: one table over every change and every kind of viewer, exact in both directions."""

from dataclasses import dataclass
from typing import Any

import pytest

from idyll.events.service import event_id

pytestmark = pytest.mark.database

LINK = "https://drive.example.com/edited"
SHORT = {
    "tc": "task_created",
    "tu": "task_updated",
    "td": "task_deleted",
    "pc": "payout_created",
    "pu": "payout_updated",
    "mc": "meeting_created",
    "mu": "meeting_updated",
    "md": "meeting_deleted",
    "nm": "new_message",
    "xu": "message_updated",
    "xd": "message_deleted",
    "ac": "application_created",
    "au": "application_updated",
    "ad": "application_deleted",
    "uc": "user_created",
    "uu": "user_updated",
    "ud": "user_removed",
    "nn": "new_notification",
}


@dataclass
class Agency:
    """People, and one of everything: all of it `editor`'s, nothing `other`'s."""

    api: Any
    owner: Any
    moderator: Any
    editor: Any
    other: Any

    def __post_init__(self):
        self.leaver = None
        self.task = self.post("/tasks", self.owner, name="T", deadline="2030-01-01", assignedTo=self.editor.id)
        self.done = self.post("/tasks", self.owner, name="T", deadline="2030-01-01", assignedTo=self.editor.id)
        self.put(f"/tasks/{self.done}", self.editor, editedFileLink=LINK)
        at = {"title": "M", "date": "2030-01-01", "time": "10:00"}
        self.at = at
        self.meeting = self.post("/meetings", self.owner, **at, attendees=[self.editor.id])
        self.all_team = self.post("/meetings", self.owner, **at, attendees="All Team")
        self.jour_fixe = self.post("/meetings", self.owner, **at, attendees=[self.editor.id])
        self.payout = self.post("/payouts", self.editor, projectName="P", amount=1)
        self.spare = self.post("/payouts", self.editor, projectName="P", amount=1)
        self.room = f"editor:{self.editor.id}"
        self.said = self.post("/chat/messages", self.editor, message="x", room=self.room)
        self.team = self.post("/chat/messages", self.editor, message="x")
        self.form = {"fullName": "Nila", "email": "nila@example.com"}
        self.application = self.post("/applications", None, **self.form)
        self.viewers = {"owner": self.owner, "moderator": self.moderator, "editor": self.editor, "other": self.other}

    def post(self, path, by, **fields):
        answer = self.api.post(f"/api{path}", by, fields)
        assert answer.status_code in (200, 201), answer.get_data(as_text=True)
        return answer.json.get("id")

    def put(self, path, by, **fields):
        answer = self.api.put(f"/api{path}", by, fields)
        assert answer.status_code in (200, 204), answer.get_data(as_text=True)

    def delete(self, path, by):
        answer = self.api.delete(f"/api{path}", by)
        assert answer.status_code == 204, answer.get_data(as_text=True)

    def events(self, by, since):
        answer = self.api.get("/api/events", by, query_string={"since": since, "limit": 500})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.json["events"]


@pytest.fixture
def agency(api, app, monkeypatch, owner, moderator, editor, other_editor):
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 1000)
    return Agency(api, owner, moderator, editor, other_editor)


def of(kind, fields):
    """A change by the owner of the agency's own thing of a kind: `fields`, or None to delete it."""

    def change(a):
        path = (
            f"/{ {'all_team': 'meeting', 'jour_fixe': 'meeting', 'done': 'task'}.get(kind, kind) }s/{getattr(a, kind)}"
        )
        a.delete(path, a.owner) if fields is None else a.put(path, a.owner, **fields(a))

    return change


def new(path, by, fields):
    return lambda a: a.post(path, getattr(a, by), **fields(a))


def own(path, thing, fields):
    """A change by the editor of their own thing."""

    def change(a):
        where = f"{path}/{getattr(a, thing)}"
        a.delete(where, a.editor) if fields is None else a.put(where, a.editor, **fields)

    return change


def me(a):
    return {"assignedTo": a.editor.id}


JOB = {"name": "T", "deadline": "2030-01-01"}

# What happens: the change, and what the owner (who does most), the moderator, the editor and the other editor get.
TABLE = {
    "a task is handed out": (new("/tasks", "owner", lambda a: JOB | me(a)), "tc", "tc", "tc nn", ""),
    "a task is made for nobody": (new("/tasks", "owner", lambda a: JOB), "tc", "tc", "", ""),
    "a task stays as it is": (of("task", lambda a: {"name": "T"}), "", "", "", ""),
    "a task is edited": (of("task", lambda a: {"name": "Other"}), "tu", "tu", "tu", ""),
    "a task is begun": (own("/tasks", "task", {"status": "in-progress"}), "tu nn", "tu nn", "tu", ""),
    "a task is handed in": (own("/tasks", "task", {"editedFileLink": LINK}), "tu nn", "tu nn", "tu", ""),
    "a task is reassigned": (of("task", lambda a: {"assignedTo": a.other.id}), "tu", "tu", "tu", "tc nn"),
    "a task is taken away": (of("task", lambda a: {"assignedTo": None}), "tu", "tu", "tu", ""),
    "a task goes to a manager": (of("task", lambda a: {"assignedTo": a.moderator.id}), "tu", "tu nn", "tu", ""),
    "a task is deleted": (of("task", None), "td", "td", "td", ""),
    "a task is approved": (of("done", lambda a: {"approvalStatus": "approved"}), "tu", "tu", "tu nn", ""),
    "a payout is requested": (
        new("/payouts", "editor", lambda a: {"projectName": "P", "amount": 1}),
        "pc nn",
        "pc nn",
        "pc",
        "",
    ),
    "a payout is added for an editor": (
        new("/payouts", "owner", lambda a: {"projectName": "P", "amount": 1, "editorId": a.editor.id}),
        "pc",
        "pc nn",
        "pc",
        "",
    ),
    "a manager wants money": (
        new("/payouts", "moderator", lambda a: {"projectName": "P", "amount": 1}),
        "pc nn",
        "pc",
        "",
        "",
    ),
    "a payout is edited": (own("/payouts", "payout", {"amount": 2}), "pu", "pu", "pu", ""),
    "a payout is taken back": (own("/payouts", "spare", None), "pu", "pu", "pu", ""),
    "a payout is approved": (of("payout", lambda a: {"status": "approved"}), "pu", "pu", "pu nn", ""),
    "a meeting with one": (
        new("/meetings", "owner", lambda a: a.at | {"attendees": [a.editor.id]}),
        "mc",
        "mc",
        "mc nn",
        "",
    ),
    "a meeting with All Team": (
        new("/meetings", "owner", lambda a: a.at | {"attendees": "All Team"}),
        "mc nn",
        "mc nn",
        "mc nn",
        "mc nn",
    ),
    "a meeting is edited": (of("meeting", lambda a: {"title": "Other"}), "mu", "mu", "mu nn", ""),
    "an All Team meeting is edited": (of("all_team", lambda a: {"title": "O"}), "mu nn", "mu nn", "mu nn", "mu nn"),
    "another comes instead": (of("meeting", lambda a: {"attendees": [a.other.id]}), "mu", "mu", "mu", "mc nn"),
    "a manager comes too": (
        of("meeting", lambda a: {"attendees": [a.editor.id, a.moderator.id]}),
        "mu",
        "mu nn",
        "mu nn",
        "",
    ),
    "everybody comes": (of("meeting", lambda a: {"attendees": "All Team"}), "mu nn", "mu nn", "mu nn", "mc nn"),
    "only one comes": (of("all_team", lambda a: {"attendees": [a.editor.id]}), "mu", "mu", "mu nn", "mu"),
    "a meeting is cancelled": (of("meeting", None), "md", "md", "md nn", ""),
    "an All Team meeting is cancelled": (of("all_team", None), "md nn", "md nn", "md nn", "md nn"),
    "a word to the team": (new("/chat/messages", "other", lambda a: {"message": "x"}), "nm", "nm", "nm", "nm"),
    "a word among managers": (
        new("/chat/messages", "owner", lambda a: {"message": "x", "room": "management"}),
        "nm",
        "nm",
        "",
        "",
    ),
    "a word in an editor's room": (
        new("/chat/messages", "owner", lambda a: {"message": "x", "room": a.room}),
        "nm",
        "nm",
        "nm",
        "",
    ),
    "a word is changed": (own("/chat/messages", "said", {"message": "y"}), "xu", "xu", "xu", ""),
    "a word is taken back": (own("/chat/messages", "said", None), "xd", "xd", "xd", ""),
    "a word to the team is taken back": (own("/chat/messages", "team", None), "xd", "xd", "xd", "xd"),
    "a room is read": (
        lambda a: a.put(f"/chat/rooms/{a.room}/read", a.owner, messageId=a.said),
        "",
        "",
        "",
        "",
    ),
    "somebody applies": (
        lambda a: a.post("/applications", None, fullName="R", email="r@example.com"),
        "ac nn",
        "ac nn",
        "",
        "",
    ),
    "an application is rejected": (
        lambda a: a.put(f"/applications/{a.application}/reject", a.owner, reason="No"),
        "au",
        "au",
        "",
        "",
    ),
    "an application is approved": (
        lambda a: a.put(f"/applications/{a.application}/approve", a.owner),
        "uc au",
        "uc au",
        "",
        "",
    ),
    "an application is deleted": (of("application", None), "ad", "ad", "", ""),
    "a person is made": (
        new("/users", "owner", lambda a: {"email": "b@example.com", "displayName": "B"}),
        "uc",
        "uc",
        "",
        "",
    ),
    "a profile is edited": (lambda a: a.put(f"/users/{a.editor.id}", a.editor, location="Pune"), "uu", "uu", "uu", ""),
    "a manager's profile is edited": (
        lambda a: a.put(f"/users/{a.moderator.id}", a.owner, location="Pune"),
        "uu",
        "uu",
        "",
        "",
    ),
    "a manager is removed": (lambda a: a.delete(f"/users/{a.leaver.id}", a.owner), "ud", "ud", "", ""),
    "a word to editors": (
        new("/notifications", "owner", lambda a: {"title": "x", "message": "x", "to": "editors"}),
        "",
        "",
        "nn",
        "nn",
    ),
    "a notification is read": (lambda a: a.put("/notifications/read-all", a.editor), "", "", "", ""),
    # These stay, out of the editor's sight: what the editor was told of them before must not be replayed.
    "an approved task changes hands": (of("done", lambda a: {"assignedTo": a.other.id}), "tu", "tu", "tu", "tc nn"),
    "nobody comes any more": (of("jour_fixe", lambda a: {"attendees": []}), "mu", "mu", "mu", ""),
}


@pytest.mark.parametrize("what", TABLE)
def test_each_viewer_gets_these_events_and_no_others(people, agency, what):
    change, *expected = TABLE[what]
    agency.leaver = people.moderator()
    marks = {name: agency.api.get("/api/events", by).json["lastEventId"] for name, by in agency.viewers.items()}
    change(agency)
    for (name, by), names in zip(agency.viewers.items(), expected, strict=True):
        found = [event["event"] for event in agency.events(by, marks[name])]
        assert sorted(found) == sorted(SHORT[short] for short in names.split()), name


SHOWN_AT = {
    "task": "/api/tasks/{}",
    "payout": "/api/payouts/{}",
    "meeting": "/api/meetings/{}",
    "application": "/api/applications/{}",
    "user": "/api/users/{}",
}


def test_whatever_is_replayed_can_be_read_over_rest_by_the_same_person(people, agency):
    """After all of the table, from the very first event on, but for the parting words."""
    agency.leaver = people.moderator()
    for change, *_ in TABLE.values():
        change(agency)
    with agency.api.app.app_context():
        beginning = event_id(0)
    for by in agency.viewers.values():
        notes = {note["id"] for note in agency.api.pages("/api/notifications", by)}
        messages = {
            message["id"]
            for room in agency.api.pages("/api/chat/rooms", by)
            for message in agency.api.pages("/api/chat/messages", by, room=room["room"])
            if message["message"] is not None
        }
        replayed = agency.events(by, beginning)
        assert {"new_notification", "new_message"} <= {event["event"] for event in replayed}
        for event in replayed:
            check_shown(agency.api, by, event, notes, messages)


def check_shown(api, by, event, notes, messages):
    name, data = event["event"], event["data"]
    if name.endswith(("_deleted", "_removed")) or set(data.get("updates", {})) in ({"assignedTo"}, {"attendees"}):
        return
    if name == "new_notification":
        assert data["notification"]["id"] in notes
    elif name in ("new_message", "message_updated"):
        assert (data["id"] if name == "new_message" else data["message"]["id"]) in messages
    else:
        kind = name.partition("_")[0]
        key = data[kind]["id"] if kind in data else data[f"{kind}Id"]
        assert api.get(SHOWN_AT[kind].format(key), by).status_code == 200, (by.name, event)
