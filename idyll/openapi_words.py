"""What the OpenAPI document says beside what the code says: conventions, refusals, headers."""

ABOUT = """The work of a video agency: people apply and become editors, managers hand out tasks, schedule meetings and
pay, everybody chats and is notified.

**Signing in.** `POST /api/auth/login` gives an `accessToken`, to be sent as `Authorization: Bearer …`. It lasts
`expiresIn` seconds; `POST /api/auth/refresh` trades the `refreshToken` for a new pair. Rights are those of this very
moment: `can` in `GET /api/auth/me` says which buttons work.

**Lists** answer `{"data": […], "nextCursor": …}`, newest first unless said otherwise. `nextCursor` leads to the next
page, and so does the `Link` header; null is the end.

**Changes.** `PUT` changes only the fields that it sends; `PATCH` is the same. An empty text in an optional field is
null. `If-Match` with the `ETag` that you read guards against lost updates (412), `Idempotency-Key` on a `POST` against
doing a thing twice.

**Refusals** are `application/problem+json`: switch on `code`, show `detail`, and put `errors` beside their fields.

More fields, routes and codes may come, none goes or changes: ignore what you do not know."""
LOGIN = "The `accessToken` of a log-in"

# Of every refusal: what it says in general, and its example, as `code` and `detail`.
REFUSALS = {
    "400": ("Malformed JSON", "malformed_json", "The body is not valid JSON."),
    "401": ("No, bad or ended token", "invalid_token", "The access token is missing, invalid or expired."),
    "403": ("Not allowed, or a field that you may not set", "forbidden", "You may not do this."),
    "404": (
        "Not there, or not yours to know of",
        "not_found",
        "There is no such thing, or it is not yours to know of.",
    ),
    "409": ("The state forbids it; `current` shows it", "conflict", "The present state forbids it."),
    "412": ("Stale `If-Match`", "stale", "It was changed since you read it; read it again."),
    "413": ("A body over 1 MiB", "request_entity_too_large", "The body is larger than 1 MiB."),
    "415": ("Not application/json", "unsupported_media_type", "The body must be application/json in UTF-8."),
    "422": ("Validation: each field named in `errors`", "invalid", "Some fields are not valid."),
    "429": ("Too many requests", "rate_limited", "Too many requests."),
    "500": ("Our fault", "internal_error", "Something went wrong on our side."),
    "503": ("Busy, or a part is down", "unavailable", "The server is busy or a part of it is down; try again."),
}
# The refusals that only requests with a body, with `If-Match`, or that change something can meet.
OF_BODIES, OF_CHANGES = ("400", "413", "415"), ("409",)
CODES = {
    "account_pending": "the account waits for its approval",
    "account_rejected": "right password, but the account was rejected",
    "already_approved": "a member, or an approved application, can't be rejected",
    "already_requested": "there is a live payout for this task",
    "applicant_removed": "the person of this application was removed",
    "bad_request": "the request can't be understood",
    "conflict": "somebody else changed it at the same time",
    "current_password_wrong": "`currentPassword` is missing or wrong",
    "email_taken": "somebody has this e-mail",
    "forbidden": "not allowed",
    "frozen": "it was paid meanwhile, and is closed to every change",
    "idempotency_in_progress": "the first request with this key still runs",
    "idempotency_key_reused": "the key was used for another request",
    "illegal_move": "a payout can't go from its status to this one",
    "internal_error": "our fault",
    "invalid": "some fields are not valid",
    "invalid_credentials": "wrong e-mail, username or password",
    "invalid_token": "no, bad or ended token",
    "last_owner": "the last owner can be neither demoted nor removed",
    "malformed_json": "the body is not JSON",
    "meeting_cancelled": "the meeting was cancelled",
    "message_deleted": "the message was deleted",
    "method_not_allowed": "see the `Allow` header",
    "not_found": "not there, or not yours to know of",
    "rate_limited": "wait for `Retry-After` seconds",
    "request_entity_too_large": "the body is over 1 MiB",
    "second_person_required": "from this amount on, who approved a payout may not pay it",
    "stale": "changed since you read it",
    "task_approved": "an approved task is closed to its editor",
    "task_not_approved": "no payout before the task is approved",
    "task_not_completed": "only a completed task can be approved",
    "two_step_again_required": "show a code again by `POST /api/auth/two-step/prove`",
    "two_step_code_wrong": "`code` is wrong or was used",
    "two_step_enrolment_required": "switch two-step log-in on first",
    "two_step_not_begun": "ask for a secret first",
    "two_step_off": "two-step log-in is off",
    "two_step_on": "two-step log-in is on already",
    "two_step_required": "right password; send it again with `code`",
    "unavailable": "try again after `Retry-After` seconds",
    "unsupported_media_type": "the body must be application/json",
    "username_taken": "somebody has this username",
}
# Python's own words for these change with its version.
TITLES = {"413": "Content Too Large", "422": "Unprocessable Content"}
PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457)",
    "required": ["type", "title", "status", "detail", "instance", "code", "requestId"],
    "properties": {
        "type": {"type": "string", "description": "Always `about:blank`: `code` tells more"},
        "title": {"type": "string", "description": "The status in words"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence to show"},
        "instance": {"type": "string", "description": "The path that was asked"},
        "code": {
            "type": "string",
            "pattern": "^[a-z_]+$",
            "description": "A stable word to switch on:\n" + "\n".join(f"- `{c}`: {what}" for c, what in CODES.items()),
        },
        "requestId": {"type": "string", "description": "Names the request in our logs"},
        "errors": {
            "type": "object",
            "description": "What is wrong with each field",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "current": {"type": "string", "description": "The state that forbids it"},
        "retryAfter": {"type": "integer", "description": "Seconds"},
    },
    "additionalProperties": False,
}
HEADERS = {
    "ETag": ("string", "Changes whenever the answer does"),
    "Link": ("string", 'Where the next page is: `<…>; rel="next"`; not on the last one'),
    "Retry-After": ("integer", "Seconds to wait"),
    "RateLimit-Limit": ("integer", "Requests a minute"),
    "RateLimit-Remaining": ("integer", "Requests left"),
    "RateLimit-Reset": ("integer", "Seconds until all are left again"),
    "X-Request-Id": ("string", "The request's name in our logs: yours, if you sent a fitting one"),
    "Idempotency-Replayed": ("string", "`true`: the stored answer of the first request with this key"),
    "WWW-Authenticate": ("string", "`Bearer`"),
    "Content-Disposition": ("string", "The name of the file"),
}
LIMITS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
ASKING = {
    "Idempotency-Key": (
        "Repeats within 24 hours answer the same and change nothing",
        "5f3a0b1e-9c0d-4a53-8f5e-1d2c3b4a5968",
    ),
    "If-Match": ("The `ETag` of what you read; 412 when it changed since", '"9f86d081884c7d659a2feaa0c55ad015"'),
    "If-None-Match": ("The `ETag` of what you have; 304 when it is the same", '"9f86d081884c7d659a2feaa0c55ad015"'),
}
