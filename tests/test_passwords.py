"""How passwords are kept: what a hash costs, which are refused, how many are hashed at a time."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from conftest import CHEAP_HASH, PASSWORD
from doors import log_in, refused
from marshmallow import ValidationError
from servers import ROOT
from sqlalchemy import select, update
from talk import until
from werkzeug.security import check_password_hash, generate_password_hash
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from idyll import concurrency
from idyll.auth import passwords
from idyll.errors import Invalid, Unavailable
from idyll.extensions import db
from idyll.fields import Password
from idyll.users.models import User

pytestmark = pytest.mark.database
OLD = "scrypt:512:8:1"
MIB = 2**20


def stored_of(app, someone):
    with app.app_context():
        return db.session.execute(select(User.password_hash).where(User.id == someone.id)).scalar_one()


def store(app, someone, password_hash):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(update(User.__table__).where(User.id == someone.id).values(password_hash=password_hash))


def test_a_hash_costs_what_owasp_asks_for_and_all_together_fit_a_small_host():
    """OWASP Password Storage Cheat Sheet: N=2^15, r=8, p=3 is one of its minimum settings."""
    name, n, r, p = passwords.METHOD.split(":")
    assert (name, int(n), int(r), int(p)) == ("scrypt", 2**15, 8, 3)
    memory = 128 * int(n) * int(r)
    assert memory * concurrency.PARALLEL_HASHES <= 64 * MIB


def test_on_one_core_passwords_are_hashed_one_after_the_other():
    """By turns they would take each other's place in its cache."""
    alone = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from idyll import concurrency as c; "
    for core, places in ((alone, 1), ("from idyll import concurrency as c; ", min(len(os.sched_getaffinity(0)), 2))):
        asked = [sys.executable, "-c", f"{core}print(c.PARALLEL_HASHES)"]
        assert subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout == f"{places}\n"


def test_every_hash_has_a_salt_of_its_own(app):
    with app.app_context():
        first, second = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)
    assert first != second
    assert all(check_password_hash(one, PASSWORD) for one in (first, second))


def test_a_log_in_raises_the_cost_of_a_hash_that_was_made_cheaper(api, app, editor):
    old = generate_password_hash(PASSWORD, OLD)
    store(app, editor, old)
    assert refused(log_in(api, editor.email, "wrong"), "invalid_credentials")
    assert stored_of(app, editor) == old
    assert log_in(api, editor.email).status_code == 200
    renewed = stored_of(app, editor)
    assert renewed.split("$")[0] == CHEAP_HASH
    assert log_in(api, editor.email).status_code == 200
    assert stored_of(app, editor) == renewed
    assert api.get("/api/auth/me", editor).status_code == 200  # nothing ends by it


def test_a_password_that_was_set_meanwhile_is_not_undone_by_the_old_one_at_new_cost(api, app, editor, monkeypatch):
    store(app, editor, generate_password_hash(PASSWORD, OLD))
    other = generate_password_hash("another-reel-of-film", CHEAP_HASH)
    hashed = passwords.hashed

    def meanwhile(password):
        store(app, editor, other)
        return hashed(password)

    monkeypatch.setattr(passwords, "hashed", meanwhile)
    assert log_in(api, editor.email).status_code == 200
    assert stored_of(app, editor) == other


def test_a_log_in_does_not_fail_for_want_of_a_place_to_raise_the_cost(api, app, editor, monkeypatch):
    def full(_):
        raise Unavailable

    old = generate_password_hash(PASSWORD, OLD)
    store(app, editor, old)
    monkeypatch.setattr(passwords, "hashed", full)
    assert log_in(api, editor.email).status_code == 200
    assert stored_of(app, editor) == old


def test_the_three_thousand_passwords_that_everybody_tries_are_refused():
    accepted = []
    for word in FREQUENCY_LISTS["passwords"][:3000]:
        for written in (word, word.upper(), word.title()):
            try:
                passwords.refuse_common(Password().deserialize(written))
            except (Invalid, ValidationError):
                continue
            accepted.append(written)
    assert accepted == []
    assert len(passwords.common()) >= 3000  # of those that are long enough


def test_who_comes_when_the_queue_is_full_is_told_to_come_again(api, app, editor, monkeypatch):
    monkeypatch.setattr(concurrency, "WAITING_HASHES", 1)
    new = {"email": "n@example.com", "username": "newcomer", "password": PASSWORD}
    with concurrency.a_place():
        for answer in (
            log_in(api, editor.email),
            log_in(api, "nobody"),
            api.post("/api/auth/register", json=new),
            api.post("/api/auth/password/reset", json={"token": "x", "password": PASSWORD}),
            api.delete(f"/api/users/{editor.id}", editor, {"currentPassword": PASSWORD}),
        ):
            assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
    assert log_in(api, editor.email).status_code == 200


def test_a_place_is_given_back_whatever_happens():
    for _ in range(concurrency.WAITING_HASHES + 1):
        with pytest.raises(ZeroDivisionError), concurrency.a_place():
            raise ZeroDivisionError
    with ExitStack() as stack:
        for _ in range(concurrency.PARALLEL_HASHES):
            stack.enter_context(concurrency.a_place())


def test_who_waited_longest_is_next_and_who_comes_back_stands_behind():
    served = []

    def come(name):
        with concurrency.a_place():
            served.append(name)

    with ThreadPoolExecutor() as crowd, ExitStack() as others:
        for _ in range(concurrency.PARALLEL_HASHES - 1):
            others.enter_context(concurrency.a_place())
        with concurrency.a_place():
            for number, name in enumerate(("first", "second", "third"), start=1):
                crowd.submit(come, name)
                until(lambda number=number: len(concurrency._places._line) == number)
        come("back again")
    assert served == ["first", "second", "third", "back again"]
