"""Access tokens, however forged, and the rotation of refresh tokens."""

import json
import time
from base64 import urlsafe_b64encode

import jwt
import pytest
from doors import later, log_in, refresh, refused
from forgeries import forgeries
from sqlalchemy import func, select

from idyll.auth.models import RefreshToken
from idyll.extensions import db

pytestmark = pytest.mark.database


# -- access tokens ---------------------------------------------------------------------------------------------------


def claims_of(app, token):
    return jwt.decode(token, app.config["JWT_SECRET_KEY"], algorithms=["HS256"], audience="idyll-api")


def forged(app, claims, key=None, algorithm="HS256"):
    return jwt.encode(claims, app.config["JWT_SECRET_KEY"] if key is None else key, algorithm=algorithm)


def test_a_token_made_of_all_its_claims_is_taken(api, app, editor):
    """What the forgeries below differ from in one thing each."""
    assert api.get("/api/auth/me", forged(app, claims_of(app, editor.token))).status_code == 200


@pytest.mark.parametrize("claim", ["exp", "iat", "jti", "type", "iss", "aud", "sub", "sid"])
def test_a_token_that_lacks_a_claim_is_refused(api, app, editor, claim):
    claims = claims_of(app, editor.token)
    del claims[claim]
    assert refused(api.get("/api/auth/me", forged(app, claims)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": 1_700_000_000}, {"exp": None}, {"exp": "soon"}, {"exp": str(10**10)}, {"iat": 10**10},
        {"type": "refresh"}, {"type": None},
        {"iss": "somebody"}, {"iss": None}, {"aud": "another-api"}, {"aud": []}, {"aud": None},
        {"sub": None}, {"sub": 7}, {"sub": "nobody"}, {"sub": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"},
        {"sid": None}, {"sid": 7}, {"sid": "x' OR 1=1"}, {"sid": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"},
        {"nbf": 10**10},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_with_a_wrong_claim_is_refused(api, app, editor, wrong):
    # Encoded by hand: the library refuses to write some of these.
    claims = claims_of(app, editor.token) | wrong
    payload = jwt.api_jws.encode(json.dumps(claims).encode(), app.config["JWT_SECRET_KEY"], "HS256")
    assert refused(api.get("/api/auth/me", payload))


def test_a_token_names_a_session_of_its_own_person(api, app, editor, owner):
    claims = claims_of(app, editor.token) | {"sub": owner.id}
    assert refused(api.get("/api/auth/me", forged(app, claims)))


def segment(text):
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.filterwarnings("ignore:The HMAC key is")  # too short for SHA-512: nobody verifies this one
def test_a_token_signed_otherwise_is_refused(api, app, editor):
    claims = claims_of(app, editor.token)
    head, body, signature = editor.token.split(".")
    none = segment('{"alg":"none","typ":"JWT"}')
    headers = ["[" * 4000, "[]", '{"alg":["HS256"]}', '{"alg":"HS256","kid":7}', '{"alg":"HS256","crit":["x"]}', "{}"]
    tokens = [
        forged(app, claims, key="another-secret-of-a-good-length-000000"),
        forged(app, claims, algorithm="HS512"),
        forged(app, claims, key="", algorithm="none"),
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{segment('{}')}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        *(f"{segment(header)}.{body}.{signature}" for header in headers),
    ]
    for token in tokens:
        assert refused(api.get("/api/auth/me", token)), token[:80]


def test_of_all_forgeries_not_one_is_accepted(api, app, editor, owner):
    made = forgeries(app, editor, owner)
    assert len(made) >= 40
    for method, path in (("GET", "/api/auth/me"), ("POST", "/api/auth/logout"), ("GET", "/api/tasks")):
        accepted = [name for name, token in made.items() if api(method, path, token).status_code != 401]
        assert accepted == []
    # Nor after the genuine one was seen, which the process remembers.
    assert api.get("/api/auth/me", editor).status_code == 200
    assert all(refused(api.get("/api/auth/me", token)) for token in made.values())
    assert api.get("/api/auth/me", editor).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Bearer é.ü.ß", "Basic b2s6b2s=", "Token x", "x y z"],
)
def test_a_header_that_holds_no_token_is_refused(api, app, header):
    assert refused(api.get("/api/auth/me", headers={"Authorization": header.encode().decode("latin-1")}))


def test_no_header_at_all_and_a_token_in_the_query_are_refused(api, editor):
    assert refused(api.get("/api/auth/me"))
    assert refused(api.get("/api/auth/me", query_string={"jwt": editor.token}))
    assert api.get("/api/auth/me", headers={"Authorization": f"bearer {editor.token}"}).status_code == 200


def test_an_expired_token_is_refused_though_it_was_good_before(api, app, editor):
    claims = claims_of(app, editor.token) | {"exp": int(time.time()) + 1}
    token = forged(app, claims)
    assert api.get("/api/auth/me", token).status_code == 200
    time.sleep(1.1)
    assert refused(api.get("/api/auth/me", token))


def test_a_refresh_token_opens_nothing_and_an_access_token_refreshes_nothing(api, editor):
    assert refused(api.get("/api/auth/me", editor.refresh_token))
    assert refused(refresh(api, editor.token))
    assert refused(api.post("/api/auth/refresh", editor.token))


# -- refresh ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["bearer", "body"])
def test_a_refresh_gives_new_tokens_of_the_same_session(api, app, editor, how):
    if how == "bearer":
        answer = api.post("/api/auth/refresh", editor.refresh_token)
    else:
        answer = refresh(api, editor.refresh_token)
    assert answer.status_code == 200
    assert answer.json.keys() == log_in(api, "editor1").json.keys()
    assert answer.json["refreshToken"] != editor.refresh_token
    assert answer.json["user"]["id"] == editor.id
    assert claims_of(app, answer.json["accessToken"])["sid"] == claims_of(app, editor.token)["sid"]
    assert api.get("/api/auth/me", editor).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "x" * 1024, "é"])
def test_an_unknown_refresh_token_is_refused(api, editor, token):
    assert refused(refresh(api, token))


def test_a_repeated_refresh_gets_the_same_successor_within_the_grace(api, app, editor):
    first = refresh(api, editor.refresh_token).json["refreshToken"]
    with later(9):
        assert refresh(api, editor.refresh_token).json["refreshToken"] == first
    assert refresh(api, first).status_code == 200
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(RefreshToken)) == 3


