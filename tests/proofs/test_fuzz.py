"""Requests made of the OpenAPI document itself, as five identities: nothing fails, and nothing is a 5xx."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Someone
from flask import Flask
from live import Live
from servers import ROOT
from talk import made
from test_permissions import rows

from idyll.openapi import document
from idyll.openapi_words import ASKING

from . import LONG, size

pytestmark = pytest.mark.only_on("postgresql")
IDENTITIES = ("stranger", "pending", "editor", "moderator", "owner")
EXAMPLES = size(2, 20)  # of each operation in each phase that draws them at random
PHASES = "examples,coverage,fuzzing,stateful"
AT_LEAST = size(500, 5_000)  # cases for each identity
# In the short form each identity has its share of the operations, so that every operation is met.
SHARES = size(len(IDENTITIES), 1)
SEED = os.environ.get("PROOFS_SEED", "6")
OF_EACH = size(6, 30)


def things(live: Live, who: Someone) -> dict[str, list[str]]:
    """Enough of everything, some of it theirs, for all that is deleted on the way."""
    boss, other = live.people.owner(name="Boss"), live.people.editor(name="Other")
    pending = who.name.startswith("Pending")

    def make(path: str, by: Someone, **body: Any) -> str:
        return made(live.api.post(f"/api/{path}", by, body))["id"]

    theirs = other if pending else who
    ids: dict[str, list[str]] = {name: [] for name in ("task_id", "meeting_id", "payout_id", "message_id")}
    for n in range(OF_EACH):
        mine = (theirs, other)[n % 2]
        task = {"deadline": "2031-01-01", "assignedTo": mine.id}
        done = {"status": "completed", "approvalStatus": "approved"} if n // 2 % 2 else {}
        ids["task_id"].append(make("tasks", boss, name=f"Film {n}", **task, **done))
        seats = {"date": "2031-01-01", "time": "10:00", "attendees": [mine.id]}
        ids["meeting_id"].append(make("meetings", boss, title=f"Round {n}", **seats))
        ids["payout_id"].append(make("payouts", mine, projectName=f"Film {n}", amount=n + 1.25))
        ids["message_id"].append(make("chat/messages", mine, message=f"Take {n}"))
    forms = [
        live.api.post("/api/applications", json={"fullName": "A", "email": f"a{n}@example.com"}).json
        for n in range(OF_EACH)
    ]
    ids["application_id"] = [form["id"] for form in forms]
    ids["status_token"] = [form["statusToken"] for form in forms]
    others = [boss.id, other.id, *(live.people.editor().id for _ in range(OF_EACH))]
    ids["user_id"] = [key for another in others for key in (who.id, another)]
    if not pending:
        notes = live.api.get("/api/notifications", who).json["data"]
        ids["notification_id"] = [note["id"] for note in notes] or [boss.id]
    return ids


def share_of(identity: str, app: Flask) -> list[str]:
    """What the command includes of the document."""
    operations = sorted(o["operationId"] for item in document(app)["paths"].values() for o in operations_of(item))
    mine = operations[IDENTITIES.index(identity) % SHARES :: SHARES]
    return [part for name in mine for part in ("--include-operation-id", name)]


def operations_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for operation in item.values() if "operationId" in operation]


def open_to(identity: str) -> set[str]:
    """The operations that they may succeed with, by the policy; a member's own things are there for each of them."""
    callers = {"stranger": ["nobody"], "pending": ["pending"]}.get(identity, [identity, "editor"])
    found: set[str] = set()
    for line, cells in rows():
        method, path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", line.partition(" #")[0]).split()
        if path.startswith("/api/") and not path.endswith(".json") and any(cells[caller] < 300 for caller in callers):
            found |= {f"{method} {path}", f"{method.replace('PUT', 'PATCH')} {path}"}
    own = {"PUT /api/users/{user_id}", "PATCH /api/users/{user_id}", "DELETE /api/auth/sessions/{session_id}"}
    codes = {"POST /api/auth/two-step/confirm", "POST /api/auth/two-step/prove"}
    return found | {"stranger": set(), "pending": own}.get(identity, own | codes)


def told(answers: list[tuple[str, int, int]], measured: Callable[[str, Any], None]) -> set[str]:
    """The operations that succeeded; how the answers are spread stands at the end of the run."""
    spread, done = Counter[str](), Counter[str]()
    for operation, status, times in answers:
        spread[f"{status // 100}xx"] += times
        if status < 300 and not operation.startswith("OPTIONS "):
            done[operation] += times
    measured("answers", ", ".join(f"{times} {kind}" for kind, times in sorted(spread.items())))
    measured("operations that succeeded", len(done))
    measured("successes of each", ", ".join(f"{operation} {times}" for operation, times in done.most_common()))
    return set(done)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_what_the_document_allows_is_answered_as_it_says(identity, live, tmp_path, measured):
    live = live.start(CHAT_FLOOD_LIMIT="1000000", LOG_LEVEL="warning")
    kind = "editor" if identity == "stranger" else identity
    who = getattr(live.people, kind)(name=f"{identity.title()} fuzz")
    world = tmp_path / "world.json"
    ids = things(live, who)
    world.write_text(
        json.dumps(
            {
                "user_id": "" if identity == "stranger" else who.id,
                "database": live.inside.config["SQLALCHEMY_DATABASE_URI"],
                "secrets": {name: live.inside.config[name] for name in ("SECRET_KEY", "JWT_SECRET_KEY")},
                "ids": ids,
                "example_key": ASKING["Idempotency-Key"][1],
                "example_tag": ASKING["If-Match"][1],
            }
        )
    )
    report, config = tmp_path / "report.json", Path(__file__).with_name("schemathesis.toml")
    run = subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "--config-file", config, "run", f"{live.url}/api/openapi.json"),
            *("--checks", "all", "--phases", PHASES, "--max-examples", str(EXAMPLES)),
            *share_of(identity, live.inside),
            *("--seed", SEED, "--no-color", "--report", "json", "--report-json-path", report),
        ],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "FUZZ_WORLD": str(world)},
        capture_output=True,
        text=True,
        timeout=3_000,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    cases = int(re.search(r"(\d+) generated", run.stdout)[1])
    measured("cases", cases)
    assert cases >= AT_LEAST
    done = told(json.loads((tmp_path / "answers.json").read_text()), measured)
    if LONG:
        # By the tokens that it is given a stranger who registers goes on as somebody pending; all others may do that.
        assert open_to(identity) <= done <= open_to(identity) | open_to("pending")
    log = live.app.log.read_text()
    assert "Traceback" not in log, log[-5_000:]
