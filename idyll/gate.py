"""Before every route: who it is, how often, whether this person may at all, whether this very request was answered."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import current_app, g, request

from . import idempotency
from .actor import Actor
from .auth.tokens import authenticate, confirmed, look_up, presume
from .errors import Forbidden
from .guess import Misjudged
from .limits import network, spend
from .parsing import refuse_unknown
from .permissions import Person, is_member

View = Callable[..., Any]
Rule = Callable[[Person], bool]


def current_user() -> Actor:
    """The signed-in person of this request."""
    user: Actor = g.user
    return user


def members_only(user: Actor) -> None:
    """Raises `Forbidden` for who waits for approval, and for who must enrol for two-step log-in first."""
    if user.must_enrol:
        raise Forbidden("Switch two-step log-in on first.", code="two_step_enrolment_required")
    if not is_member(user):
        raise Forbidden("This account waits for its approval.", code="account_pending")


class Gate:
    """The gate of one route; its decorators in blueprints.py say whom it lets in."""

    def __init__(self, resource: str, view: View) -> None:
        marks: dict[str, Any] = getattr(view, "_gate", {})
        taken = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", ())
        self.view = view
        self.name = f"{resource}.{view.__name__}"
        self.of_login = resource == "auth"
        self.takes = frozenset(part["in"] for part in taken)
        self.public = marks.get("public", False)
        self.limit = marks.get("limit", "")
        self.pending = marks.get("pending", False)
        # Who must enrol may use what is about their own log-in, and nothing else.
        self.enrolling = marks.get("enrolling", False) or (self.pending and self.of_login)
        self.rule: Rule | None = marks.get("rule")

    def open_to_all(self, *args: Any, **kwargs: Any) -> Any:
        refuse_unknown(self.takes)
        if self.limit:
            # By blueprint and view: a flood of applications must not shut the door to log-ins.
            spend(self.name, current_app.config[self.limit], network(request.remote_addr))
        if "Idempotency-Key" in request.headers and "Authorization" in request.headers and self._keeps():
            g.user = authenticate(request)
            return idempotency.run(g.user, lambda: self.view(*args, **kwargs))
        return self.view(*args, **kwargs)

    def signed_in(self, *args: Any, **kwargs: Any) -> Any:
        g.user = presume(request)
        spend("user", current_app.config["RATE_LIMIT_PER_MINUTE"], g.user.id or "")
        while True:
            with suppress(Misjudged):
                return confirmed(lambda: self._admitted(*args, **kwargs))
            g.user = look_up(request)

    def _admitted(self, *args: Any, **kwargs: Any) -> Any:
        user = current_user()
        if not (self.enrolling if user.must_enrol else self.pending):
            members_only(user)
        if self.rule is not None and not self.rule(user):
            raise Forbidden
        refuse_unknown(self.takes)
        if self._keeps():
            return idempotency.run(user, lambda: self.view(*args, **kwargs))
        return self.view(*args, **kwargs)

    def _keeps(self) -> bool:
        return not self.of_login and request.method == "POST"
