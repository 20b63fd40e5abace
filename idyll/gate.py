"""Before every route: who it is, how often, whether this person may at all, whether this very request was answered."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import idempotency
from .actor import Actor
from .auth.tokens import authenticate, confirmed, look_up, presume
from .errors import Forbidden
from .guess import Misjudged
from .limits import network, spend
from .parsing import refuse_unknown
from .permissions import Person, is_member
from .scope import here, this_app, this_request

View = Callable[..., Any]
Rule = Callable[[Person], bool]


def current_user() -> Actor:
    """The signed-in person of this request."""
    user: Actor = here().user
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
            spend(self.name, this_app().config[self.limit], network(this_request().remote_addr))
        headers = this_request().headers
        if "Idempotency-Key" in headers and "Authorization" in headers and self._keeps():
            user = here().user = authenticate(this_request())
            return idempotency.run(user, lambda: self.view(*args, **kwargs))
        return self.view(*args, **kwargs)

    def signed_in(self, *args: Any, **kwargs: Any) -> Any:
        user = here().user = presume(this_request())
        spend("user", this_app().config["RATE_LIMIT_PER_MINUTE"], user.id or "")
        while True:
            with suppress(Misjudged):
                return confirmed(lambda: self._admitted(*args, **kwargs))
            here().user = look_up(this_request())

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
        return not self.of_login and this_request().method == "POST"
