"""What the state machines share: an agency without anything in it, people, requests, and how long they run.

A machine is a `Machine` of hypothesis rules beside a model in memory. `prove(app, TaskMachine)` runs it: each rule
sends one request by the test client, asks its model what the answer must be, and compares.
"""

import os
from typing import Any

import orjson
from conftest import People, Someone, empty_tables
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from sqlalchemy import func, select

from idyll.audit.models import AuditRow
from idyll.events.models import Event
from idyll.extensions import db
from idyll.limits import forget_counts
from idyll.notifications.models import Notification

from . import LONG, size

EXAMPLES, STEPS = size(200, 2_000), 50
TRACES = (AuditRow, Event, Notification)


class Machine(RuleBasedStateMachine):
    """One run: an empty agency with an owner, a moderator and two editors."""

    app: Flask
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        with self.app.app_context():
            empty_tables()
        forget_counts()
        self.client = self.app.test_client()
        self.people = People(self.app)
        self.owner, self.moderator = self.people.owner(), self.people.moderator()
        self.editors = [self.people.editor(), self.people.editor()]

    def ask(self, method: str, path: str, by: Someone | None = None, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer; never a 5xx."""
        type(self).steps += 1
        headers = {"Authorization": f"Bearer {by.token}"} if by else {}
        more = {} if body is None else {"data": orjson.dumps(body), "content_type": "application/json"}
        answer = self.client.open(f"/api{path}", method=method, headers=headers, **more)
        assert answer.status_code < 500, (method, path, body, answer.get_data(as_text=True))
        return answer.status_code, answer.json if answer.data else None

    def expect(self, expected: int, method: str, path: str, by: Someone | None = None, body: Any = None) -> Any:
        status, found = self.ask(method, path, by, body)
        assert status == expected, f"{method} {path} {body}: {status} instead of {expected}: {found}"
        return found

    def every(self, path: str, by: Someone) -> list[dict[str, Any]]:
        """All rows of a list, page after page."""
        rows, cursor = [], ""
        while cursor is not None:
            found = self.expect(200, "GET", f"{path}{'&' if '?' in path else '?'}limit=100{cursor}", by)
            rows += found["data"]
            cursor = found["nextCursor"] and f"&cursor={found['nextCursor']}"
        return rows

    def traces(self) -> list[int]:
        """How many audit rows, events and notifications there are."""
        with self.app.app_context():
            counted = [select(func.count()).select_from(table).scalar_subquery() for table in TRACES]
            return list(db.session.execute(select(*counted)).one())


def prove(app: Flask, machine: type[Machine]) -> int:
    """Runs it at the size of the short or the long form; gives how many requests it sent."""
    machine.app, machine.steps = app, 0
    how = settings(
        max_examples=int(os.environ.get("PROOFS_EXAMPLES", EXAMPLES)),
        stateful_step_count=STEPS,
        deadline=None,
        # The short form is the same at each run; the long one looks somewhere else each time.
        derandomize=not LONG,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(machine, settings=how)
    return machine.steps
