"""What schemathesis is told beyond the document: who is signed in, which ids exist, and which refusals have a rule."""

import atexit
import json
import os
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import AuthContext, Case, CheckContext, HookContext, Response

from idyll.errors import Unauthorized

from .fuzz_fitting import Fitting
from .fuzz_keys import Keys
from .fuzz_rules import rule_of

WORLD = json.loads(Path(os.environ["FUZZ_WORLD"]).read_text())
KEYS = Keys(WORLD["database"], WORLD["secrets"])
WHO = WORLD["ids"]["user_id"][0]  # a stranger has an account too, and is not signed in
ENDING_ONE = "DELETE /api/auth/sessions/{session_id}"
FITTING = Fitting(WORLD["ids"], WHO, KEYS)
# They end the session that they are called with, and some of them all others too.
ENDING = (
    "POST /api/auth/logout",
    "POST /api/auth/logout/everywhere",
    ENDING_ONE,
    "POST /api/auth/refresh",
    "POST /api/auth/password/reset",
)
DECIDING = ("PUT /api/payouts/{payout_id}", "PATCH /api/payouts/{payout_id}")
REMOVING = "DELETE /api/users/{user_id}"
RENEWED = 300  # seconds
CODES = {"stale": 412, "idempotency_key_reused": 422}
GUESSED = ("invalid_credentials", "two_step_required", "current_password_wrong", "two_step_code_wrong")
ANSWERS: Counter[tuple[str, int]] = Counter()


@atexit.register
def _tell() -> None:
    """For test_fuzz.py, which asks whether all that this identity may do was done."""
    answers = [[*answer, times] for answer, times in sorted(ANSWERS.items())]
    Path(os.environ["FUZZ_WORLD"]).with_name("answers.json").write_text(json.dumps(answers))


def _token() -> str:
    return KEYS.session(WHO)["accessToken"]


@lru_cache(maxsize=1)
def _usual(_: int) -> str:
    """One for some minutes: it would run out before a long form is over, and what follows would be a stranger's."""
    return _token()


if WORLD["user_id"]:

    @schemathesis.auth(refresh_interval=None)
    class SignedIn:
        def get(self, case: Case, ctx: AuthContext) -> str:
            return _token() if case.operation.label in ENDING else _usual(int(time.monotonic() // RENEWED))

        def set(self, case: Case, data: str, ctx: AuthContext) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


else:

    @schemathesis.hook
    def before_load_schema(ctx: HookContext, raw_schema: dict[str, Any]) -> None:
        """A stranger has no keys: whatever is sent as one is not looked at."""
        for item in raw_schema["paths"].values():
            for operation in item.values():
                if isinstance(operation, dict):
                    operation["parameters"] = [p for p in operation["parameters"] if p["name"] != "Idempotency-Key"]


@schemathesis.hook
def before_call(ctx: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Ids and keys that nobody could draw become good ones; the examples of headers become fresh ones."""
    FITTING.path(case.path_parameters or {})
    if case.headers and case.headers.get("Idempotency-Key") == WORLD["example_key"]:
        case.headers["Idempotency-Key"] = str(uuid4())
    if case.headers and case.headers.get("If-Match") == WORLD["example_tag"]:
        del case.headers["If-Match"]
    if case.meta is not None and case.meta.generation.mode.is_positive:
        FITTING.valid(case)
        if case.operation.label == ENDING_ONE and WORLD["user_id"]:
            case.path_parameters["session_id"] = KEYS.session(WHO)["id"]
        if case.operation.label in DECIDING:
            # Each is decided on twice at most, and this may be the thousandth.
            case.path_parameters["payout_id"] = KEYS.payout(WHO)
    if case.operation.label == REMOVING and case.path_parameters["user_id"].lower() == WORLD["user_id"]:
        # Everybody may remove themselves; what this identity sends afterwards would be a stranger's.
        case.path_parameters["user_id"] = twin = KEYS.twin(WHO)
        if "Authorization" in (case.headers or {}):
            case.headers["Authorization"] = f"Bearer {KEYS.session(twin)['accessToken']}"


@schemathesis.hook
def after_call(ctx: HookContext, case: Case, response: Response) -> None:
    """Who ended their own sessions logs in anew; whoever failed may go on."""
    label, status = case.operation.label, response.status_code
    # Of another method than the operation's, which is tried too, success says nothing.
    ANSWERS[f"{response.request.method} {case.operation.path}", status] += 1
    if status < 300 and label in ENDING:
        _usual.cache_clear()
    if status == 200 and (b'"nextCursor":"' in response.content or b'"lastEventId"' in response.content):
        FITTING.remember(label, response)
    if status == 201 and label == "POST /api/auth/two-step":
        KEYS.app_secret = response.json()["secret"]
    if status in (401, 403) and response.json()["code"] in GUESSED:
        KEYS.forget_failures()


@schemathesis.check
def who_is_signed_in_is_no_stranger(ctx: CheckContext, response: Response, case: Case) -> None:
    """Or all that is found of an identity is found of nobody."""
    if not WORLD["user_id"] or case.operation.label in ENDING or response.status_code != 401:
        return
    if response.json()["detail"] != Unauthorized.detail:
        return  # a wrong password, code or link
    sent = response.request.headers.get("Authorization")
    known = f"Bearer {_usual(int(time.monotonic() // RENEWED))}"
    assert sent != known, f"{case.operation.label} took {WORLD['user_id']} for a stranger"


@schemathesis.check
def valid_requests_are_refused_by_known_rules_alone(ctx: CheckContext, response: Response, case: Case) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (412, 422):
        return
    problem = response.json()
    if CODES.get(problem["code"]) == response.status_code:
        return
    unknown = {
        f"{field}: {words}"
        for field, all_words in problem.get("errors", {"": [problem["detail"]]}).items()
        for words in all_words
        if rule_of(field, words) is None
    }
    assert not unknown, f"no rule says why {case.operation.label} refuses {unknown}"
