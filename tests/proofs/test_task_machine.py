"""Tasks against a model in memory: everything that owner, moderator, editors and strangers may try."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from conftest import Someone
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from .machines import PARTS, Agency, Machine, prove

# Coverage would take as long again, and other tests are there for it.
pytestmark = [pytest.mark.database, pytest.mark.no_cover]

STATUSES, APPROVALS = ("pending", "in-progress", "completed", "blocked"), ("reviewing", "need-changes", "approved")
HANDS_IN = {"status", "blockedReason", "editedFileLink"}
BOTH = ("https://example.com/cut/1", "https://example.com/cut/2")
# `assignedTo` is a place in the list of editors, or a word.
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Wedding", "Anniversary"]),
        "status": st.sampled_from(STATUSES),
        "blockedReason": st.sampled_from(["No sound", "", None]),
        "editedFileLink": st.sampled_from([*BOTH, "", None]),
        "approvalStatus": st.sampled_from(APPROVALS),
        "priority": st.sampled_from(["low", "high"]),
        "assignedTo": st.sampled_from([0, 1, 2, None, "nobody"]),
    },
)
OF_EDITORS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(STATUSES),
        "blockedReason": st.sampled_from(["No sound", "", None]),
        "editedFileLink": st.sampled_from([*BOTH, None]),
    },
)
WHICH = st.integers(0, 7)
BOSSES = st.sampled_from(["owner", "moderator"])


@dataclass
class Task:
    """A task as the contract has it."""

    id: str
    number: str
    name: str = "Film"
    status: str = "pending"
    blockedReason: str | None = None  # noqa: N815 - as it is sent
    editedFileLink: str | None = None  # noqa: N815 - as above
    approvalStatus: str = "reviewing"  # noqa: N815 - as above
    priority: str = "medium"
    assignedTo: str | None = None  # noqa: N815 - as above
    version: int = 1


class Refused(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def changed(task: Task, sent: dict[str, Any], *, by_manager: bool) -> Task:
    """What a change makes of a task. Raises `Refused`."""
    sent = {name: value or None for name, value in sent.items()}
    if not by_manager:
        sent |= handed_in(task, sent)
    if sent.get("assignedTo") == "nobody":
        raise Refused(422)
    after = replace(task, **sent)
    reopens = sent.get("approvalStatus") == "need-changes"
    if reopens and (task.approvalStatus != "need-changes" or after.status == "completed"):
        after.status = "in-progress"
    if after.approvalStatus == "approved" and after.status != "completed":
        if "approvalStatus" in sent:
            raise Refused(409)
        after.approvalStatus = "reviewing"
    if after.status == "blocked" and not after.blockedReason:
        raise Refused(422)
    if after.status != "blocked":
        after.blockedReason = None
    if after != task:
        after.version = task.version + 1
    return after


def handed_in(task: Task, sent: dict[str, Any]) -> dict[str, Any]:
    """What follows from an editor's own change. Raises `Refused`."""
    if sent.keys() - HANDS_IN:
        raise Refused(403)
    if task.approvalStatus == "approved" and sent:
        raise Refused(409)
    link, same = sent.get("editedFileLink"), sent.get("editedFileLink") == task.editedFileLink
    if link and not (same and sent.get("status", "completed") != "completed"):
        return {"status": "completed", "approvalStatus": "reviewing"}
    return {}


