"""What stands around every answer: CORS, security headers, https, proxies and rate limits."""

import time
from collections.abc import Callable, Iterator

import pytest
from conftest import PASSWORD, Api, settings
from servers import redis_url

from idyll import create_app
from idyll.extensions import db
from idyll.limits import network

pytestmark = pytest.mark.database

FRONT = "https://app.example.com"
PRODUCTION = {"APP_ENV": "production", "CORS_ORIGINS": f"{FRONT},https://*--idyll.netlify.app,http://[::1]:5173"}
LOGIN = {"login": "nobody", "password": "nothing-at-all"}
APPLICATION = {"fullName": "Asif", "email": "asif@example.com"}
Make = Callable[..., Api]


@pytest.fixture
def make(app, database_url) -> Iterator[Make]:
    """Other instances on the same database, with other settings."""
    made: list[Api] = []

    def instance(**environ: str) -> Api:
        made.append(Api(create_app(settings(DATABASE_URL=database_url, **environ))))
        return made[-1]

    yield instance
    for one in made:
        with one.app.app_context():
            db.engine.dispose()


# -- CORS --------------------------------------------------------------------------------------------------------------

ALLOWED = [FRONT, "https://deploy-preview-7--idyll.netlify.app", "https://main--idyll.netlify.app", "http://[::1]:5173"]
REFUSED = [
    "https://evil.com",
    "https://app.example.com.evil.com",
    "https://evil-app.example.com",
    "https://evil.com/https://app.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://appxexample.com",
    "https://idyll.netlify.app",
    "https://x--evil.netlify.app",
    "https://x--idyll.netlify.app.evil.com",
    "https://evil.com/x--idyll.netlify.app",
    "https://evil.com?x--idyll.netlify.app",
    "https://x.evil.com--idyll.netlify.app",
    "https://x--idyllxnetlify.app",
    "http://x--idyll.netlify.app",
    "http://1:5173",
    "http://localhost:5173",
    "HTTPS://app.example.com",
    "https://App.Example.com",
    "https://Main--idyll.netlify.app",
    "http://[::1]:5173/",
    "null",
    "*",
    "",
]
EXPOSED = "ETag, Idempotency-Replayed, Link, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After"
ASKED = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"


