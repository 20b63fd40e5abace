"""The gate of the sockets: who gets in, from where, by what token, and what stands on the answers."""

import time

import jwt
import pytest
import requests
from conftest import make_database
from frames import Polls, WebSocket
from servers import ROOT, start_app, web_command
from sockets import Refused
from talk import done, join, made, refused, say, token_for

from idyll.live.events import EVENTS

BOTH = pytest.mark.parametrize("transport", ["websocket", "polling"])
ORIGINS = "https://app.example.com,https://*--idyll.netlify.app"
HANDSHAKE = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def refusal(live, **options):
    with pytest.raises(Refused) as caught:
        live.connect(**options)
    return caught.value


def is_unauthorized(refusal):
    problem = refusal.data
    shape = {"type", "title", "status", "detail", "instance", "code", "requestId"}
    assert (problem.keys(), problem["status"], problem["code"]) == (shape, 401, "invalid_token"), problem
    assert problem["detail"] == refusal.message
    assert problem["requestId"]
    return True


# -- the token -------------------------------------------------------------------------------------------------------


@BOTH
def test_a_token_comes_in_auth_or_in_the_header(live, editor, transport):
    for given in (
        {"auth": {"token": editor.token}},
        {"headers": {"Authorization": f"Bearer {editor.token}"}},
        {"headers": {"Authorization": f"bearer {editor.token}"}, "auth": {}},
    ):
        assert join(live.connect(transports=[transport], **given)) == {editor.id}


@BOTH
@pytest.mark.parametrize("namespace", ["/", "/ws/chat"])
def test_never_in_the_address(live, editor, transport, namespace):
    for name in ("token", "auth", "access_token", "Authorization", "jwt"):
        query = {name: editor.token}
        assert is_unauthorized(refusal(live, query=query, transports=[transport], namespace=namespace))


def forged(live, someone, secret="", algorithm="HS256", without=(), **claims):
    """A token like theirs, with other claims, signed with the right secret or another."""
    said = jwt.decode(someone.token, options={"verify_signature": False}) | claims
    key = None if algorithm == "none" else secret or live.inside.config["JWT_SECRET_KEY"]
    return jwt.encode({name: said[name] for name in said if name not in without}, key, algorithm=algorithm)


BAD_AUTH = {
    "none": lambda live, e: None,
    "no token": lambda live, e: {"auth": True},
    "null": lambda live, e: {"token": None},
    "a number": lambda live, e: {"token": 5},
    "yes": lambda live, e: {"token": True},
    "empty": lambda live, e: {"token": ""},
    "a list": lambda live, e: {"token": [e.token]},
    "an object": lambda live, e: {"token": {"token": e.token}},
    "the bare token": lambda live, e: e.token,
    "in a list": lambda live, e: [e.token],
    "named otherwise": lambda live, e: {"Token": e.token, "accessToken": e.token},
    "with its scheme": lambda live, e: {"token": f"Bearer {e.token}"},
    "no token at all": lambda live, e: {"token": "abc"},
    "very long": lambda live, e: {"token": "x" * 50_000},
    "cut": lambda live, e: {"token": e.token[:-5]},
    "longer": lambda live, e: {"token": e.token + "AAAA"},
    "to refresh": lambda live, e: {"token": e.refresh_token},
    "another secret": lambda live, e: {"token": forged(live, e, secret="x" * 40)},
    "unsigned": lambda live, e: {"token": forged(live, e, algorithm="none")},
    "ended": lambda live, e: {"token": forged(live, e, exp=int(time.time()) - 1)},
    "endless": lambda live, e: {"token": forged(live, e, without=["exp"])},
    "without a session": lambda live, e: {"token": forged(live, e, without=["sid"])},
    "another kind": lambda live, e: {"token": forged(live, e, type="refresh")},
    "another audience": lambda live, e: {"token": forged(live, e, aud="others")},
    "another person's session": lambda live, e: {"token": forged(live, e, sub=live.people.owner().id)},
    "nobody's session": lambda live, e: {"token": forged(live, e, sid=e.id)},
}


@pytest.mark.parametrize("auth", BAD_AUTH.values(), ids=BAD_AUTH)
def test_whatever_is_wrong_with_the_token_is_refused_alike(live, editor, auth):
    given = auth(live, editor)
    assert is_unauthorized(refusal(live, auth=given))
    if given:  # and nothing else is looked at
        header = {"Authorization": f"Bearer {editor.token}"}
        assert is_unauthorized(refusal(live, auth=given, headers=header, transports=["polling"]))


