"""Passwords, codes and refresh tokens under attack, at two processes of the running application."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import requests
from authenticator import enrol, steady, wrong_code
from conftest import PASSWORD
from sqlalchemy import update
from werkzeug.security import generate_password_hash

from idyll.auth.passwords import METHOD
from idyll.extensions import db
from idyll.users.models import User

from . import size

pytestmark = pytest.mark.only_on("postgresql")
PER_RACE = 100
GUESSING_RACES = size(2, 20)
REFRESH_RACES = size(100, 1_000)
TIMED = size(30, 300)
SEED = 20_261_129


@pytest.fixture
def two(live):
    """Each believes one proxy in front, so that an attack may come from everywhere."""
    return [live.start(TRUSTED_PROXIES="1", REFRESH_REUSE_GRACE="0") for _ in range(2)]


class Attacker:
    def __init__(self, processes) -> None:
        self.urls = [one.url for one in processes]
        self.turn = count()

    def post(self, path: str, body: dict, address: str = "198.51.100.9") -> requests.Response:
        url = self.urls[next(self.turn) % len(self.urls)]
        return requests.post(url + path, json=body, headers={"X-Forwarded-For": address}, timeout=60)

    def log_in(self, name: str, address: str = "198.51.100.9", **more: str) -> requests.Response:
        return self.post("/api/auth/login", {"login": name, "password": "wrong", **more}, address)


def at_once(calls: list[Callable[[], requests.Response]]) -> Counter[int]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return Counter(answer.status_code for answer in pool.map(lambda call: call(), calls))


def test_of_a_hundred_parallel_guesses_no_more_are_looked_at_than_may_fail(live, two, measured):
    attacker = Attacker(two)
    most: Counter[str] = Counter()
    for race in range(GUESSING_RACES):
        victim, keeper, address = live.people.editor(), live.people.editor(), f"198.51.{race}.9"
        steady()
        secret, _ = enrol(live.api, keeper)
        code = {"password": PASSWORD, "code": wrong_code(secret)}
        races = {
            "of a password, from an address": [
                lambda v=victim, a=address: attacker.log_in(v.email, a) for _ in range(PER_RACE)
            ],
            "of a code, from an address": [
                lambda k=keeper, c=code, a=f"198.51.{race}.10": attacker.log_in(k.email, a, **c)
                for _ in range(PER_RACE)
            ],
            "of many passwords, from an address": [
                lambda n=n, a=f"198.51.{race}.11": attacker.log_in(f"nobody{n}", a) for n in range(PER_RACE)
            ],
            "of a password, from everywhere": [
                lambda v=victim, n=n, r=race: attacker.log_in(v.email, f"10.{r}.{n}.1") for n in range(PER_RACE)
            ],
        }
        for name, calls in races.items():
            answers = at_once(calls)
            # 503: more wait to be hashed than may.
            assert set(answers) <= {401, 429, 503}, (name, answers)
            most[name] = max(most[name], answers[401])
            assert attacker.log_in(victim.email, address, password=PASSWORD).status_code == 429
    for name, looked_at in most.items():
        measured(f"looked at, of {PER_RACE} guesses at once {name}", looked_at)
    assert most["of a password, from an address"] <= 5
    assert most["of a code, from an address"] <= 5
    assert most["of many passwords, from an address"] <= 20
    assert most["of a password, from everywhere"] <= 50


def test_a_restart_forgets_no_failure(live, two):
    victim = live.people.editor()
    attacker = Attacker(two)
    while attacker.log_in(victim.email).status_code != 429:
        pass
    restarted = Attacker([live.start(TRUSTED_PROXIES="1")])
    assert restarted.log_in(victim.email, password=PASSWORD).status_code == 429
    assert restarted.log_in(victim.email, "203.0.113.7", password=PASSWORD).status_code == 200


def test_a_refresh_token_that_is_used_again_opens_nothing_any_more(live, two, measured):
    """The used one and its successor are shown at the same moment, each twice, to both processes."""
    attacker = Attacker(two)
    later, won = 0, Counter()
    for _ in range(REFRESH_RACES):
        someone = live.people.editor()
        first = attacker.post("/api/auth/refresh", {"refreshToken": someone.refresh_token}).json()
        shown = [someone.refresh_token, first["refreshToken"]] * 2
        with ThreadPoolExecutor(4) as pool:
            bodies = [{"refreshToken": token} for token in shown]
            answers = list(pool.map(lambda body: attacker.post("/api/auth/refresh", body), bodies))
        assert {answer.status_code for answer in answers} <= {200, 401}
        given = [first, *(answer.json() for answer in answers if answer.status_code == 200)]
        won[len(given) - 1] += 1
        for token in {someone.refresh_token, *(one["refreshToken"] for one in given)}:
            later += attacker.post("/api/auth/refresh", {"refreshToken": token}).status_code != 401
        for token in {someone.token, *(one["accessToken"] for one in given)}:
            for url in attacker.urls:
                headers = {"Authorization": f"Bearer {token}"}
                later += requests.get(f"{url}/api/auth/me", headers=headers, timeout=60).status_code != 401
    measured("races on the reuse of a refresh token", REFRESH_RACES)
    measured("that a successor won before the reuse was seen", won[1])
    measured("later successes", later)
    assert later == 0
    assert set(won) <= {0, 1}


# -- what time tells -------------------------------------------------------------------------------------------------


def raise_cost(live, someone) -> None:
    """Their password costs what it does in production."""
    with live.inside.app_context(), db.engine.begin() as connection:
        real = generate_password_hash(PASSWORD, METHOD)
        connection.execute(update(User.__table__).where(User.id == someone.id).values(password_hash=real))


def test_how_long_a_refusal_takes_by_whether_there_is_such_an_account(live, two, measured):
    """Reported and never asserted: a busy machine says what it likes."""
    attacker = Attacker(two[:1])
    plain, keepers = ([live.people.editor() for _ in range(7)] for _ in range(2))
    for someone in keepers:
        steady()
        enrol(live.api, someone)
    for someone in plain + keepers:
        raise_cost(live, someone)
    networks = count()
    names = {
        "unknown": lambda n: f"nobody{n}@example.com",
        "known": lambda n: plain[n % 7].email,
        "with two-step log-in": lambda n: keepers[n % 7].email,
    }
    took: dict[str, list[float]] = {f"{what}, {kind}": [] for what in ("log-in", "forgot") for kind in names}
    kinds = [kind for kind in names for _ in range(TIMED)]
    random.Random(SEED).shuffle(kinds)
    for what in ("log-in", "forgot"):
        for n, kind in enumerate(kinds):
            address = f"10.{next(networks) >> 8}.{n % 256}.1"
            name = names[kind](n)
            begun = time.perf_counter()
            if what == "log-in":
                answer = attacker.log_in(name, address)
            else:
                answer = attacker.post("/api/auth/password/forgot", {"email": name}, address)
            took[f"{what}, {kind}"].append(time.perf_counter() - begun)
            assert answer.status_code == (401 if what == "log-in" else 202), answer.text
    middle = {name: statistics.median(times) for name, times in took.items()}
    for name, median in middle.items():
        measured(f"median of {TIMED}, {name}", f"{median * 1000:.2f} ms")
    for what in ("log-in", "forgot"):
        base = middle[f"{what}, unknown"]
        for kind in ("known", "with two-step log-in"):
            difference = middle[f"{what}, {kind}"] - base
            measured(f"{what}: {kind} against unknown", f"{difference * 1000:+.2f} ms, {difference / base:+.2%}")