def words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_known_origin_may_read_answers_and_refusals(origin, make, owner):
    api = make(**PRODUCTION)
    headers = {"Origin": origin}
    answers = [
        api.get("/api/auth/me", owner, headers=headers),
        api.get("/api/auth/me", headers=headers),
        api.get("/api/nothing", headers=headers),
        api.post("/api/auth/me", owner, {}, headers=headers),
        api.post("/api/tasks", owner, {}, headers=headers),
        api.post("/api/tasks", owner, {"name": "x" * 1_100_000}, headers=headers),
        api.get("/healthz", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 405, 422, 413, 200]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in answer.headers["Vary"]
        assert words(answer.headers["Access-Control-Expose-Headers"]) == words(EXPOSED + ", X-Request-Id")
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", ALLOWED)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_allows_the_methods_and_headers_that_clients_use(origin, method, make):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": ASKED}
    answer = make(**PRODUCTION)("OPTIONS", "/api/tasks", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert method.lower() in words(answer.headers["Access-Control-Allow-Methods"])
    assert words(answer.headers["Access-Control-Allow-Headers"]) == words(ASKED)


def test_a_preflight_passes_for_what_is_not_there_so_that_the_browser_shows_the_404(make, owner):
    api = make(**PRODUCTION)
    asked = {"Origin": ALLOWED[0], "Access-Control-Request-Method": "GET"}
    assert api("OPTIONS", "/api/tasks/undefined", headers=asked).status_code == 200
    answer = api.get("/api/tasks/undefined", owner, headers={"Origin": ALLOWED[0]})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (404, ALLOWED[0])


@pytest.mark.parametrize("origin", REFUSED)
def test_every_other_origin_is_told_nothing(origin, make, owner):
    api = make(**PRODUCTION)
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    for answer in (api.get("/api/auth/me", owner, headers=headers), api("OPTIONS", "/api/auth/me", headers=headers)):
        assert "Access-Control-Allow-Origin" not in answer.headers


# -- security headers and https ----------------------------------------------------------------------------------------


def test_every_answer_is_told_to_be_taken_for_what_it_is(api, owner):
    for answer in (api.get("/api/auth/me", owner), api.get("/api/nothing"), api.get("/docs/"), api.get("/healthz")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in answer.headers
    assert api.get("/api/auth/me", owner).headers["Cache-Control"] == "private, no-cache"
    assert api.get("/api/tasks", owner).headers["Cache-Control"] == "no-store"


def test_production_always_sends_hsts(make, owner):
    api = make(**PRODUCTION)
    for path in ("/api/auth/me", "/api/nothing", "/healthz", "/readyz", "/docs/"):
        assert "max-age=31536000" in api.get(path, owner).headers["Strict-Transport-Security"]


HTTP = {"X-Forwarded-Proto": "http"}


@pytest.mark.parametrize(
    ("environ", "headers", "path", "status"),
    [
        ({"TRUSTED_PROXIES": "1"}, HTTP, "/api/auth/me?x=1", 308),
        ({"TRUSTED_PROXIES": "1"}, {"X-Forwarded-Proto": "https"}, "/api/auth/me", 401),
        ({"TRUSTED_PROXIES": "1"}, {"X-Forwarded-Proto": "https, http"}, "/api/auth/me", 308),
        ({"TRUSTED_PROXIES": "1"}, {"X-Forwarded-Proto": "http, https"}, "/api/auth/me", 401),
        ({"TRUSTED_PROXIES": "1"}, {}, "/api/auth/me", 401),
        ({"TRUSTED_PROXIES": "1"}, HTTP, "/healthz", 200),
        ({"TRUSTED_PROXIES": "1"}, HTTP, "/readyz", 200),
        ({"TRUSTED_PROXIES": "1", "FORCE_HTTPS": "off"}, HTTP, "/api/auth/me", 401),
        ({"TRUSTED_PROXIES": "0"}, HTTP, "/api/auth/me", 401),
        ({}, HTTP, "/api/auth/me", 401),
        ({"TRUSTED_PROXIES": "1", "APP_ENV": "development"}, HTTP, "/api/auth/me", 401),
    ],
)
def test_plain_http_is_redirected_only_when_a_trusted_proxy_says_so(environ, headers, path, status, make):
    answer = make(**(PRODUCTION | environ)).client.get(path, headers=headers)
    assert answer.status_code == status
    if status == 308:
        assert answer.headers["Location"] == f"https://localhost{path}"
        assert "Strict-Transport-Security" in answer.headers


# -- rate limits -------------------------------------------------------------------------------------------------------


def figures(answer) -> tuple[int, int]:
    assert 1 <= int(answer.headers["RateLimit-Reset"]) <= 60
    return int(answer.headers["RateLimit-Limit"]), int(answer.headers["RateLimit-Remaining"])


def limited(answer) -> bool:
    """Whether it was refused for its number, with all that the contract says of such a refusal."""
    if answer.status_code != 429:
        return False
    assert answer.json["code"] == "rate_limited"
    assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"] == str(answer.json["retryAfter"])
    assert figures(answer)[1] == 0
    return True


def knock(api: Api, address: str, **headers: str) -> bool:
    """One log-in from an address; whether it was one too many."""
    environ = {"REMOTE_ADDR": address}
    return limited(api.post("/api/auth/login", json=LOGIN, environ_overrides=environ, headers=headers))


def test_a_user_is_limited_wherever_and_however_they_ask(make, owner, moderator):
    api = make(RATELIMIT_ENABLED="on", RATE_LIMIT_PER_MINUTE="4")
    token = api.post("/api/auth/login", json={"login": owner.email, "password": PASSWORD}).json["accessToken"]
    answers = [
        api.get("/api/tasks", owner),
        api.get("/api/tasks", token, environ_overrides={"REMOTE_ADDR": "203.0.113.9"}),
        api.post("/api/tasks", owner, data="{", content_type="application/json"),
        api.get("/api/auth/me", owner),
    ]
    assert [figures(answer) for answer in answers] == [(4, 3), (4, 2), (4, 1), (4, 0)]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200]
    assert limited(api.get("/api/users", owner))
    assert api.get("/api/tasks", moderator).status_code == 200


def test_an_address_has_30_logins_and_10_of_each_other_public_write_a_minute(make, editor):
    api = make(RATELIMIT_ENABLED="on")
    writes = {
        "/api/auth/login": ({"login": editor.email, "password": PASSWORD}, 30, 200),
        "/api/auth/register": ({}, 10, 422),
        "/api/auth/password/forgot": ({"email": "who@example.com"}, 10, 202),
        "/api/auth/password/reset": ({"token": "x", "password": PASSWORD}, 10, 401),
        "/api/applications": (APPLICATION, 10, 201),
    }
    for path, (body, most, status) in writes.items():
        for left in range(most - 1, -1, -1):
            answer = api.post(path, json=body)
            assert (answer.status_code, figures(answer)) == (status, (most, left)), path
        assert limited(api.post(path, json=body))
        assert not limited(api.post(path, json=body, environ_overrides={"REMOTE_ADDR": "203.0.113.9"}))


def test_every_route_is_limited(make, app):
    """Of a user where somebody is signed in, of an address where nobody need be."""
    for rule in app.url_map.iter_rules():
        if str(rule).startswith("/api/") and not str(rule).endswith("api.json"):
            gate = getattr(app.view_functions[rule.endpoint], "_gate", {})
            assert not gate.get("public") or gate.get("limit"), rule
    api = make(RATELIMIT_ENABLED="on", RATE_LIMIT_PER_MINUTE="2")
    sent = [api.post("/api/auth/refresh", json={"refreshToken": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in sent] == [401, 401, 429]


def test_a_minute_later_one_may_go_on(make, monkeypatch):
    api = make(RATELIMIT_ENABLED="on", LOGIN_LIMIT_PER_MINUTE="1")
    assert [knock(api, "192.0.2.1") for _ in range(2)] == [False, True]
    later = time.time() + 61
    monkeypatch.setattr("idyll.limits.time.time", lambda: later)
    assert not knock(api, "192.0.2.1")


def test_the_limits_can_be_switched_off(api, editor):
    for _ in range(35):
        answer = api.post("/api/auth/login", json={"login": editor.email, "password": PASSWORD})
        assert answer.status_code == 200
        assert "RateLimit-Limit" not in answer.headers


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_an_ipv6_address_counts_by_its_64(address, same, other, make):
    api = make(RATELIMIT_ENABLED="on", LOGIN_LIMIT_PER_MINUTE="1")
    assert not knock(api, address)
    assert knock(api, same)
    assert not knock(api, other)


def test_what_is_no_address_counts_as_one():
    assert network(None) == network("") == "unknown"
    assert network("unix:") == "unix:"


@pytest.mark.parametrize(
    ("proxies", "first", "second", "is_same"),
    [
        ("0", "198.51.100.1", "198.51.100.2", True),
        ("1", "198.51.100.1", "198.51.100.2", False),
        ("1", "6.6.6.6, 198.51.100.1", "7.7.7.7, 198.51.100.1", True),
        ("2", "198.51.100.1, 10.0.0.1", "198.51.100.2, 10.0.0.1", False),
        ("2", "6.6.6.6, 198.51.100.1, 10.0.0.1", "7.7.7.7, 198.51.100.1, 10.0.0.2", True),
        ("2", "198.51.100.1", "198.51.100.2", True),
        ("1", "2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("1", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("1", "6.6.6.6, 2001:db8:1:2::1", "2001:db8:9::9, 2001:db8:1:2::1", True),
        ("2", "2001:db8:1:2::1, 2001:db8:f::1", "2001:db8:1:2::2, 2001:db8:e::1", True),
        ("2", "2001:db8:1:2::1, 2001:db8:f::1", "2001:db8:1:3::1, 2001:db8:f::1", False),
        ("0", "2001:db8:1:2::1", "2001:db8:1:3::1", True),
    ],
)
def test_the_address_is_the_one_that_the_outermost_trusted_proxy_saw(proxies, first, second, is_same, make):
    api = make(RATELIMIT_ENABLED="on", LOGIN_LIMIT_PER_MINUTE="1", TRUSTED_PROXIES=proxies)
    assert not knock(api, "10.0.0.9", **{"X-Forwarded-For": first})
    assert knock(api, "10.0.0.9", **{"X-Forwarded-For": second}) == is_same


def test_an_unset_number_of_proxies_is_warned_of_once_in_production(make, caplog):
    api = make(**PRODUCTION)
    api.get("/healthz")
    assert "TRUSTED_PROXIES" not in caplog.text
    for _ in range(3):
        api.get("/healthz", headers={"X-Forwarded-For": "198.51.100.1"})
    assert caplog.text.count("TRUSTED_PROXIES") == 1
    make(**PRODUCTION, TRUSTED_PROXIES="0").get("/healthz", headers={"X-Forwarded-For": "198.51.100.1"})
    assert caplog.text.count("TRUSTED_PROXIES") == 1


# -- Redis: SQLite serves one instance alone, so it has none -----------------------------------------------------------


@pytest.mark.only_on("postgresql", "mariadb")
def test_instances_count_together_in_redis(make):
    limit = {"RATELIMIT_ENABLED": "on", "LOGIN_LIMIT_PER_MINUTE": "2", "REDIS_URL": redis_url()}
    one, other = make(**limit), make(**limit)
    address = f"192.0.2.{time.time_ns() % 200}"
    assert [knock(one, address), knock(other, address)] == [False, False]
    assert [knock(one, address), knock(other, address)] == [True, True]
    assert figures(one.post("/api/auth/login", json=LOGIN, environ_overrides={"REMOTE_ADDR": "2001:db8::7"}))[1] <= 1


@pytest.mark.only_on("postgresql", "mariadb")
def test_without_its_redis_an_instance_counts_alone(make, caplog):
    api = make(RATELIMIT_ENABLED="on", LOGIN_LIMIT_PER_MINUTE="2", REDIS_URL="redis://127.0.0.1:1/0")
    assert [knock(api, "192.0.2.1") for _ in range(4)] == [False, False, True, True]
    assert caplog.text.count("Redis is away") == 1
    assert api.get("/readyz").json["checks"]["redis"] == "away"
    assert api.get("/readyz").json["status"] == "degraded"