def test_who_logged_out_was_rejected_or_removed_stays_outside(live, api, owner, people):
    out, rejected, gone = people.editor(), people.pending(), people.editor()
    made(api.post("/api/auth/logout", out))
    made(api.put(f"/api/users/{rejected.id}", owner, {"status": "rejected"}))
    made(api.delete(f"/api/users/{gone.id}", owner))
    for someone in (out, rejected, gone):
        assert is_unauthorized(refusal(live, who=someone))
    assert join(live.connect(owner)) == {owner.id}


# -- failing closed --------------------------------------------------------------------------------------------------

FAULTY = """
import builtins, wsgi
from idyll import sockets

def admit(auth):
    raise getattr(builtins, auth["token"])("injected")

sockets._admit = admit
app = wsgi.app
"""
FAULTS = (
    *("ValueError", "TypeError", "KeyError", "AttributeError", "RuntimeError", "OSError", "RecursionError"),
    *("MemoryError", "ConnectionRefusedError", "UnicodeError", "StopIteration", "TimeoutError"),
)


def test_whatever_fails_in_the_gate_keeps_it_shut(live, tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    command = web_command().replace("wsgi:app", "faulty:app")
    assert "faulty" in command
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "DATABASE_URL": live.inside.config["SQLALCHEMY_DATABASE_URI"]}
    running = start_app(env, command=command)
    try:
        for kind in FAULTS:
            with WebSocket(running.port) as wire:
                wire.say(f'40{{"token":"{kind}"}}', '421["sync",{}]')
                assert wire.wait(lambda text: text.startswith("4")).startswith("44{"), kind
                wire.hung_up(0.3)
                assert b"431[" not in wire.came, kind
    finally:
        running.stop()


def test_without_its_tables_nobody_gets_in(live, editor, tmp_path):
    there = live.start(DATABASE_URL=make_database("idyll_void", tmp_path))
    problem = refusal(there, who=editor).data
    assert (problem["status"], problem["code"]) in ((503, "unavailable"), (500, "internal_error"))
    assert "sessions" not in str(problem)


# -- who never logs in -----------------------------------------------------------------------------------------------


def test_who_is_not_logged_in_after_ten_seconds_is_shown_out(live, editor):
    port = live.app.port
    in_time = live.connect(editor)
    with WebSocket(port) as silent, WebSocket(port) as wrong, WebSocket(port) as left, Polls(port) as polls:
        assert wrong.log_in("nonsense").startswith("44")
        assert left.log_in(editor.token).startswith("40")
        left.say("41")
        time.sleep(4)
        for wire in (silent, wrong, left):
            assert not wire.hung_up(0.1)
        assert polls.is_open()
        for wire in (silent, wrong, left):
            assert wire.hung_up(20)
        assert not polls.is_open()
    assert in_time.state()["connected"]
    assert join(in_time) == {editor.id}


# -- who waits for approval ------------------------------------------------------------------------------------------


def test_a_pending_person_hears_of_themselves_alone_and_may_do_nothing_but_go_on(live, api, owner, pending, people):
    waiting, other = live.connect(pending), people.pending()
    olga = live.connect(owner)
    join(olga)
    made(api.put(f"/api/users/{other.id}", owner, {"location": "Kochi"}))
    made(api.put(f"/api/users/{owner.id}", owner, {"location": "Goa"}))
    made(api.post("/api/tasks", owner, {"name": "T", "deadline": "2030-01-01"}))
    made(api.post("/api/meetings", owner, {"title": "M", "startsAt": "2030-01-01T10:00:00Z", "attendees": "All Team"}))
    say(olga, "Hello")
    made(api.put(f"/api/users/{pending.id}", pending, {"location": "Pune"}))
    assert waiting.wait("user_updated")["updates"]["location"] == "Pune"
    made(api.put(f"/api/users/{pending.id}", owner, {"role": "moderator"}))
    assert waiting.wait("user_updated")["updates"]["role"] == "moderator"
    # They were notified of it, and managers of much; to be read once they are approved.
    waiting.silent()

    sound = {event.name: event.schema.EXAMPLE for event in EVENTS.values()}
    assert sound.keys() >= {"join_room", "leave_room", "send_message", "typing", "sync", "authenticate"}
    for name in sound.keys() - {"authenticate"}:
        payload = {} if name in ("join_room", "sync") else sound[name]
        assert refused(waiting, name, payload) == (403, "account_pending", []), name
    assert done(waiting, "authenticate", {"token": token_for(live.inside, pending, 600)})["expiresAt"]

    made(api.put(f"/api/users/{pending.id}", owner, {"status": "approved"}))
    assert waiting.wait("user_updated")["updates"]["approved"] is True
    assert join(waiting) == {owner.id, pending.id}
    assert waiting.gone == []


