"""What a fuzzed person has in hand: their password, the code that their app shows, links and tokens that are good now.

No generator finds these, so without them whatever is behind a right password would never be reached.
"""

from typing import Any

from authenticator import code_of
from conftest import PASSWORD, settings
from flask_jwt_extended import decode_token
from sqlalchemy import delete, select, update

from idyll import create_app
from idyll.actor import Actor
from idyll.auth import passwords
from idyll.auth.models import LoginAttempt, TwoStepSecret
from idyll.auth.service import Caller, Proof, open_session, password_link
from idyll.database import execute
from idyll.ids import uuid7
from idyll.payouts import service as payouts
from idyll.shapes import parsed
from idyll.transactions import transaction
from idyll.users import service as users
from idyll.users.models import User
from idyll.users.roles import Role, Status


class Keys:
    """Those of the people of one database, given out by its id."""

    def __init__(self, database: str, secrets: dict[str, str]) -> None:
        self.app = create_app(settings(DATABASE_URL=database, **secrets))
        with self.app.app_context():
            self.hash = passwords.hashed(PASSWORD)
        self.app_secret = ""
        self.made = 0

    def session(self, user_id: str) -> dict[str, str]:
        """A new one: its id, its accessToken and its refreshToken."""
        with self.app.app_context():
            wanted = select(User.password_hash, User.two_step_at).where(User.id == user_id)
            stored, since = execute(wanted).one()
            proof = Proof(uuid7(), stored, self.code(user_id)) if since else None
            with transaction():
                opened = parsed(open_session(user_id, Caller("192.0.2.1", "schemathesis", None), proof=proof))
            return {"id": decode_token(opened["accessToken"])["sid"], **opened}

    def password(self, user_id: str) -> str:
        """Whatever it was changed to meanwhile."""
        self._do(update(User.__table__).where(User.id == user_id).values(password_hash=self.hash))
        return PASSWORD

    def code(self, user_id: str) -> str:
        """Of this moment; it counts although one of the same moment was used."""
        self._do(update(TwoStepSecret.__table__).where(TwoStepSecret.user_id == user_id).values(last_step=0))
        return code_of(self.app_secret) if self.app_secret else "000000"

    def link(self, user_id: str) -> str:
        with self.app.app_context(), transaction():
            return password_link(user_id)["url"].partition("token=")[2]

    def name(self, user_id: str) -> str:
        with self.app.app_context():
            return str(execute(select(User.email).where(User.id == user_id)).scalar())

    def twin(self, user_id: str) -> str:
        """Somebody else with the same rights, who may remove themselves."""
        self.made += 1
        with self.app.app_context(), transaction():
            role, status = execute(select(User.role, User.status).where(User.id == user_id)).one()
            fields = {"email": f"twin{self.made}@example.com", "display_name": f"Twin {self.made}", "role": role}
            return str(users.make(fields, status=Status(status), password_hash=self.hash).id)

    def payout(self, user_id: str) -> str:
        """One that nobody has decided on: an editor's own, who may ask otherwise, or for managers that of a new one."""
        self.made += 1
        with self.app.app_context(), transaction():
            editor = execute(select(User.id, User.role, User.status).where(User.id == user_id)).one()
            if (editor.role, editor.status) != (Role.EDITOR, Status.APPROVED):
                fields = {"email": f"payee{self.made}@example.com", "display_name": "Payee", "role": Role.EDITOR}
                editor = users.make(fields, status=Status.APPROVED, password_hash=None)
            by = Actor(editor.id, editor.role, editor.status)
            return str(parsed(payouts.request({"project_name": "Film", "amount_minor": 100}, by=by))["id"])

    def forget_failures(self) -> None:
        """They are counted whatever the limits are (tests/test_failed_logins.py), and these are all of one address."""
        self._do(delete(LoginAttempt.__table__))

    def _do(self, statement: Any) -> None:
        with self.app.app_context(), transaction():
            execute(statement)