def test_a_used_token_after_the_grace_ends_the_session_with_all_its_tokens(api, app, editor):
    elsewhere = log_in(api, "editor1").json["accessToken"]
    first = refresh(api, editor.refresh_token).json
    second = refresh(api, first["refreshToken"]).json
    with later(11):
        assert refused(refresh(api, editor.refresh_token))
    for token in (editor.token, first["accessToken"], second["accessToken"]):
        assert refused(api.get("/api/auth/me", token))
    for token in (editor.refresh_token, first["refreshToken"], second["refreshToken"]):
        assert refused(refresh(api, token))
    assert api.get("/api/auth/me", elsewhere).status_code == 200


def test_a_used_token_that_ends_its_session_stands_in_the_audit(api, owner, editor):
    assert refresh(api, editor.refresh_token).status_code == 200
    with later(11):
        assert refused(refresh(api, editor.refresh_token))
        row = api.get("/api/audit?objectType=session", owner).json["data"][0]
    assert (row["action"], row["changes"]) == ("session.ended", {"reason": [None, "token_reuse"]})
    assert row["actor"]["id"] == editor.id


def test_repeats_do_not_lengthen_the_grace(api, editor):
    assert refresh(api, editor.refresh_token).status_code == 200
    with later(6):
        assert refresh(api, editor.refresh_token).status_code == 200
    with later(12):
        assert refused(refresh(api, editor.refresh_token))


def test_with_no_grace_the_second_use_ends_the_session(api, app, editor):
    app.config["REFRESH_REUSE_GRACE"] = 0
    try:
        with later(0):  # in the very same moment
            assert refresh(api, editor.refresh_token).status_code == 200
            assert refused(refresh(api, editor.refresh_token))
        assert refused(api.get("/api/auth/me", editor))
    finally:
        app.config["REFRESH_REUSE_GRACE"] = 10


def test_a_session_lives_thirty_days_after_its_last_refresh(api, editor):
    token = editor.refresh_token
    for day in (29, 58):
        with later(day * 86_400):
            token = refresh(api, token).json["refreshToken"]
    with later(89 * 86_400):
        assert refused(refresh(api, token))
    with later(87 * 86_400):
        assert refresh(api, token).status_code == 200
