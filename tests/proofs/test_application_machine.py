"""Applications and the accounts that come of them, against a model in memory."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from conftest import PASSWORD, Someone
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from .machines import PARTS, Agency, Machine, prove

# Coverage would take as long again, and other tests are there for it.
pytestmark = [pytest.mark.database, pytest.mark.no_cover]

EMAILS = st.sampled_from([f"person{n}@example.com" for n in range(4)])
BOSSES = st.sampled_from(["owner", "moderator"])
WHICH = st.integers(0, 11)
# Failed log-ins of an account, and of all, until none is looked at.
HERE, THERE = 5, 20
NOBODY = "nobody@example.com"
REASONS = st.sampled_from([None, "Too early.", ""])


@dataclass
class Account:
    id: str
    email: str
    status: str
    has_password: bool


@dataclass
class Application:
    id: str
    email: str | None
    source: str
    token: str | None = None
    status: str = "pending"
    reason: str | None = None
    user_id: str | None = None
    decided_by: str | None = None
    is_decided: bool = False
    decisions: int = 0


@dataclass
class Model:
    """What the contract says of them."""

    accounts: dict[str, Account] = field(default_factory=dict)  # by id; a removed one is not there
    applications: dict[str, Application] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)  # log-ins, by account; all from one address

    def account_of(self, email: str | None) -> Account | None:
        return next((account for account in self.accounts.values() if account.email == email), None)

    def decide(self, chosen: list[Application], status: str, reason: str | None, user: str | None, by: str) -> None:
        for one in chosen:
            one.status, one.reason, one.user_id = status, reason, user
            one.decided_by, one.is_decided = by, True
            one.decisions += 1

    def waiting(self, email: str | None) -> list[Application]:
        return [one for one in self.applications.values() if email and one.email == email and one.status == "pending"]

    def erase(self, account: Account) -> None:
        for one in self.applications.values():
            if one.user_id == account.id or one.email == account.email:
                if one.status == "pending":
                    one.status, one.is_decided = "rejected", True
                one.email = one.reason = None
        del self.accounts[account.id]
        del self.failed[account.id]

    def is_looked_at(self, account: str) -> bool:
        return self.failed[account] < HERE and self.failed.total() < THERE


class ApplicationMachine(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.names = count(1)

    def boss(self, name: str) -> Someone:
        return getattr(self, name)

    def one(self, which: int) -> Application:
        applications = list(self.model.applications.values())
        return applications[which % len(applications)]

    def somebody(self, which: int) -> Account:
        accounts = list(self.model.accounts.values())
        return accounts[which % len(accounts)]

    # -- coming in -----------------------------------------------------------------------------------------------------

    @rule(email=EMAILS)
    def apply(self, email):
        """The answer is the same whether or not there is an account."""
        found = self.expect(201, "POST", "/applications", None, {"fullName": "Somebody", "email": email})
        assert (found["status"], found["source"], found["email"]) == ("pending", "form", email)
        assert not found.keys() & {"userId", "accountExists", "accountCreatedAt", "decidedBy"}
        self.model.applications[found["id"]] = Application(found["id"], email, "form", found["statusToken"])

    @rule(email=EMAILS)
    def register(self, email):
        body = {"email": email, "username": f"somebody{next(self.names)}", "password": PASSWORD}
        if self.model.account_of(email):
            assert self.expect(409, "POST", "/auth/register", None, body)["code"] == "email_taken"
            return
        user = self.expect(201, "POST", "/auth/register", None, body)["user"]
        assert (user["status"], user["role"]) == ("pending", "editor")
        self.model.accounts[user["id"]] = Account(user["id"], email, "pending", True)
        [new] = {row["id"] for row in self.every("/applications", self.owner)} - self.model.applications.keys()
        self.model.applications[new] = Application(new, email, "registration", user_id=user["id"])

    @rule(email=EMAILS, by=BOSSES)
    def add(self, email, by):
        """By a manager, who makes a member at once: what they applied for is decided by it."""
        boss = self.boss(by)
        body = {"email": email, "displayName": "Somebody", "password": PASSWORD}
        if self.model.account_of(email):
            assert self.expect(409, "POST", "/users", boss, body)["code"] == "email_taken"
            return
        user = self.expect(201, "POST", "/users", boss, body)
        self.model.decide(self.model.waiting(email), "approved", None, user["id"], boss.id)
        self.model.accounts[user["id"]] = Account(user["id"], email, "approved", True)

    # -- deciding ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.applications)
    @rule(which=WHICH, by=BOSSES)
    def approve(self, which, by):
        one, boss = self.one(which), self.boss(by)
        path = f"/applications/{one.id}/approve"
        if one.status == "approved":
            with self.no_trace():
                assert "invite" not in self.expect(200, "PUT", path, boss)
            return
        if one.email is None:
            assert self.expect(409, "PUT", path, boss)["code"] == "applicant_removed"
            return
        found = self.expect(200, "PUT", path, boss)
        account = self.model.account_of(one.email)
        assert ("invite" in found) == (account is None)
        if account is None:
            account = Account(found["userId"], one.email, "approved", False)
            self.model.accounts[account.id] = account
        account.status = "approved"
        others = [other for other in self.model.waiting(one.email) if other is not one]
        self.model.decide([one, *others], "approved", None, account.id, boss.id)

    @precondition(lambda self: self.model.applications)
    @rule(which=WHICH, by=BOSSES, reason=REASONS)
    def reject(self, which, by, reason):
        one, boss = self.one(which), self.boss(by)
        path, body = f"/applications/{one.id}/reject", {"reason": reason}
        if one.status != "pending":
            with self.no_trace():
                found = self.expect(409 if one.status == "approved" else 200, "PUT", path, boss, body)
            assert found["current" if one.status == "approved" else "status"] == one.status
            return
        self.expect(200, "PUT", path, boss, body)
        account = self.model.account_of(one.email)
        if account and account.status == "pending":
            account.status = "rejected"
        chosen = self.model.waiting(one.email)
        self.model.decide(chosen, "rejected", reason or None, account.id if account else None, boss.id)

    @precondition(lambda self: self.model.accounts)
    @rule(which=WHICH, by=BOSSES, status=st.sampled_from(["approved", "rejected", "pending"]))
    def decide_on_account(self, which, by, status):
        account, boss = self.somebody(which), self.boss(by)
        path, body = f"/users/{account.id}", {"status": status}
        if status == "pending":
            self.expect(422, "PUT", path, boss, body)
        elif status == account.status:
            with self.no_trace():
                self.expect(200, "PUT", path, boss, body)
        elif account.status == "approved":
            with self.no_trace():
                assert self.expect(409, "PUT", path, boss, body)["code"] == "already_approved"
        else:
            assert self.expect(200, "PUT", path, boss, body)["status"] == status
            account.status = status
            self.model.decide(self.model.waiting(account.email), status, None, account.id, boss.id)

    # -- going ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.accounts)
    @rule(which=WHICH, by=BOSSES)
    def remove(self, which, by):
        account = self.somebody(which)
        self.expect(204, "DELETE", f"/users/{account.id}", self.boss(by))
        self.model.erase(account)

    @precondition(lambda self: self.model.applications)
    @rule(which=WHICH, by=BOSSES)
    def delete(self, which, by):
        one = self.one(which)
        self.expect(204, "DELETE", f"/applications/{one.id}", self.boss(by))
        self.expect(404, "GET", f"/applications/{one.id}", self.boss(by))
        if one.token:
            self.expect(404, "GET", f"/applications/status/{one.token}")
        del self.model.applications[one.id]

    @precondition(lambda self: self.model.accounts)
    @rule(which=WHICH, by=BOSSES, email=EMAILS)
    def move(self, which, by, email):
        """To another e-mail; what they filed goes along."""
        account, taken = self.somebody(which), self.model.account_of(email)
        if taken and taken is not account:
            self.expect(409, "PUT", f"/users/{account.id}", self.boss(by), {"email": email})
            return
        self.expect(200, "PUT", f"/users/{account.id}", self.boss(by), {"email": email})
        if email != account.email:
            account.email = email
            for one in self.model.applications.values():
                if one.user_id == account.id:
                    one.email = email

    # -- what may not be, and what is seen -----------------------------------------------------------------------------

    @precondition(lambda self: self.model.applications)
    @rule(which=WHICH, what=st.sampled_from(["approve", "reject"]))
    def meddle(self, which, what):
        path = f"/applications/{self.one(which).id}"
        self.expect(403, "PUT", f"{path}/{what}", self.editors[0], {} if what == "reject" else None)
        self.expect(403, "GET", path, self.editors[0])
        self.expect(401, "PUT", f"{path}/{what}")

    @precondition(lambda self: self.model.applications)
    @rule(which=WHICH)
    def ask_how_it_goes(self, which):
        one = self.one(which)
        if one.token:
            found = self.expect(200, "GET", f"/applications/status/{one.token}")
            assert (found["status"], found["reason"]) == (one.status, one.reason)

    @precondition(lambda self: self.model.accounts)
    @rule(which=WHICH)
    def log_in(self, which):
        account = self.somebody(which)
        body = {"login": account.email, "password": PASSWORD}
        if not self.model.is_looked_at(account.id):
            self.expect(429, "POST", "/auth/login", None, body)
        elif not account.has_password:
            self.model.failed[account.id] += 1
            self.expect(401, "POST", "/auth/login", None, body)
        elif account.status == "rejected":
            assert self.expect(403, "POST", "/auth/login", None, body)["code"] == "account_rejected"
        else:
            user = self.expect(200, "POST", "/auth/login", None, body)["user"]
            assert (user["id"], user["status"]) == (account.id, account.status)

    @precondition(lambda self: self.model.failed.total() < THERE)
    @rule(which=st.none() | WHICH, times=st.sampled_from([1, HERE, HERE + 1]))
    def guess(self, which, times):
        """A wrong password, for somebody's account or nobody's: not one more is looked at than may fail."""
        account = self.somebody(which) if which is not None and self.model.accounts else None
        key = account.id if account else NOBODY
        body = {"login": account.email if account else NOBODY, "password": "wrong"}
        for _ in range(times):
            looked_at = self.model.is_looked_at(key)
            self.expect(401 if looked_at else 429, "POST", "/auth/login", None, body)
            self.model.failed[key] += looked_at

    @invariant()
    def all_is_as_modelled(self):
        rows = self.every("/applications", self.owner)
        assert {row["id"] for row in rows} == self.model.applications.keys()
        for row in rows:
            self.is_as_modelled(row, self.model.applications[row["id"]])

    def is_as_modelled(self, row: dict[str, Any], one: Application) -> None:
        told = (row["email"], row["source"], row["status"], row["reason"], row["userId"], row["decidedBy"])
        assert told == (one.email, one.source, one.status, one.reason, one.user_id, one.decided_by)
        assert (row["decidedAt"] is not None) == one.is_decided
        account = self.model.account_of(one.email) if one.email else None
        assert (row["accountExists"], row["accountCreatedAt"] is not None) == (account is not None, account is not None)

    def teardown(self):
        users = {row["id"]: row for row in self.every("/users", self.owner)}
        team = {self.owner.id, self.moderator.id, *(editor.id for editor in self.editors)}
        assert users.keys() - team == self.model.accounts.keys()
        for account in self.model.accounts.values():
            assert (users[account.id]["email"], users[account.id]["status"]) == (account.email, account.status)
        applications = self.model.applications
        assert self.audited(applications) == {key: 1 + one.decisions for key, one in applications.items()}


@pytest.mark.parametrize("part", PARTS)
def test_applications_do_what_the_model_does(app, part, measured):
    ApplicationMachine.app, ApplicationMachine.agency = app, Agency(app)
    prove(ApplicationMachine, part, measured)
