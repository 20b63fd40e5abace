"""The rights matrix in every state of a thing: one table written by hand. A new state without rows fails."""

import re

import pytest
from conftest import Api, People, Someone
from test_permissions import World

from idyll.applications.models import Decision
from idyll.limits import forget_counts
from idyll.payouts.models import PayoutStatus
from idyll.tasks.models import Approval, TaskStatus
from idyll.users.roles import Status

pytestmark = pytest.mark.database

CALLERS = ("pending", "editor", "another", "moderator", "owner")

# Things are the editor's: assigned to them, asked for by them, attended, written or got; an application is of their
# e-mail's claim, and the person is an editor who is none of the callers. A line is what is asked of a thing in a
# state, then what each caller gets.
POLICY = """
                                                                                   pending editor another moder. owner
task         get      pending|in-progress|reopened|blocked|handed-in|sent-back|approved  403    200     404    200   200
task         get      deleted                                                           403    404     404    404   404
task         status   pending|in-progress|reopened|blocked|handed-in|sent-back          403    200     404    200   200
task         status   approved                                                          403    409     404    200   200
task         status   deleted                                                           403    404     404    404   404
task         complete pending|in-progress|reopened|blocked|handed-in|sent-back          403    200     404    200   200
task         complete approved                                                          403    409     404    200   200
task         complete deleted                                                           403    404     404    404   404
task         link     pending|in-progress|reopened|blocked|handed-in|sent-back          403    200     404    200   200
task         link     approved                                                          403    409     404    200   200
task         link     deleted                                                           403    404     404    404   404
task         name     pending|in-progress|reopened|blocked|handed-in|sent-back|approved  403   403     404    200   200
task         name     deleted                                                           403    404     404    404   404
task         approve  pending|in-progress|reopened|blocked                              403   403     404    409   409
task         approve  handed-in|sent-back|approved                                      403   403     404    200   200
task         approve  deleted                                                           403    404     404    404   404
task         reopen   pending|in-progress|reopened|blocked|handed-in|sent-back|approved  403   403     404    200   200
task         reopen   deleted                                                           403    404     404    404   404
task         delete   pending|in-progress|reopened|blocked|handed-in|sent-back|approved  403   403    403    204   204
task         delete   deleted                                                           403   403    403    404   404
payout       get      pending|approved|paid|rejected|cancelled                          403    200     404    200   200
payout       note     pending                                                           403    200     404   403   403
payout       note     approved|paid|rejected|cancelled                                  403    409     404   403   403
payout       approve  pending                                                           403   403     404    200   200
payout       approve  approved|paid|rejected|cancelled                                  403   403     404    409   409
payout       reject   pending|approved                                                  403   403     404    200   200
payout       reject   paid|rejected|cancelled                                           403   403     404    409   409
payout       pay      pending|paid|rejected|cancelled                                   403   403     404    409   409
payout       pay      approved                                                          403   403     404    200   200
payout       delete   pending|cancelled                                                 403    204     404   403   403
payout       delete   approved|paid|rejected                                            403    409     404   403   403
application  get      pending|approved|rejected                                         403   403    403    200   200
application  approve  pending|approved|rejected                                         403   403    403    200   200
application  reject   pending|rejected                                                  403   403    403    200   200
application  reject   approved                                                          403   403    403    409   409
application  delete   pending|approved|rejected                                         403   403    403    204   204
person       get      pending|rejected                                                  403    404     404    200   200
person       get      approved                                                          403    200     200    200   200
person       get      removed                                                           403    404     404    404   404
person       profile  pending|rejected                                                  403    404     404    200   200
person       profile  approved                                                          403   403    403    200   200
person       profile  removed                                                           403    404     404    404   404
person       role     pending|rejected                                                  403    404     404   403   200
person       role     approved                                                          403   403    403   403   200
person       role     removed                                                           403    404     404    404   404
person       approve  pending|rejected                                                  403    404     404    200   200
person       approve  approved                                                          403   403    403    200   200
person       approve  removed                                                           403    404     404    404   404
person       reject   pending|rejected                                                  403    404     404    200   200
person       reject   approved                                                          403   403    403    409   409
person       reject   removed                                                           403    404     404    404   404
person       invite   pending|approved                                                  403   403    403    201   201
person       invite   rejected                                                          403   403    403    409   409
person       invite   removed                                                           403   403    403    404   404
person       delete   pending|rejected                                                  403    404     404    204   204
person       delete   approved                                                          403   403    403    204   204
person       delete   removed                                                           403    404     404    404   404
meeting      get      planned|cancelled                                                 403    200     404    200   200
meeting      title    planned                                                           403   403    403    200   200
meeting      title    cancelled                                                         403   403    403    409   409
meeting      delete   planned|cancelled                                                 403   403    403    204   204
message      text     sent|edited                                                       403    200     404   403   403
message      text     deleted                                                           403    409     404   403   403
message      delete   sent|edited|deleted                                               403    204     404    204   204
notification mark     unread|read                                                       403    200     404    404   404
notification delete   unread|read                                                       403    204     404    404   404
"""

