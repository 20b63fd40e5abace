"""The audit is sealed beside the requests: soon after each commit, by whichever process, late rows too."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live import Live
from sqlalchemy import text
from talk import SOON, until

from idyll.audit import chain
from idyll.extensions import db
from idyll.ids import uuid7

pytestmark = pytest.mark.only_on("postgresql", "mariadb")

FILM = {"name": "Film", "deadline": "2031-01-01"}
UNSEALED = "SELECT count(*) FROM audit LEFT JOIN audit_seals ON audit_id = audit.id WHERE position IS NULL"
LIKE_ANOTHER = (
    "INSERT INTO audit (id, at, action, object_type, object_id, changes)"
    " SELECT :key, at, action, object_type, object_id, changes FROM audit WHERE id = :like"
)


def look(live: Live, sql: str) -> Any:
    with live.inside.app_context(), db.engine.connect() as connection:
        return connection.execute(text(sql)).scalar()


def verified(live: Live) -> chain.Verdict:
    with live.inside.app_context():
        found = chain.verify()
    assert found.faults == []
    assert found.count == look(live, "SELECT count(*) FROM audit")
    return found


def test_a_row_is_sealed_soon_after_its_commit(live: Live) -> None:
    owner = live.people.owner()
    # Whom nobody has called for a while leaves the database alone.
    assert live.api.get("/api/auth/me", owner).status_code == 200
    until(lambda: look(live, UNSEALED) == 0, SOON)
    for _ in range(3):
        assert live.api.post("/api/tasks", owner, FILM).status_code == 201
        until(lambda: look(live, UNSEALED) == 0, SOON)
    assert verified(live).count == 4


def test_two_processes_seal_one_chain(live: Live) -> None:
    other = live.start()
    owner = live.people.owner()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: (live, other)[n % 2].api.post("/api/tasks", owner, FILM), range(120)))
    assert {answer.status_code for answer in made} == {201}
    until(lambda: look(live, UNSEALED) == 0, SOON)
    assert verified(live).count == 121


def test_what_is_committed_later_than_rows_that_were_noted_after_it_is_sealed_too(live: Live) -> None:
    owner = live.people.owner()
    first = live.api.post("/api/tasks", owner, FILM)
    assert first.status_code == 201
    like = str(look(live, "SELECT id FROM audit ORDER BY id DESC LIMIT 1"))
    with live.inside.app_context(), db.engine.begin() as connection:
        # Before the next one, and open until after it is sealed.
        connection.execute(text(LIKE_ANOTHER), {"key": uuid7(), "like": like})
        time.sleep(0.01)
        assert live.api.post("/api/tasks", owner, FILM).status_code == 201
        until(lambda: look(live, UNSEALED) == 0, SOON)
    assert look(live, "SELECT count(*) FROM audit_seals") == 3
    until(lambda: look(live, UNSEALED) == 0 and look(live, "SELECT count(*) FROM audit_seals") == 4, SOON)
    verified(live)