class TaskMachine(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[str, Task] = {}
        self.gone: dict[str, int] = {}  # and their versions
        self.numbers: set[str] = set()
        self.touched: str | None = None

    # -- helpers -------------------------------------------------------------------------------------------------------

    def one(self, which: int) -> Task:
        tasks = list(self.tasks.values())
        return tasks[which % len(tasks)]

    def sent(self, changes: dict[str, Any]) -> dict[str, Any]:
        who = changes.get("assignedTo")
        return changes | ({"assignedTo": self.editors[who % len(self.editors)].id} if isinstance(who, int) else {})

    def boss(self, name: str) -> Someone:
        return getattr(self, name)

    def editor_of(self, task: Task) -> Someone | None:
        return next((editor for editor in self.editors if editor.id == task.assignedTo), None)

    def is_as_modelled(self, found: dict[str, Any], task: Task) -> None:
        assert found["taskNumber"] == task.number
        assert {name: found[name] for name in asdict(task) if name != "number"} == {
            name: value for name, value in asdict(task).items() if name != "number"
        }
        assert (found["completedAt"] is not None) == (task.status == "completed")
        assert (found["assignee"] or {}).get("id") == task.assignedTo

    def try_to_change(self, task: Task, sent: dict[str, Any], by: Someone, *, by_manager: bool) -> None:
        before = self.traces()
        try:
            after = changed(task, sent, by_manager=by_manager)
        except Refused as refused:
            self.expect(refused.status, "PUT", f"/tasks/{task.id}", by, sent)
            assert self.traces() == before
            return
        found = self.expect(200, "PUT", f"/tasks/{task.id}", by, sent)
        self.is_as_modelled(found, after)
        assert (self.traces() == before) == (after == task)
        self.tasks[task.id], self.touched = after, task.id

    # -- what may be done ----------------------------------------------------------------------------------------------

    @rule(by=BOSSES, changes=CHANGES)
    def hand_out(self, by, changes):
        sent = {"name": "Film", "deadline": "2031-01-01", **self.sent(changes)}
        blank = Task("", "", name="")
        try:
            made = changed(blank, sent_without_date(sent), by_manager=True)
        except Refused as refused:
            self.expect(refused.status, "POST", "/tasks", self.boss(by), sent)
            return
        found = self.expect(201, "POST", "/tasks", self.boss(by), sent)
        task = replace(made, id=found["id"], number=found["taskNumber"], version=1)
        assert task.number not in self.numbers
        self.numbers.add(task.number)
        self.is_as_modelled(found, task)
        self.tasks[task.id] = task

    @precondition(lambda self: self.tasks)
    @rule(by=BOSSES, which=WHICH, changes=CHANGES)
    def change(self, by, which, changes):
        self.try_to_change(self.one(which), self.sent(changes), self.boss(by), by_manager=True)

    @precondition(lambda self: self.tasks)
    @rule(which=WHICH, changes=st.one_of(OF_EDITORS, CHANGES), as_read=st.booleans())
    def hand_in(self, which, changes, as_read):
        """A form may send the link back as it read it."""
        task = self.one(which)
        if by := self.editor_of(task):
            link = {"editedFileLink": task.editedFileLink} if as_read else {}
            self.try_to_change(task, self.sent(changes) | link, by, by_manager=False)

    @precondition(lambda self: self.tasks)
    @rule(by=BOSSES, which=WHICH, changes=OF_EDITORS)
    def approve_and_hand_in(self, by, which, changes):
        """What is approved is its editor's no more; by other rules alone they hardly ever meet one."""
        task = self.one(which)
        approved = {"status": "completed", "approvalStatus": "approved"}
        theirs = {} if self.editor_of(task) else {"assignedTo": self.editors[0].id}
        self.try_to_change(task, approved | theirs, self.boss(by), by_manager=True)
        self.try_to_change(self.tasks[task.id], changes, self.editor_of(self.tasks[task.id]), by_manager=False)

    @precondition(lambda self: self.tasks)
    @rule(by=BOSSES, which=WHICH, verdict=st.sampled_from(APPROVALS))
    def judge(self, by, which, verdict):
        self.try_to_change(self.one(which), {"approvalStatus": verdict}, self.boss(by), by_manager=True)

    @precondition(lambda self: self.tasks)
    @rule(by=BOSSES, which=WHICH)
    def delete(self, by, which):
        task = self.one(which)
        self.expect(204, "DELETE", f"/tasks/{task.id}", self.boss(by))
        self.gone[task.id] = self.tasks.pop(task.id).version + 1

    @precondition(lambda self: self.tasks)
    @rule(which=WHICH)
    def leave(self, which):
        """Somebody is removed, and somebody else comes: open tasks are nobody's, completed ones stay theirs."""
        who = self.editors.pop(which % len(self.editors))
        self.expect(204, "DELETE", f"/users/{who.id}", self.owner)
        self.expect(401, "GET", "/tasks", who)
        for task in self.tasks.values():
            if task.assignedTo == who.id and task.status != "completed":
                self.tasks[task.id] = replace(task, assignedTo=None, version=task.version + 1)
        self.editors.append(self.people.editor())

    # -- what may not --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.tasks)
    @rule(which=WHICH, changes=CHANGES, method=st.sampled_from(["GET", "PUT", "DELETE"]))
    def meddle(self, which, changes, method):
        """Another editor doesn't know of it."""
        task = self.one(which)
        for editor in self.editors:
            if editor.id != task.assignedTo:
                body = self.sent(changes) if method == "PUT" else None
                self.expect(403 if method == "DELETE" else 404, method, f"/tasks/{task.id}", editor, body)
        self.touched = task.id

    @precondition(lambda self: self.gone)
    @rule(which=WHICH, by=BOSSES, method=st.sampled_from(["GET", "PUT", "DELETE"]))
    def bring_back(self, which, by, method):
        key = list(self.gone)[which % len(self.gone)]
        self.expect(404, method, f"/tasks/{key}", self.boss(by), {"name": "Film"} if method == "PUT" else None)

    # -- what is seen --------------------------------------------------------------------------------------------------

    @rule(by=BOSSES, status=st.sampled_from(STATUSES), approval=st.sampled_from(APPROVALS))
    def look_for(self, by, status, approval):
        found = self.every(f"/tasks?status={status}&approvalStatus={approval}", self.boss(by))
        wanted = {t.id for t in self.tasks.values() if t.status == status and t.approvalStatus == approval}
        assert {row["id"] for row in found} == wanted

    @rule()
    def look_at_everything(self):
        self.compare(self.every("/tasks", self.owner), self.tasks.values())
        for editor in self.editors:
            mine = [task for task in self.tasks.values() if task.assignedTo == editor.id]
            self.compare(self.every("/tasks", editor), mine)

    def compare(self, rows: list[dict[str, Any]], tasks: Iterable[Task]) -> None:
        expected = {task.id: task for task in tasks}
        assert len(rows) == len(expected)
        for row in rows:
            self.is_as_modelled(row, expected[row["id"]])

    @invariant()
    def what_was_touched_is_as_modelled(self):
        if self.touched in self.tasks:
            found = self.expect(200, "GET", f"/tasks/{self.touched}", self.moderator)
            self.is_as_modelled(found, self.tasks[self.touched])
        self.touched = None

    def teardown(self):
        self.look_at_everything()
        versions = self.gone | {task.id: task.version for task in self.tasks.values()}
        assert self.audited(versions) == versions


def sent_without_date(sent: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name != "deadline"}


@pytest.mark.parametrize("part", PARTS)
def test_tasks_do_what_the_model_does(app, part, measured):
    TaskMachine.app, TaskMachine.agency = app, Agency(app)
    prove(TaskMachine, part, measured)