LINK = "https://drive.example.com/edited"
BODIES: dict[str, dict] = {
    "task status": {"status": "in-progress"},
    "task complete": {"status": "completed"},
    "task link": {"editedFileLink": LINK},
    "task name": {"name": "Another"},
    "task approve": {"approvalStatus": "approved"},
    "task reopen": {"approvalStatus": "need-changes"},
    "payout note": {"note": "By Friday, please"},
    "payout approve": {"status": "approved"},
    "payout reject": {"status": "rejected", "reason": "No."},
    "payout pay": {"status": "paid", "reference": "UTR 1"},
    "application reject": {"reason": "Too early."},
    "person profile": {"location": "Pune"},
    "person role": {"role": "moderator"},
    "person approve": {"status": "approved"},
    "person reject": {"status": "rejected"},
    "meeting title": {"title": "Another"},
    "message text": {"message": "Hello again"},
}
METHODS = {"get": "GET", "delete": "DELETE", "invite": "POST"}  # all else is PUT
TAILS = {
    ("application", "approve"): "/approve",
    ("application", "reject"): "/reject",
    ("person", "invite"): "/invite",
    ("notification", "mark"): "/read",
}
PATHS = {
    "task": "tasks/{}",
    "payout": "payouts/{}",
    "application": "applications/{}",
    "person": "users/{}",
    "meeting": "meetings/{}",
    "message": "chat/messages/{}",
    "notification": "notifications/{}",
}
TASKS = {
    "pending": (TaskStatus.PENDING, Approval.REVIEWING),
    "in-progress": (TaskStatus.IN_PROGRESS, Approval.REVIEWING),
    "reopened": (TaskStatus.IN_PROGRESS, Approval.NEED_CHANGES),
    "blocked": (TaskStatus.BLOCKED, Approval.REVIEWING),
    "handed-in": (TaskStatus.COMPLETED, Approval.REVIEWING),
    "sent-back": (TaskStatus.COMPLETED, Approval.NEED_CHANGES),
    "approved": (TaskStatus.COMPLETED, Approval.APPROVED),
}
STATES = {
    "task": {*TASKS, "deleted"},
    "payout": {*PayoutStatus},
    "application": {*Decision},
    "person": {*Status, "removed"},
    "meeting": {"planned", "cancelled"},
    "message": {"sent", "edited", "deleted"},
    "notification": {"unread", "read"},
}


