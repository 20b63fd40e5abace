"""A log-in: counted, hashed and opened by as many at a time as there are places for hashes."""

from contextlib import suppress

from ..actor import Actor
from ..concurrency import a_place, background
from ..errors import Forbidden, Unauthorized, Unavailable
from ..scope import this_app
from ..transactions import transaction
from ..users.roles import Status
from ..users.service import renew_hash
from . import attempts, passwords, service, two_step
from .attempts import Attempt
from .service import Caller, OtherHash, Proof


def log_in(name: str, password: str, code: str | None, caller: Caller) -> str:
    """The answer with the new session's tokens.

    Raises `Unauthorized`, alike and after the same time whatever was wrong; with the right password it says that a code
    is missing or, by `Forbidden`, that the account was rejected.
    """
    with a_place():
        attempt = attempts.start(name, caller.address)
        answer, stored = _opened(attempt, password, code, caller)
    if passwords.is_outdated(stored):
        background(this_app(), _renew, attempt.user_id, stored, password)
    return answer


def _opened(attempt: Attempt, password: str, code: str | None, caller: Caller) -> tuple[str, str]:
    """The answer, and the hash that the password was compared with."""
    stored = attempt.password_hash
    while passwords.matches(stored, password) and stored is not None and attempt.user_id is not None:
        if attempt.status == Status.REJECTED:
            attempts.give_back(attempt.id)
            raise Forbidden("This account was rejected.", code="account_rejected")
        if code is not None:
            two_step.get_ready()
        try:
            with transaction():
                answer = service.open_session(attempt.user_id, caller, proof=Proof(attempt.id, stored, code))
            return answer, stored
        except OtherHash as found:
            stored = found.stored  # of a new password, or of the same, renewed by another log-in
        except Unauthorized as refusal:
            if refusal.code == "two_step_required":
                attempts.give_back(attempt.id)
            raise
    raise attempts.wrong()


def prove_again(code: str, *, by: Actor) -> None:
    """Somebody who is signed in shows a code, before money and roles; a wrong one counts like that of a log-in."""
    two_step.get_ready()
    with attempts.own(str(by.id), by.address), transaction():
        two_step.prove_again(code, by=by)


def _renew(user_id: str, stored: str, password: str) -> None:
    """The same password at the cost of now. Where too much waits, the next log-in does it."""
    with suppress(Unavailable):
        renewed = passwords.hashed(password)
        with transaction():
            renew_hash(user_id, stored, renewed)