# -- from where ------------------------------------------------------------------------------------------------------


def test_origins_are_those_of_rest(live, editor):
    there = live.start(CORS_ORIGINS=ORIGINS)
    welcome = [
        "https://app.example.com",
        "https://deploy-preview-7--idyll.netlify.app",
        "https://main--idyll.netlify.app",
    ]
    strangers = [
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com.evil.com",
        "https://evil.com",
        "https://idyll.netlify.app",
        "https://x--other.netlify.app",
        "https://x--idyll.netlify.app.evil.com",
        "https://evil.com/--idyll.netlify.app",
        "HTTPS://app.example.com",
        "https://App.example.com",
        "https://Main--idyll.netlify.app",
        "null",
    ]
    for origin in welcome + strangers:
        headers, may = {"Origin": origin}, origin in welcome
        rest = requests.get(f"{there.url}/api/users", headers=headers, timeout=10)
        polling = requests.get(there.url + HANDSHAKE, headers=headers, timeout=10)
        shown = origin if may else None
        assert rest.headers.get("Access-Control-Allow-Origin") == shown, origin
        assert polling.headers.get("Access-Control-Allow-Origin") == shown, origin
        assert (polling.status_code == 200) is may, origin
        assert polling.headers["Vary"] == "Origin"
        for transport in ("websocket", "polling"):
            options = {"headers": headers, "transports": [transport]}
            if may:
                join(there.connect(editor, **options))
            else:
                assert refusal(there, who=editor, **options).status == 400
    for transport in ("websocket", "polling"):
        assert join(there.connect(editor, transports=[transport])) == {editor.id}


# -- what stands on the answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/socket.io/", "/ws/chat/"])
def test_engine_io_answers_carry_what_all_answers_carry(live, path):
    url = f"{live.url}{path}?EIO=4&transport=polling"
    for address in (url, url + "&sid=nonsense", f"{live.url}{path}?EIO=3&transport=polling", live.url + path):
        answer = requests.get(address, headers={"X-Request-Id": "mine-1"}, timeout=10)
        assert answer.headers["X-Request-Id"] == "mine-1"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers
        assert "Strict-Transport-Security" not in answer.headers
        other = requests.get(address, headers={"X-Request-Id": "not one; of ours"}, timeout=10)
        assert len(other.headers["X-Request-Id"]) == 32


def test_the_answer_that_opens_a_websocket_carries_it_too(live):
    for path in ("/socket.io/", "/ws/chat/"):
        with WebSocket(live.app.port, path=path, headers={"X-Request-Id": "mine-1"}) as wire:
            assert {"X-Request-Id: mine-1", "X-Content-Type-Options: nosniff"} <= set(wire.head.split("\r\n"))
            assert "Strict-Transport-Security" not in wire.head
    there = live.start(APP_ENV="production", CORS_ORIGINS=ORIGINS)
    with WebSocket(there.app.port) as wire:
        assert "Strict-Transport-Security: max-age=31536000" in wire.head


def test_in_production_https_is_promised_and_asked_for(live, editor):
    there = live.start(APP_ENV="production", CORS_ORIGINS=ORIGINS, TRUSTED_PROXIES="1")
    for path in ("/socket.io/", "/ws/chat/"):
        url = f"{there.url}{path}?EIO=4&transport=polling"
        for proto in ("https", ""):
            headers = {"X-Forwarded-Proto": proto} if proto else {}
            answer = requests.get(url, headers=headers, timeout=10)
            assert (answer.status_code, "max-age=" in answer.headers["Strict-Transport-Security"]) == (200, True)
        away = requests.get(url, headers={"X-Forwarded-Proto": "http"}, timeout=10, allow_redirects=False)
        assert (away.status_code, away.headers["Location"]) == (308, url.replace("http://", "https://"))
        assert away.headers["X-Request-Id"]
    assert join(there.connect(editor, headers={"X-Forwarded-Proto": "https"})) == {editor.id}
