"""What schemathesis is told beyond the document: who is signed in, which ids exist, and which refusals have a rule."""

import json
import os
import re
import time
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import schemathesis
from conftest import settings
from schemathesis import AuthContext, Case, CheckContext, HookContext, Response

from idyll import create_app
from idyll.auth.service import Caller, open_session
from idyll.errors import Unauthorized
from idyll.shapes import parsed
from idyll.transactions import transaction

from .fuzz_rules import rule_of

WORLD = json.loads(Path(os.environ["FUZZ_WORLD"]).read_text())
# They end the session that they are called with, and the second one all others too.
ENDING = (
    "POST /api/auth/logout",
    "POST /api/auth/logout/everywhere",
    "DELETE /api/auth/sessions/{session_id}",
    "POST /api/auth/refresh",
)
REMOVING = "DELETE /api/users/{user_id}"
RENEWED = 300  # seconds
CODES = {"stale": 412, "idempotency_key_reused": 422}


@cache
def _app() -> Any:
    return create_app(settings(DATABASE_URL=WORLD["database"], **WORLD["secrets"]))


def _token() -> str:
    with _app().app_context(), transaction():
        return parsed(open_session(WORLD["user_id"], Caller("192.0.2.1", "schemathesis", None)))["accessToken"]


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
    """Half of the ids that nothing has become those of something; the examples of headers become fresh ones."""
    for name, value in (case.path_parameters or {}).items():
        there = WORLD["ids"].get(name)
        if (
            there
            and re.fullmatch(r"[0-9a-f-]{36}", str(value))
            and value[:3] != there[0][:3]
            and crc32(value.encode()) % 2
        ):
            case.path_parameters[name] = there[crc32(value.encode()) // 2 % len(there)]
    if case.headers and case.headers.get("Idempotency-Key") == WORLD["example_key"]:
        case.headers["Idempotency-Key"] = str(uuid4())
    if case.headers and case.headers.get("If-Match") == WORLD["example_tag"]:
        del case.headers["If-Match"]

    if case.operation.label == REMOVING and case.path_parameters["user_id"].lower() == WORLD["user_id"]:
        # Everybody may remove themselves; what this identity sends afterwards would be a stranger's.
        case.path_parameters["user_id"] = WORLD["ids"]["user_id"][1]


@schemathesis.hook
def after_call(ctx: HookContext, case: Case, response: Response) -> None:
    """Who ended their own sessions logs in anew."""
    if case.operation.label in ENDING and response.status_code < 300:
        _usual.cache_clear()


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
