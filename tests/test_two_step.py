"""Two-step log-in: codes, recovery codes, who must use it, and being asked again."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from authenticator import begin, code_of, enrol, wrong_code
from conftest import PASSWORD
from doors import later, log_in, refresh, refused, token_of
from sqlalchemy import select, text

from idyll import clock
from idyll.auth import passwords
from idyll.auth.models import LoginAttempt, RecoveryCode, TwoStepSecret
from idyll.auth.totp import steps
from idyll.extensions import db
from idyll.permissions import GENERAL

pytestmark = pytest.mark.database
MINUTE = 60


@pytest.fixture(autouse=True)
def _the_clock_stands():
    """No code may end between its making and its use."""
    with clock.at(clock.now()):
        yield


def with_code(api, name, code, password=PASSWORD):
    return api.post("/api/auth/login", json={"login": name, "password": password, "code": code})


def state(api, someone):
    answer = api.get("/api/auth/two-step", someone)
    assert answer.status_code == 200, answer.json
    return answer.json


def actions(api, owner, someone):
    found = api.get("/api/audit", owner, query_string={"objectType": "user", "objectId": someone.id}).json["data"]
    return [row["action"] for row in reversed(found) if row["action"].startswith("two_step")]


def rows(app, column):
    with app.app_context():
        return list(db.session.execute(select(column)).scalars())


@pytest.fixture
def setting(app, monkeypatch):
    return lambda **settings: [monkeypatch.setitem(app.config, name, value) for name, value in settings.items()]


# -- switching it on -------------------------------------------------------------------------------------------------


def test_it_is_off_until_a_code_confirms_that_the_secret_arrived(api, editor):
    assert state(api, editor) == {"enabled": False, "required": False, "enabledAt": None, "recoveryCodesLeft": 0}
    secret = begin(api, editor)
    assert state(api, editor)["enabled"] is False
    assert log_in(api, editor.email).status_code == 200
    answer = api.post("/api/auth/two-step/confirm", editor, {"code": wrong_code(secret)})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["code"])
    codes = api.post("/api/auth/two-step/confirm", editor, {"code": code_of(secret)}).json["recoveryCodes"]
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"([a-z2-7]{4}-){3}[a-z2-7]{4}", code) for code in codes)
    now = state(api, editor)
    assert (now["enabled"], now["recoveryCodesLeft"]) == (True, 10)
    assert now["enabledAt"]
    assert refused(log_in(api, editor.email), "two_step_required")


def test_the_secret_comes_for_typing_and_for_a_qr_code(api, editor):
    answer = api.post("/api/auth/two-step", editor, {"currentPassword": PASSWORD}).json
    url = urlsplit(answer["otpauthUrl"])
    assert (url.scheme, url.netloc) == ("otpauth", "totp")
    assert url.path == f"/Idyll:{editor.email.replace('@', '%40')}"
    said = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert said == {"secret": answer["secret"], "issuer": "Idyll", "algorithm": "SHA1", "digits": "6", "period": "30"}
    assert len(answer["secret"]) == 32


@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")],
)
def test_codes_are_those_of_the_rfc(moment, code):
    """RFC 6238, appendix B, in six digits."""
    assert steps(b"12345678901234567890", code, moment) == [moment // 30]


def test_switching_it_on_and_off_needs_the_password(api, editor):
    for body in ({}, {"currentPassword": "wrong"}, {"currentPassword": ""}):
        answer = api.post("/api/auth/two-step", editor, body)
        assert (answer.status_code, answer.json["code"]) == (403, "current_password_wrong")
    enrol(api, editor)
    answer = api.delete("/api/auth/two-step", editor, {"currentPassword": "wrong"})
    assert (answer.status_code, answer.json["code"]) == (403, "current_password_wrong")
    assert state(api, editor)["enabled"]


def test_a_fresh_secret_replaces_the_one_before_and_none_comes_while_it_is_on(api, editor):
    first, second = begin(api, editor), begin(api, editor)
    assert api.post("/api/auth/two-step/confirm", editor, {"code": code_of(first)}).status_code == 422
    assert api.post("/api/auth/two-step/confirm", editor, {"code": code_of(second)}).status_code == 200
    for path, body in (("", {"currentPassword": PASSWORD}), ("/confirm", {"code": code_of(second, 1)})):
        answer = api.post(f"/api/auth/two-step{path}", editor, body)
        assert (answer.status_code, answer.json["code"], answer.json["current"]) == (409, "two_step_on", "on")


def test_the_persons_other_sessions_end_since_they_were_opened_without_a_code(api, editor):
    elsewhere = log_in(api, editor.email).json
    enrol(api, editor)
    assert refused(api.get("/api/auth/me", elsewhere["accessToken"]))
    assert refused(refresh(api, elsewhere["refreshToken"]))
    assert api.get("/api/auth/me", editor).status_code == 200
    assert refresh(api, editor.refresh_token).status_code == 200


def test_switched_off_the_password_alone_is_enough_and_nothing_is_left(api, app, editor):
    enrol(api, editor)
    stale = api.delete("/api/auth/two-step", editor, {"currentPassword": PASSWORD}, headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    for _ in range(2):
        assert api.delete("/api/auth/two-step", editor, {"currentPassword": PASSWORD}).status_code == 204
    assert log_in(api, editor.email).status_code == 200
    assert state(api, editor) == {"enabled": False, "required": False, "enabledAt": None, "recoveryCodesLeft": 0}
    assert rows(app, TwoStepSecret.user_id) == rows(app, RecoveryCode.digest) == []


def test_who_waits_for_approval_waits_for_it_too(api, pending):
    body = {"currentPassword": PASSWORD}
    for method, path, sent in (("GET", "", None), ("POST", "", body), ("POST", "/confirm", {"code": "123456"})):
        answer = api(method, f"/api/auth/two-step{path}", pending, sent)
        assert (answer.status_code, answer.json["code"]) == (403, "account_pending")


# -- logging in ------------------------------------------------------------------------------------------------------


def test_a_code_goes_beside_the_password(api, editor):
    secret, _ = enrol(api, editor)
    answer = with_code(api, editor.username, code_of(secret))
    assert answer.status_code == 200
    assert answer.json["user"]["id"] == editor.id


@pytest.mark.parametrize("shape", [" {} ", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}"])
def test_a_code_may_be_sent_as_people_copy_it(api, editor, shape):
    secret, codes = enrol(api, editor)
    assert with_code(api, editor.email, shape.format(code_of(secret))).status_code == 200
    assert with_code(api, editor.email, codes[0].replace("-", " ").upper()).status_code == 200


def test_who_does_not_use_it_may_send_a_code_or_an_empty_field(api, editor):
    for code in ("123456", "", None, " "):
        assert with_code(api, editor.email, code).status_code == 200


def test_an_empty_code_is_none(api, editor):
    enrol(api, editor)
    for code in ("", None, "  "):
        assert refused(with_code(api, editor.email, code), "two_step_required")


def test_a_code_counts_once(api, editor):
    secret = begin(api, editor)
    code = code_of(secret)
    assert api.post("/api/auth/two-step/confirm", editor, {"code": code}).status_code == 200
    assert refused(with_code(api, editor.email, code), "invalid_credentials")
    following = code_of(secret, 1)
    assert with_code(api, editor.email, following).status_code == 200
    assert refused(with_code(api, editor.email, following), "invalid_credentials")
    # Nor one from before a used one.
    assert refused(with_code(api, editor.email, code_of(secret, -1)), "invalid_credentials")


def test_a_clock_may_be_a_step_off_and_no_more(api, editor):
    secret, _ = enrol(api, editor)
    with later(10 * MINUTE):
        assert refused(with_code(api, editor.email, code_of(secret, -2)), "invalid_credentials")
        assert refused(with_code(api, editor.email, code_of(secret, 2)), "invalid_credentials")
        assert with_code(api, editor.email, code_of(secret, -1)).status_code == 200
        assert with_code(api, editor.email, code_of(secret, 1)).status_code == 200


def test_a_recovery_code_logs_in_once(api, editor, owner):
    _, codes = enrol(api, editor)
    assert with_code(api, editor.email, codes[0]).status_code == 200
    assert refused(with_code(api, editor.email, codes[0]), "invalid_credentials")
    assert with_code(api, editor.email, codes[1]).status_code == 200
    assert state(api, editor)["recoveryCodesLeft"] == 8
    assert actions(api, owner, editor) == ["two_step.enabled", *["two_step.recovery_code_used"] * 2]


def test_anothers_codes_are_worth_nothing(api, app, editor, other_editor):
    (secret, codes), _ = enrol(api, editor), enrol(api, other_editor)
    for code in (code_of(secret), codes[0]):
        assert refused(with_code(api, other_editor.email, code), "invalid_credentials")
    # Not even when a row of the database is moved to another person.
    with app.app_context(), db.engine.begin() as connection:
        mine = connection.execute(select(TwoStepSecret.secret).where(TwoStepSecret.user_id == editor.id)).scalar()
        statement = text("UPDATE two_step_secrets SET secret = :mine WHERE user_id = :id")
        connection.execute(statement, {"mine": mine, "id": other_editor.id})
    assert refused(with_code(api, other_editor.email, code_of(secret)), "invalid_credentials")


@pytest.mark.parametrize("code", ["12345", "1234567", "١٢٣٤٥٦", "x" * 64, "0b1010", "+12345", "12345６"])  # noqa: RUF001 - other digits
def test_what_is_no_code_is_refused_like_a_wrong_one(api, editor, code):
    enrol(api, editor)
    assert refused(with_code(api, editor.email, code), "invalid_credentials")


def test_a_wrong_password_tells_nothing_of_it(api, editor):
    secret, _ = enrol(api, editor)
    answers = [
        log_in(api, editor.email, "wrong"),
        with_code(api, editor.email, code_of(secret), "wrong"),
        with_code(api, editor.email, wrong_code(secret)),
        log_in(api, "nobody", "wrong"),
        with_code(api, "nobody", "123456", "wrong"),
    ]
    assert all(refused(answer, "invalid_credentials") for answer in answers)
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert with_code(api, editor.email, code_of(secret)).status_code == 200  # a wrong password spends no code


def test_wrong_codes_are_failures_and_a_missing_one_is_none(api, app, editor):
    secret, codes = enrol(api, editor)
    for _ in range(7):
        assert refused(log_in(api, editor.email), "two_step_required")
    assert rows(app, LoginAttempt.id) == []
    for _ in range(4):
        assert refused(with_code(api, editor.email, wrong_code(secret)), "invalid_credentials")
    assert with_code(api, editor.email, code_of(secret)).status_code == 200
    assert refused(with_code(api, editor.email, wrong_code(secret)), "invalid_credentials")
    for code in (code_of(secret, 1), codes[0], None):
        assert with_code(api, editor.email, code).status_code == 429


def test_the_same_code_many_times_at_once_logs_in_once(app, api, editor):
    secret, codes = enrol(api, editor)
    for code in (code_of(secret), codes[0]):
        body = {"login": editor.email, "password": PASSWORD, "code": code}
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda _, body=body: app.test_client().post("/api/auth/login", json=body), range(4))
            )
        assert [answer.status_code for answer in answers].count(200) == 1
        assert {answer.status_code for answer in answers} <= {200, 401, 429}
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(text("DELETE FROM login_attempts"))


def test_a_log_in_under_way_does_not_get_round_a_code_that_is_asked_for_meanwhile(api, editor, monkeypatch):
    secret = begin(api, editor)
    matches = passwords.matches

    def slowly(stored, password):
        fits = matches(stored, password)
        # Elsewhere: a request within this one would share what Flask keeps for it.
        confirming = elsewhere.submit(api.post, "/api/auth/two-step/confirm", editor, {"code": code_of(secret)})
        assert confirming.result().status_code == 200
        return fits

    with ThreadPoolExecutor() as elsewhere, monkeypatch.context() as patch:
        patch.setattr(passwords, "matches", slowly)
        assert refused(log_in(api, editor.email), "two_step_required")


# -- what leaves it alone, and what ends it --------------------------------------------------------------------------


def test_a_reset_or_an_invite_never_switches_it_off(api, owner, editor):
    secret, _ = enrol(api, editor)
    for password in ("a-first-new-reel", "a-second-new-reel"):
        link = token_of(api.post(f"/api/users/{editor.id}/invite", owner).json["invite"])
        assert api.post("/api/auth/password/reset", json={"token": link, "password": password}).status_code == 204
        assert refused(log_in(api, editor.email, password), "two_step_required")
    assert with_code(api, editor.email, code_of(secret), "a-second-new-reel").status_code == 200


def test_the_host_switches_it_off_for_who_lost_everything(api, app, owner, editor):
    enrol(api, editor)
    done = app.test_cli_runner().invoke(args=["users", "two-step-off", f" {editor.email.upper()}"])
    assert done.exit_code == 0, done.output
    assert log_in(api, editor.email).status_code == 200
    assert actions(api, owner, editor) == ["two_step.enabled", "two_step.disabled"]
    row = api.get("/api/audit", owner, query_string={"objectId": editor.id}).json["data"][0]
    assert (row["actor"], row["address"]) == (None, "command line")
    assert app.test_cli_runner().invoke(args=["users", "two-step-off", "nobody@example.com"]).exit_code == 1


def test_removal_erases_it(api, app, owner, editor):
    enrol(api, editor)
    assert api.delete(f"/api/users/{editor.id}", owner).status_code == 204
    assert rows(app, TwoStepSecret.user_id) == rows(app, RecoveryCode.digest) == []


def test_changes_of_it_stand_in_the_audit_log_and_what_it_is_made_of_nowhere(api, app, owner, editor):
    secret, codes = enrol(api, editor)
    with_code(api, editor.email, codes[0])
    assert api.delete("/api/auth/two-step", editor, {"currentPassword": PASSWORD}).status_code == 204
    assert actions(api, owner, editor) == ["two_step.enabled", "two_step.recovery_code_used", "two_step.disabled"]
    enrol(api, editor)
    paths = (f"/api/users/{editor.id}", "/api/users", "/api/audit", "/api/events", "/api/notifications")
    told = [api.get(path, owner).get_data(as_text=True) for path in paths]
    for word in (secret, "twoStep", "recoveryCode", "otpauth", *codes):
        assert not [text for text in told if word in text], word


def test_nothing_of_it_is_stored_in_the_clear(api, app, editor):
    secret, codes = enrol(api, editor)
    [sealed] = rows(app, TwoStepSecret.secret)
    assert secret not in sealed
    assert not {code.replace("-", "") for code in codes} & set(rows(app, RecoveryCode.digest))
    again = rows(app, TwoStepSecret.secret)
    assert again == [sealed]
    assert api.delete("/api/auth/two-step", editor, {"currentPassword": PASSWORD}).status_code == 204
    enrol(api, editor)
    assert rows(app, TwoStepSecret.secret) != [sealed]


def test_after_another_secret_key_recovery_codes_still_help(api, app, editor, setting, caplog):
    secret, codes = enrol(api, editor)
    setting(SECRET_KEY="another-key-of-the-application-0123456789")
    assert refused(with_code(api, editor.email, code_of(secret)), "invalid_credentials")
    assert "SECRET_KEY" in caplog.text
    token = with_code(api, editor.email, codes[0]).json["accessToken"]
    assert api.delete("/api/auth/two-step", token, {"currentPassword": PASSWORD}).status_code == 204


# -- who must use it -------------------------------------------------------------------------------------------------

ENROLMENT = "two_step_enrolment_required"
PATHS = [
    "/api/tasks",
    "/api/users",
    "/api/payouts",
    "/api/audit",
    "/api/events",
    "/api/chat/rooms",
    "/api/notifications",
]


def test_who_must_and_does_not_yet_may_only_enrol(api, owner, editor, setting):
    setting(REQUIRE_TWO_STEP=frozenset({"owner"}))
    for path in PATHS:
        answer = api.get(path, owner)
        assert (answer.status_code, answer.json["code"]) == (403, ENROLMENT), path
    for method, path, body in (
        ("PUT", f"/api/users/{owner.id}", {"displayName": "O"}),
        ("PUT", f"/api/users/{owner.id}", {"password": "a-new-reel-of-film", "currentPassword": PASSWORD}),
        ("DELETE", f"/api/users/{owner.id}", {"currentPassword": PASSWORD}),
        ("POST", "/api/tasks", {"name": "Wedding", "deadline": "2030-01-01"}),
        ("POST", f"/api/users/{editor.id}/invite", None),
    ):
        answer = api(method, path, owner, body)
        assert (answer.status_code, answer.json["code"]) == (403, ENROLMENT), path
    assert api.get("/api/tasks", editor).status_code == 200
    me = api.get("/api/auth/me", owner).json
    assert me["can"] == dict.fromkeys(GENERAL, False)
    assert state(api, owner)["required"] is True
    assert state(api, editor)["required"] is False
    assert api.get("/api/auth/sessions", owner).status_code == 200
    fresh = refresh(api, owner.refresh_token).json["accessToken"]
    assert log_in(api, owner.email).status_code == 200
    enrol(api, owner)
    for token in (owner.token, fresh):
        assert api.get("/api/audit", token).status_code == 200
    assert all(api.get("/api/auth/me", owner).json["can"].values())


def test_who_must_and_switches_it_off_may_only_enrol_again(api, owner, setting):
    setting(REQUIRE_TWO_STEP=frozenset({"owner", "moderator"}))
    enrol(api, owner)
    assert api.get("/api/tasks", owner).status_code == 200
    assert api.delete("/api/auth/two-step", owner, {"currentPassword": PASSWORD}).status_code == 204
    assert api.get("/api/tasks", owner).json["code"] == ENROLMENT
    enrol(api, owner)
    assert api.get("/api/tasks", owner).status_code == 200


def test_a_role_that_must_is_bound_from_the_moment_it_is_given(api, owner, editor, setting):
    setting(REQUIRE_TWO_STEP=frozenset({"moderator"}))
    assert api.get("/api/tasks", editor).status_code == 200
    assert api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"}).status_code == 200
    assert api.get("/api/tasks", editor).json["code"] == ENROLMENT
    assert api.put(f"/api/users/{editor.id}", owner, {"role": "editor"}).status_code == 200


def test_who_waits_for_approval_waits_as_ever_and_enrols_then(api, owner, pending, setting):
    setting(REQUIRE_TWO_STEP=frozenset({"editor"}))
    assert api.put(f"/api/users/{pending.id}", pending, {"location": "Pune"}).status_code == 200
    assert api.get("/api/tasks", pending).json["code"] == "account_pending"
    assert api.put(f"/api/users/{pending.id}", owner, {"status": "approved"}).status_code == 200
    assert api.get("/api/tasks", pending).json["code"] == ENROLMENT
    enrol(api, pending)
    assert api.get("/api/tasks", pending).status_code == 200


# -- being asked again -----------------------------------------------------------------------------------------------


@pytest.fixture
def again(setting):
    setting(TWO_STEP_AGAIN_MINUTES=15)


def payout(api, editor):
    return api.post("/api/payouts", editor, {"projectName": "Wedding", "amount": 5}).json["id"]


def deeds(api, people, editor):
    """What needs a code of these minutes: moving money, and giving roles."""
    other = people.editor()
    first, second = payout(api, editor), payout(api, editor)
    return [
        ("PUT", f"/api/payouts/{first}", {"status": "approved"}, 200),
        ("PUT", f"/api/payouts/{first}", {"status": "paid", "reference": "UTR"}, 200),
        ("PUT", f"/api/payouts/{second}", {"status": "approved"}, 200),
        ("PUT", f"/api/users/{other.id}", {"role": "moderator"}, 200),
        ("POST", "/api/users", {"email": "m@example.com", "displayName": "M", "role": "moderator"}, 201),
    ]


def test_money_and_roles_ask_for_a_code_again(api, people, owner, editor, again):
    todo = deeds(api, people, editor)

    def refusals():
        """But for what is not approved yet."""
        answers = [api(method, path, owner, body) for method, path, body, _ in todo if body.get("status") != "paid"]
        return {(answer.status_code, answer.json["code"]) for answer in answers}

    assert refusals() == {(403, ENROLMENT)}
    secret, _ = enrol(api, owner)
    with later(15 * MINUTE + 1):
        assert refusals() == {(403, "two_step_again_required")}
        assert api.get("/api/audit", owner).status_code == 200
        assert api.put(f"/api/users/{editor.id}", owner, {"location": "Pune"}).status_code == 200
        assert api.put(f"/api/users/{editor.id}", owner, {"role": "editor"}).status_code == 200  # what it is already
        wrong = api.post("/api/auth/two-step/prove", owner, {"code": wrong_code(secret)})
        assert (wrong.status_code, wrong.json["code"]) == (403, "two_step_code_wrong")
        assert api.post("/api/auth/two-step/prove", owner, {"code": code_of(secret)}).status_code == 204
        for method, path, body, status in todo:
            assert api(method, path, owner, body).status_code == status, path


def test_what_leads_round_the_code_asks_for_it_too(api, people, owner, editor, again):
    moderator = people.moderator()
    secret, _ = enrol(api, owner)
    off = ("DELETE", "/api/auth/two-step", {"currentPassword": PASSWORD})
    invited = ("POST", f"/api/users/{moderator.id}/invite", None)
    with later(16 * MINUTE):
        for method, path, body in (off, invited):
            assert api(method, path, owner, body).json["code"] == "two_step_again_required", path
        assert api.post(f"/api/users/{editor.id}/invite", owner).status_code == 201
        assert api.get("/api/auth/two-step", owner).json["enabled"] is True
        assert api.post("/api/auth/two-step/prove", owner, {"code": code_of(secret)}).status_code == 204
        assert api(*invited[:2], owner).status_code == 201
        assert api(off[0], off[1], owner, off[2]).status_code == 204


def test_a_log_in_with_a_code_is_a_proof_and_of_its_own_session_alone(api, people, owner, editor, again):
    secret, codes = enrol(api, owner)
    with later(16 * MINUTE):
        fresh = with_code(api, owner.email, code_of(secret)).json["accessToken"]
        body = {"status": "approved"}
        path = f"/api/payouts/{payout(api, editor)}"
        assert api.put(path, owner, body).json["code"] == "two_step_again_required"
        assert api.put(path, fresh, body).status_code == 200
    with later(40 * MINUTE):
        assert api.post("/api/auth/two-step/prove", owner, {"code": codes[0]}).status_code == 204
        assert api.put(f"/api/payouts/{payout(api, editor)}", owner, body).status_code == 200
        assert api.post("/api/auth/two-step/prove", owner, {"code": codes[0]}).json["code"] == "two_step_code_wrong"


def test_rejecting_and_what_is_off_ask_for_nothing(api, people, owner, editor, setting):
    path = f"/api/payouts/{payout(api, editor)}"
    assert api.put(path, owner, {"status": "approved"}).status_code == 200
    setting(TWO_STEP_AGAIN_MINUTES=15)
    assert api.put(path, owner, {"status": "rejected", "reason": "No"}).status_code == 200


def test_wrong_codes_of_who_is_signed_in_are_failures_too(api, owner):
    secret, _ = enrol(api, owner)
    for _ in range(5):
        assert api.post("/api/auth/two-step/prove", owner, {"code": wrong_code(secret)}).status_code == 403
    for code in (code_of(secret), wrong_code(secret)):
        assert api.post("/api/auth/two-step/prove", owner, {"code": code}).status_code == 429


def test_nothing_to_prove_is_no_failure(api, app, owner):
    for _ in range(7):
        answer = api.post("/api/auth/two-step/prove", owner, {"code": "123456"})
        assert (answer.status_code, answer.json["code"]) == (409, "two_step_off")
    assert rows(app, LoginAttempt.id) == []


def test_the_host_is_asked_for_nothing(api, app, again):
    made = app.test_cli_runner().invoke(args=["users", "create-owner", "--if-none"])
    assert made.exit_code == 0, made.output