class Things:
    """One thing in the state that a line asks for."""

    def __init__(self, api: Api, people: People, editor: Someone) -> None:
        self.api, self.people, self.editor = api, people, editor
        self.world = World(api, people, editor)
        self.boss = self.world.boss

    def put(self, path: str, by: Someone, **body: object) -> None:
        answer = self.api.put(f"/api/{path}", by, body)
        assert answer.status_code < 300, answer.get_data(as_text=True)

    def make(self, kind: str, state: str) -> str:
        made: str = getattr(self, kind)(state)
        return made

    def task(self, state: str) -> str:
        body = {"name": "Film", "deadline": "2031-01-01", "assignedTo": self.editor.id}
        key: str = self.api.post("/api/tasks", self.boss, body).json["id"]
        path = f"tasks/{key}"
        if state == "deleted":
            self.api.delete(f"/api/{path}", self.boss)
            return key
        status, approval = TASKS[state]
        self.put(path, self.boss, status=status, blockedReason="No sound" if state == "blocked" else None)
        if approval != Approval.REVIEWING:
            self.put(path, self.boss, approvalStatus=approval)
            self.put(path, self.boss, status=status)
        now = self.api.get(f"/api/{path}", self.boss).json
        assert (now["status"], now["approvalStatus"]) == (status, approval)
        return key

    def payout(self, state: str) -> str:
        key = self.world.payout_id()
        path = f"payouts/{key}"
        if state in ("approved", "paid"):
            self.put(path, self.boss, status="approved")
        if state == "paid":
            self.put(path, self.boss, status="paid", reference="UTR 1")
        if state == "rejected":
            self.put(path, self.boss, status="rejected", reason="No.")
        if state == "cancelled":
            self.api.delete(f"/api/{path}", self.editor)
        return key

    def application(self, state: str) -> str:
        key = self.world.application_id()
        if state != "pending":
            self.put(f"applications/{key}/{'approve' if state == 'approved' else 'reject'}", self.boss)
        return key

    def person(self, state: str) -> str:
        someone = self.people.editor() if state in ("approved", "removed") else self.people.pending()
        if state == "rejected":
            self.put(f"users/{someone.id}", self.boss, status="rejected")
        if state == "removed":
            self.api.delete(f"/api/users/{someone.id}", self.boss)
        return someone.id

    def meeting(self, state: str) -> str:
        key = self.world.meeting_id()
        if state == "cancelled":
            self.api.delete(f"/api/meetings/{key}", self.boss)
        return key

    def message(self, state: str) -> str:
        key = self.world.message_id(f"editor:{self.editor.id}")
        if state == "edited":
            self.put(f"chat/messages/{key}", self.editor, message="Otherwise")
        if state == "deleted":
            self.api.delete(f"/api/chat/messages/{key}", self.editor)
        return key

    def notification(self, state: str) -> str:
        key = self.world.notification_id()
        if state == "read":
            self.put(f"notifications/{key}/read", self.editor)
        return key


def lines() -> list[tuple[str, str, list[str], dict[str, int]]]:
    found = []
    for line in POLICY.strip().splitlines()[1:]:
        if words := line.split():
            kind, what, states, *cells = words
            found.append((kind, what, states.split("|"), dict(zip(CALLERS, map(int, cells), strict=True))))
    return found


def ask(api: Api, kind: str, key: str, what: str, by: Someone) -> int:
    path = "/api/" + PATHS[kind].format(key) + TAILS.get((kind, what), "")
    return api(METHODS.get(what, "PUT"), path, by, BODIES.get(f"{kind} {what}")).status_code


@pytest.mark.parametrize(("kind", "what", "states", "cells"), lines(), ids=["-".join(one[:2]) for one in lines()])
def test_in_every_state_every_caller_gets_what_the_policy_says(
    kind, what, states, cells, api, people, editor, other_editor, moderator, owner, pending
):
    callers = {"pending": pending, "editor": editor, "another": other_editor, "moderator": moderator, "owner": owner}
    things = Things(api, people, editor)
    for state in states:
        forget_counts()
        found = {caller: ask(api, kind, things.make(kind, state), what, by) for caller, by in callers.items()}
        assert found == cells, state


def test_every_state_of_everything_has_a_row_for_whatever_is_asked():
    asked = {(kind, what) for kind, what, _, _ in lines()}
    for kind, what in asked:
        shown = [state for of, asks, states, _ in lines() if (of, asks) == (kind, what) for state in states]
        assert sorted(shown) == sorted(map(str, STATES[kind])), f"{kind} {what}"
    assert {kind for kind, _ in asked} == STATES.keys() == PATHS.keys()
    assert {status for status, _ in TASKS.values()} == set(TaskStatus)
    assert {approval for _, approval in TASKS.values()} == set(Approval)


def test_whatever_may_be_asked_of_a_thing_has_rows(app):
    """By every route that names one thing, and its method."""
    asked = {(PATHS[kind], METHODS.get(what, "PUT"), TAILS.get((kind, what), "")) for kind, what, _, _ in lines()}
    served = {
        (re.sub(r"<id:\w+>", "{}", str(rule)).removeprefix("/api/"), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS", "PATCH"}
        if re.search(r"<id:(?!user_id>$|session_id)\w+>", str(rule)) or str(rule).startswith("/api/users/<")
    }
    served = {(path, method) for path, method in served if "/user/" not in path}
    # What a message and a notification are is seen in their lists.
    assert {(path + tail, method) for path, method, tail in asked} == served
