"""What the state machines share: an agency without anything in it, people, requests, and how long they run.

A machine is a set of hypothesis rules beside a model in memory, and `prove(TaskMachine, measured)` runs it. Each rule
of a `Machine` sends one request through the whole application, asks its model what the answer must be, and compares.
"""

import gc
import io
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import orjson
from conftest import KEPT_TABLES, People, Someone, empty_tables
from flask import Flask
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from sqlalchemy import delete, exists, func, insert, literal, select, union_all
from werkzeug.test import run_wsgi_app

from idyll.audit.models import AuditRow
from idyll.database import execute
from idyll.events.models import Event
from idyll.extensions import db
from idyll.limits import forget_counts
from idyll.notifications.models import Notification

from . import LONG, size

# The long form goes side by side, each part from a seed of its own.
PARTS = range(int(os.environ.get("PROOFS_PARTS", size(1, 2))))
EXAMPLES, STEPS = int(os.environ.get("PROOFS_EXAMPLES", size(200, 2_000))) // len(PARTS), 50
SEED = int(os.environ.get("PROOFS_SEED") or (secrets.randbits(32) if LONG else 6))
# What stands on every request. werkzeug's own client builds it anew, at a sixth of the time of these machines.
ENVIRON = {
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "REMOTE_ADDR": "127.0.0.1",
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
TRACES = select(
    *[select(func.count()).select_from(table).scalar_subquery() for table in (AuditRow, Event, Notification)]
)
TABLES = [
    table for table in reversed(db.metadata.sorted_tables) if table.name not in {*KEPT_TABLES, AuditRow.__tablename__}
]
FILLED = union_all(*[select(literal(table.name)).where(exists(table.select())) for table in TABLES])


class Counted(RuleBasedStateMachine):
    """Counts what it did."""

    app: Flask
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.done["examples"] += 1
        self.done["steps"] -= 1  # it looks once before the first

    def check_invariants(self, *args: Any) -> None:
        super().check_invariants(*args)
        self.done["steps"] += 1

    def audited(self, keys: Iterable[str]) -> dict[str, int]:
        """How many audit rows there are of each thing."""
        rows = select(AuditRow.object_id, func.count()).where(AuditRow.object_id.in_([*keys]))
        with self.app.app_context():
            return dict(execute(rows.group_by(AuditRow.object_id)).all())


class Agency:
    """An owner, a moderator, two editors and nothing else, put back before each run and only now and then made anew.

    The audit can't be emptied by who uses the tables, so it grows until all is made anew. Nothing asks what is in it,
    only whether it grew.
    """

    RUNS = 40  # until it is made anew: the audit is still counted in no time, and no token has ended

    def __init__(self, app: Flask) -> None:
        self.app, self.runs = app, 0

    def ready(self) -> "Agency":
        with self.app.app_context():
            if self.runs % self.RUNS == 0:
                self.make()
            else:
                self.put_back()
        self.runs += 1
        forget_counts()
        return self

    def make(self) -> None:
        empty_tables()
        people = People(self.app)
        self.owner, self.moderator = people.owner(), people.moderator()
        self.editors = [people.editor(), people.editor()]
        with db.engine.begin() as connection:
            found = [(table, connection.execute(select(table)).mappings().all()) for table in reversed(TABLES)]
        self.rows = [(table, [dict(row) for row in rows]) for table, rows in found if rows]

    def put_back(self) -> None:
        with db.engine.begin() as connection:
            filled = set(connection.scalars(FILLED))
            for table in TABLES:
                if table.name in filled:
                    connection.execute(delete(table))
            for table, rows in self.rows:
                connection.execute(insert(table), rows)


class Machine(Counted):
    """One run: an empty agency with an owner, a moderator and two editors."""

    agency: Agency

    def __init__(self) -> None:
        super().__init__()
        agency = self.agency.ready()
        self.owner, self.moderator, self.editors = agency.owner, agency.moderator, [*agency.editors]
        self.people = People(self.app)
        self.people.count = 2 + len(self.editors)

    def ask(self, method: str, path: str, by: Someone | None = None, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer; never a 5xx."""
        self.done["requests"] += 1
        path, _, query = path.partition("?")
        environ = {**ENVIRON, "REQUEST_METHOD": method, "PATH_INFO": f"/api{path}", "QUERY_STRING": query}
        sent = b"" if body is None else orjson.dumps(body)
        environ["wsgi.input"] = io.BytesIO(sent)
        if sent:
            environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent))}
        if by:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {by.token}"
        parts, status, _ = run_wsgi_app(self.app, environ, buffered=True)
        answer = b"".join(parts)
        code = int(status[:3])
        assert code < 500, (method, path, body, answer)
        return code, orjson.loads(answer) if answer else None

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
            return list(execute(TRACES, {}).one())

    @contextmanager
    def no_trace(self) -> Iterator[None]:
        """What is done within leaves none."""
        before = self.traces()
        yield
        assert self.traces() == before


@contextmanager
def little_collecting() -> Iterator[None]:
    """What was there before is not looked through again and again for garbage."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def prove(machine: type[Counted], part: int, measured: Callable[[str, Any], None]) -> None:
    """Runs it at the size of the short or the long form; the long one looks somewhere else each time."""
    Counted.done.clear()
    begun = time.monotonic()
    how = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    measured("seed", SEED + part)
    with little_collecting():
        run_state_machine_as_test(seed(SEED + part)(machine), settings=how)
    measured("seconds", round(time.monotonic() - begun))
    for what, count in Counted.done.items():
        measured(what, count)
