"""Failed log-ins are counted in the database: guessing ends soon, and strangers lock nobody out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import PASSWORD, settings
from doors import later, refresh, refused
from sqlalchemy import select, text, update

from idyll import clock, create_app
from idyll.auth import attempts, passwords
from idyll.auth.models import LoginAttempt, Session
from idyll.database import asked
from idyll.errors import TooManyRequests
from idyll.extensions import db

pytestmark = pytest.mark.database
HOME, AWAY = "203.0.113.7", "198.51.100.9"
MINUTE, DAY = 60, 86_400


def log_in(api, name, password="wrong", address=HOME, **more):
    body = {"login": name, "password": password, **more}
    return api.post("/api/auth/login", json=body, environ_base={"REMOTE_ADDR": address})


def fails(api, name, times=1, address=HOME):
    for _ in range(times):
        assert refused(log_in(api, name, address=address), "invalid_credentials")


def is_full(answer, most=15 * MINUTE):
    assert (answer.status_code, answer.json["code"]) == (429, "rate_limited"), answer.json
    assert 0 < answer.json["retryAfter"] == int(answer.headers["Retry-After"]) <= most
    return True


@pytest.fixture
def looked_at(monkeypatch):
    """The passwords that were looked at."""
    seen, matches = [], passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda stored, word: seen.append(word) or matches(stored, word))
    return seen


# -- of an account, from an address ----------------------------------------------------------------------------------


def test_five_failures_and_not_even_the_right_password_is_looked_at(api, editor, looked_at):
    fails(api, editor.email, 5)
    assert is_full(log_in(api, editor.email, PASSWORD))
    assert is_full(log_in(api, editor.email))
    assert looked_at == ["wrong"] * 5
    assert log_in(api, editor.email, PASSWORD, AWAY).status_code == 200


def test_every_name_of_an_account_counts_for_it(api, editor):
    fails(api, editor.email, 2)
    fails(api, editor.username.upper(), 2)
    fails(api, f" {editor.email.title()} ")
    assert is_full(log_in(api, editor.username, PASSWORD))


def test_a_quarter_of_an_hour_later_one_may_try_again(api, editor):
    fails(api, editor.email)
    with later(10 * MINUTE):
        fails(api, editor.email, 4)
        assert is_full(log_in(api, editor.email, PASSWORD), most=5 * MINUTE)
    with later(15 * MINUTE + 1):
        fails(api, editor.email)
        assert is_full(log_in(api, editor.email, PASSWORD), most=10 * MINUTE)
    with later(26 * MINUTE):
        assert log_in(api, editor.email, PASSWORD).status_code == 200


def test_who_is_not_looked_at_does_not_wait_longer_for_it(api, editor):
    fails(api, editor.email, 5)
    with later(14 * MINUTE):
        for _ in range(30):
            assert is_full(log_in(api, editor.email), most=MINUTE)
    with later(16 * MINUTE):
        assert log_in(api, editor.email, PASSWORD).status_code == 200


def test_successes_are_no_failures(api, editor):
    for _ in range(25):
        assert log_in(api, editor.email, PASSWORD).status_code == 200
    fails(api, editor.email, 4)
    assert log_in(api, editor.email, PASSWORD).status_code == 200
    fails(api, editor.email)
    assert is_full(log_in(api, editor.email, PASSWORD))


def test_what_is_open_stays_open(api, editor):
    fails(api, editor.email, 5)
    assert is_full(log_in(api, editor.email, PASSWORD))
    assert api.get("/api/auth/me", editor).status_code == 200
    assert refresh(api, editor.refresh_token).status_code == 200


def test_a_name_that_is_nobodys_is_counted_like_somebodys(api, editor):
    told = []
    for name in (editor.email, "nobody@example.com", "nobody", "%", "Former member"):
        answers = [log_in(api, name) for _ in range(7)]
        told.append([(one.status_code, one.json["code"], one.json["detail"]) for one in answers])
        with api.app.app_context(), db.engine.begin() as connection:
            connection.execute(text("DELETE FROM login_attempts"))
    assert [status for status, *_ in told[0]] == [401] * 5 + [429] * 2
    assert all(one == told[0] for one in told)


def test_the_rejected_and_the_removed_are_counted_alike(api, owner, people):
    rejected, removed = people.pending(), people.editor()
    assert api.put(f"/api/users/{rejected.id}", owner, {"status": "rejected"}).status_code == 200
    assert api.delete(f"/api/users/{removed.id}", owner).status_code == 204
    for someone in (rejected, removed):
        fails(api, someone.email, 5, AWAY)
        assert is_full(log_in(api, someone.email, address=AWAY))
    assert log_in(api, rejected.email, PASSWORD).status_code == 403
    fails(api, rejected.email, 5)


# -- from an address -------------------------------------------------------------------------------------------------


def test_twenty_failures_close_an_address_whatever_the_names(api, people):
    crowd = [people.editor() for _ in range(3)]
    for someone in crowd:
        fails(api, someone.email, 4)
    for number in range(8):
        fails(api, f"nobody{number}")
    assert is_full(log_in(api, crowd[0].email, PASSWORD))
    assert is_full(log_in(api, "nobody-else"))
    assert log_in(api, crowd[0].email, PASSWORD, AWAY).status_code == 200


def test_who_is_too_many_in_two_ways_is_told_the_longer_wait(api, editor):
    for number in range(15):
        fails(api, f"nobody{number}")
    with later(10 * MINUTE):
        fails(api, editor.email, 5)
        refusal = log_in(api, editor.email, PASSWORD)
        assert is_full(refusal)
        assert refusal.json["retryAfter"] > 14 * MINUTE
        others = log_in(api, "nobody-else")
        assert is_full(others, most=5 * MINUTE)


def test_an_address_of_ipv6_is_a_network_of_64_bits(api, editor):
    fails(api, editor.email, 3, "2001:db8:1:2::1")
    fails(api, editor.email, 2, "2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert is_full(log_in(api, editor.email, PASSWORD, "2001:db8:1:2:3::4"))
    assert log_in(api, editor.email, PASSWORD, "2001:db8:1:3::1").status_code == 200


def test_an_ipv4_address_in_the_clothes_of_ipv6_is_the_same(api, editor):
    fails(api, editor.email, 3)
    fails(api, editor.email, 2, f"::ffff:{HOME}")
    assert is_full(log_in(api, editor.email, PASSWORD))


def test_the_port_that_some_proxies_write_along_makes_no_other_address(api, editor, other_editor):
    fails(api, editor.email, 3, f"{HOME}:4711")
    fails(api, editor.email, 2, f"{HOME}:4712")
    assert is_full(log_in(api, editor.email, PASSWORD))
    fails(api, other_editor.email, 5, "[2001:db8:1:2::1]:4711")
    assert is_full(log_in(api, other_editor.email, PASSWORD, "2001:db8:1:2::2"))


# -- of an account, from everywhere ----------------------------------------------------------------------------------


def everywhere(api, name):
    for network in range(10):
        fails(api, name, 5, f"10.0.{network}.1")


def test_fifty_failures_close_an_account_to_strange_addresses(api, editor):
    everywhere(api, editor.email)
    assert is_full(log_in(api, editor.email, PASSWORD, AWAY))
    with later(15 * MINUTE + 1):
        assert log_in(api, editor.email, PASSWORD, AWAY).status_code == 200


def test_strangers_lock_nobody_out_of_their_own_address(api, editor):
    assert log_in(api, editor.email, PASSWORD).status_code == 200
    everywhere(api, editor.email)
    assert is_full(log_in(api, editor.email, PASSWORD, AWAY))
    assert log_in(api, editor.email, PASSWORD).status_code == 200
    fails(api, editor.email, 5)
    assert is_full(log_in(api, editor.email, PASSWORD))


def test_an_own_address_is_known_for_thirty_days_though_the_session_ended(api, app, editor):
    token = log_in(api, editor.email, PASSWORD, "2001:db8:1:2::1").json["accessToken"]
    assert api.post("/api/auth/logout", token).status_code == 204
    with later(29 * DAY):
        with app.app_context():
            swept = app.test_cli_runner().invoke(args=["sweep"])
        assert swept.exit_code == 0
        everywhere(api, editor.email)
        assert log_in(api, editor.email, PASSWORD, "2001:db8:1:2::99").status_code == 200
        assert is_full(log_in(api, editor.email, PASSWORD, "2001:db8:1:9::1"))
    with later(60 * DAY):
        everywhere(api, editor.email)
        assert is_full(log_in(api, editor.email, PASSWORD, "2001:db8:1:2::99"))


def test_anothers_own_address_is_strange_to_me(api, editor, other_editor):
    assert log_in(api, other_editor.email, PASSWORD).status_code == 200
    everywhere(api, editor.email)
    assert is_full(log_in(api, editor.email, PASSWORD))


def test_nobodys_account_closes_like_somebodys(api):
    everywhere(api, "nobody")
    assert is_full(log_in(api, "nobody", address=AWAY))


# -- guesses by who is signed in -------------------------------------------------------------------------------------


def test_a_stolen_session_cant_guess_the_password(api, editor, looked_at):
    guess = {"password": "a-new-reel-of-film", "currentPassword": "wrong"}
    answers = [api.put(f"/api/users/{editor.id}", editor, guess) for _ in range(5)]
    assert {answer.json["code"] for answer in answers} == {"current_password_wrong"}
    right = guess | {"currentPassword": PASSWORD}
    assert is_full(api.put(f"/api/users/{editor.id}", editor, right))
    assert is_full(api.delete(f"/api/users/{editor.id}", editor, {"currentPassword": PASSWORD}))
    assert is_full(api.post("/api/auth/two-step", editor, {"currentPassword": PASSWORD}))
    assert looked_at == ["wrong"] * 5
    assert api.put(f"/api/users/{editor.id}", editor, {"location": "Pune"}).status_code == 200


def test_the_right_current_password_is_no_failure(api, editor):
    for _ in range(7):
        assert api.post("/api/auth/two-step", editor, {"currentPassword": PASSWORD}).status_code == 201


# -- what holds it ---------------------------------------------------------------------------------------------------


def test_the_count_needs_no_limits_no_redis_and_no_memory_of_the_process(api, app, editor):
    assert app.config["RATELIMIT_ENABLED"] is False
    assert app.config["REDIS_URL"] == ""
    fails(api, editor.email, 5)
    restarted = create_app(settings(DATABASE_URL=app.config["SQLALCHEMY_DATABASE_URI"]))
    answer = restarted.test_client().post(
        "/api/auth/login",
        json={"login": editor.email, "password": PASSWORD},
        environ_base={"REMOTE_ADDR": HOME},
    )
    assert is_full(answer)
    with restarted.app_context():
        db.engine.dispose()


def test_a_log_in_that_never_ended_counts_as_failed(api, editor, monkeypatch):
    def die(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(passwords, "matches", die)
        for _ in range(5):
            with pytest.raises(SystemExit):
                log_in(api, editor.email, PASSWORD)
    assert is_full(log_in(api, editor.email, PASSWORD))


def test_of_many_guesses_at_once_no_more_are_looked_at_than_may_fail(app, editor):
    """Though nothing bounds how many are under way: each has begun before any of them ends."""
    many = 8  # as many as there are connections
    barrier = threading.Barrier(many)

    def start(_):
        with app.app_context():
            barrier.wait()
            try:
                return attempts.start(editor.email, HOME)
            except TooManyRequests:
                return None

    for _ in range(5):
        with ThreadPoolExecutor(many) as pool:
            started = [one for one in pool.map(start, range(many)) if one]
        assert len(started) <= 5
        with app.app_context():
            for one in started:
                attempts.give_back(one.id)


def test_neither_what_was_typed_nor_what_it_was_is_kept(api, app, editor):
    typed = "my own password by mistake"
    fails(api, typed)
    fails(api, editor.email)
    with app.app_context():
        rows = db.session.execute(select(LoginAttempt.account, LoginAttempt.network)).all()
    assert {row.network for row in rows} == {HOME}
    assert editor.id in {row.account for row in rows}
    assert not [row for row in rows if typed in row.account or editor.email in row.account]


def test_a_success_costs_one_statement_more(api, editor):
    ran = []
    with asked.connected_to(lambda _, statement, **__: ran.append(statement)):
        assert log_in(api, editor.email, PASSWORD).status_code == 200
    counting = [statement for statement in ran if "login_attempts" in statement]
    assert [statement.split()[0] for statement in counting] == ["INSERT", "SELECT"]
    # The SELECT is the one by which the person is found anyway.
    assert "users.password_hash" in counting[1]
    assert len(ran) == 7


def test_the_sweep_takes_what_counts_no_more(api, app, editor):
    with clock.at(clock.now() - timedelta(minutes=16)):
        fails(api, editor.email, 3)
    fails(api, editor.email, 4)
    assert "Failed log-ins deleted: 3" in app.test_cli_runner().invoke(args=["sweep"]).output
    fails(api, editor.email)
    assert is_full(log_in(api, editor.email, PASSWORD))


def test_nothing_of_it_is_left_of_a_removed_person(api, app, owner, editor):
    log_in(api, editor.email, PASSWORD)
    fails(api, editor.email, 2)
    assert api.delete(f"/api/users/{editor.id}", owner).status_code == 204
    with app.app_context():
        assert db.session.execute(select(LoginAttempt.id)).all() == []


def test_sessions_from_before_networks_were_kept_are_no_reason_to_know_an_address(api, app, editor):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(update(Session.__table__).values(network=None))
    everywhere(api, editor.email)
    assert is_full(log_in(api, editor.email, PASSWORD, "192.0.2.1"))
