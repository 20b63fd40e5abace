"""Payouts against a model in memory: whatever is done in whatever order, both say the same, to the hundredth."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
from conftest import People, Someone, actor, empty_tables
from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from idyll.actor import Actor
from idyll.audit import chain
from idyll.errors import Problem
from idyll.ledger import service as books
from idyll.membership import removal
from idyll.payouts import service as payouts
from idyll.shapes import parsed
from idyll.stats import service as stats
from idyll.tasks import service as tasks
from idyll.transactions import transaction

from .machines import EXAMPLES, PARTS, Counted, prove

# Coverage would take as long again, and other tests are there for it.
pytestmark = [pytest.mark.database, pytest.mark.no_cover]
LIMIT = 1_000_000  # of INR, from which on it takes two
RUNS = 100  # until the books are closed: a removal looks through all that was ever told
REFUSALS = {"forbidden", "not_found", "invalid", "illegal_move", "already_requested", "second_person_required"}
STATUSES = ("pending", "approved", "paid", "rejected", "cancelled")

which = st.integers(0, 11)
amounts = st.sampled_from([1, 29, 150_050, LIMIT - 1, LIMIT, LIMIT + 1, 1_000_000_000])
currencies = st.sampled_from(["INR", "INR", "EUR"])
mostly = st.sampled_from([True, True, True, False])
managers = st.sampled_from(["owner", "moderator"])
everybody = st.sampled_from(["owner", "moderator", "one", "two"])


@dataclass(frozen=True)
class Claimed:
    """A payout, as the model has it."""

    whose: str
    amount: int
    currency: str
    task: str | None
    status: str = "pending"
    decided_by: str | None = None
    version: int = 1

    def after(self, **changes: Any) -> "Claimed":
        after = replace(self, **changes)
        return self if after == self else replace(after, version=self.version + 1)

    @property
    def is_live(self) -> bool:
        return self.status in ("pending", "approved", "paid")


@dataclass
class Model:
    """What the contract says of payouts, without a database: each method gives what must come of a deed."""

    claims: dict[str, Claimed] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def ask(self, by: str, whose: str, task: str | None) -> str:
        if by != whose and not is_manager(by):
            return "forbidden"
        if whose in self.gone or (task and self.tasks.get(task) != whose):
            return "invalid"
        if task and any(claim.task == task and claim.is_live for claim in self.claims.values()):
            return "already_requested"
        return "ok"

    def change(self, by: str, claim: Claimed) -> str:
        if claim.whose != by:
            return "forbidden" if is_manager(by) else "not_found"
        return "ok" if claim.status == "pending" else "illegal_move"

    def decide(self, by: str, claim: Claimed, status: str, sent: dict[str, str]) -> str:
        if claim.whose != by and not is_manager(by):
            return "not_found"
        if claim.whose == by or not is_manager(by):
            return "forbidden"
        needed = {"paid": {"reference"}, "rejected": {"reason"}}.get(status, set())
        if sent.keys() != needed:
            return "invalid"
        legal = {"pending": ("approved", "rejected"), "approved": ("paid", "rejected")}
        if status not in legal.get(claim.status, ()):
            return "illegal_move"
        large = claim.currency == "INR" and claim.amount >= LIMIT
        return "second_person_required" if status == "paid" and large and claim.decided_by == by else "ok"

    def take_back(self, by: str, claim: Claimed) -> str:
        if claim.status == "cancelled" and claim.whose == by:
            return "ok"
        return self.change(by, claim)

    def cancel_waiting(self, of: Callable[[Claimed], bool]) -> None:
        for key, claim in self.claims.items():
            if claim.status == "pending" and of(claim):
                self.claims[key] = claim.after(status="cancelled")

    def sums(self, whose: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {name: {"count": 0, "sums": defaultdict(int)} for name in STATUSES}
        for claim in self.claims.values():
            if claim.whose == whose:
                found[claim.status]["count"] += 1
                found[claim.status]["sums"][claim.currency] += claim.amount
        for one in found.values():
            one["sums"] = {currency: amount / 100 for currency, amount in one["sums"].items()}
        return found


def is_manager(name: str) -> bool:
    return name in ("owner", "moderator")


class Payouts(Counted):
    """Each rule does something to both, and compares what came of it; `app` and the rest are set below."""

    people: People
    managing: dict[str, Someone]
    outcomes: Counter[str]
    verified: int

    @classmethod
    def open_books(cls) -> None:
        cls.managing = {"owner": cls.people.owner(), "moderator": cls.people.moderator()}

    @classmethod
    def close_books(cls) -> None:
        """Books and chain hold for all runs since the last time."""
        with cls.app.app_context():
            assert list(books.faults()) == []
            verdict = chain.verify()
            assert verdict.faults == []
            cls.verified += verdict.count
            empty_tables()

    @initialize()
    def begin(self) -> None:
        if self.done["examples"] % RUNS == 0:
            self.close_books()
            self.open_books()
        self.model = Model()
        # An agency of their own: nothing of the runs before can be mistaken for theirs.
        named = {**self.managing, "one": self.people.editor(), "two": self.people.editor()}
        self.ids = {name: who.id for name, who in named.items()}
        self.actors: dict[str, Actor] = {name: actor(who) for name, who in named.items()}
        self.before = {name: self.shown(name) for name in self.managing}

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self.app.app_context(), transaction():
            yield

    def outcome(self, work: Callable[[], Any]) -> tuple[str, Any]:
        try:
            with self.inside():
                made = work()
        except Problem as problem:
            self.outcomes[problem.code] += 1
            return problem.code, None
        self.outcomes["ok"] += 1
        return "ok", made

    def claim(self, n: int) -> tuple[str, Claimed]:
        # Of the latest ones, for which most is possible.
        keys = list(self.model.claims)[-6:]
        key = keys[n % len(keys)]
        return key, self.model.claims[key]

    def same(self, key: str, body: str) -> None:
        shown, claim = parsed(body), self.model.claims[key]
        assert (shown["status"], shown["currency"], shown["taskId"]) == (claim.status, claim.currency, claim.task)
        assert (shown["amount"], shown["version"]) == (claim.amount / 100, claim.version)
        assert shown["decidedBy"] == (self.ids[claim.decided_by] if claim.decided_by else None)

    def present(self, name: str) -> str:
        return "one" if name in self.model.gone else name

    # -- what may happen

    @precondition(lambda self: len(self.model.tasks) < 4)
    @rule(whose=st.sampled_from(["one", "two", "moderator"]))
    def finish_a_task(self, whose: str) -> None:
        whose = self.present(whose)
        fields = {"name": "Film", "deadline": date(2031, 1, 1), "assigned_to": self.ids[whose]}
        fields |= {"status": "completed", "approval_status": "approved"}
        with self.inside():
            task = parsed(tasks.create(fields, by=self.actors["owner"]))
        self.model.tasks[task["id"]] = whose

    @rule(by=everybody, whose=everybody, own=mostly, amount=amounts, currency=currencies, task=which)
    def ask(self, by: str, whose: str, own: bool, amount: int, currency: str, task: int) -> None:
        by = self.present(by)
        known = [*self.model.tasks, None]
        self.try_to_ask(by, None if own else whose, amount, currency, known[task % len(known)])

    @precondition(lambda self: self.model.tasks)
    @rule(n=which, again=st.booleans(), amount=amounts)
    def ask_for_a_task(self, n: int, again: bool, amount: int) -> None:
        """By whose it is, and perhaps once more after a refusal: left to chance the three hardly ever meet."""
        task = list(self.model.tasks)[n % len(self.model.tasks)]
        whose = self.model.tasks[task]
        self.try_to_ask(whose, None, amount, "INR", task)
        waiting = [key for key, claim in self.model.claims.items() if claim.task == task and claim.status == "pending"]
        if again and waiting:
            self.try_to_decide("owner", waiting[0], "rejected", {"reason": "No"})
            self.try_to_ask(whose, None, amount, "INR", task)

    def try_to_ask(self, by: str, whose: str | None, amount: int, currency: str, task: str | None) -> None:
        fields = {"project_name": "Film", "amount_minor": amount, "currency": currency, "task_id": task}
        fields |= {"editor_id": self.ids[whose]} if whose else {}
        whose = whose or by
        expected = self.model.ask(by, whose, task)
        got, body = self.outcome(lambda: payouts.request(fields, by=self.actors[by]))
        assert got == expected
        if body:
            key = parsed(body)["id"]
            self.model.claims[key] = Claimed(whose, amount, currency, task)
            self.same(key, body)

    @precondition(lambda self: self.model.claims)
    @rule(by=everybody, n=which, amount=amounts, currency=currencies)
    def ask_otherwise(self, by: str, n: int, amount: int, currency: str) -> None:
        by, (key, claim) = self.present(by), self.claim(n)
        changes = {"amount_minor": amount, "currency": currency}
        got, body = self.outcome(lambda: payouts.edit(self.locked(key, by), changes, by=self.actors[by]))
        assert got == self.model.change(by, claim)
        if body:
            self.model.claims[key] = claim.after(amount=amount, currency=currency)
            self.same(key, body)

    @precondition(lambda self: self.model.claims)
    @rule(by=managers, n=which, status=st.sampled_from(["approved", "approved", "paid", "paid", "paid", "rejected"]))
    def decide(self, by: str, n: int, status: str) -> None:
        key, _ = self.claim(n)
        self.try_to_decide(
            by, key, status, {"paid": {"reference": "UTR"}, "rejected": {"reason": "No"}}.get(status, {})
        )

    @precondition(lambda self: self.model.claims)
    @rule(by=managers, n=which)
    def approve_and_pay(self, by: str, n: int) -> None:
        key, _ = self.claim(n)
        for status, sent in (("approved", {}), ("paid", {"reference": "UTR"})):
            self.try_to_decide(by, key, status, sent)

    @precondition(lambda self: self.model.claims)
    @rule(
        by=everybody,
        n=which,
        status=st.sampled_from(["approved", "paid", "rejected"]),
        sent=st.sampled_from([{}, {"reference": "UTR"}, {"reason": "No"}, {"reference": "UTR", "reason": "No"}]),
    )
    def decide_as_may_not_be(self, by: str, n: int, status: str, sent: dict[str, str]) -> None:
        key, _ = self.claim(n)
        self.try_to_decide(self.present(by), key, status, sent)

    def try_to_decide(self, by: str, key: str, status: str, sent: dict[str, str]) -> None:
        claim = self.model.claims[key]
        changes = {"status": status, **sent}
        got, body = self.outcome(lambda: payouts.edit(self.locked(key, by), changes, by=self.actors[by]))
        assert got == self.model.decide(by, claim, status, sent)
        if body:
            decided_by = claim.decided_by if status == "paid" else by
            self.model.claims[key] = claim.after(status=status, decided_by=decided_by)
            self.same(key, body)

    @precondition(lambda self: self.model.claims)
    @rule(by=everybody, n=which)
    def take_back(self, by: str, n: int) -> None:
        by, (key, claim) = self.present(by), self.claim(n)
        got, _ = self.outcome(lambda: payouts.cancel(self.locked(key, by), by=self.actors[by]))
        assert got == self.model.take_back(by, claim)
        if got == "ok":
            self.model.claims[key] = claim.after(status="cancelled")

    @precondition(lambda self: len(self.model.tasks) > 2)
    @rule(n=which)
    def delete_a_task(self, n: int) -> None:
        task = list(self.model.tasks)[n % len(self.model.tasks)]
        with self.inside():
            tasks.remove(tasks.lock(task, viewer=self.actors["owner"]), by=self.actors["owner"])
        del self.model.tasks[task]
        self.model.cancel_waiting(lambda claim: claim.task == task)

    @precondition(lambda self: len(self.model.claims) > 7 and "two" not in self.model.gone)
    @rule()
    def remove_a_person(self) -> None:
        with self.inside():
            removal.remove(self.ids["two"], by=self.actors["owner"])
        self.model.gone.add("two")
        self.model.tasks = {task: whose for task, whose in self.model.tasks.items() if whose != "two"}
        self.model.cancel_waiting(lambda claim: claim.whose == "two")

    def locked(self, key: str, by: str) -> Any:
        return payouts.lock(key, viewer=self.actors[by])

    def shown(self, name: str) -> dict[str, Any]:
        with self.app.app_context():
            found: dict[str, Any] = stats.summary(viewer=self.actors["owner"], user_id=self.ids[name])
            return found["payouts"]["byStatus"]

    # -- at the end of each run

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        for key in self.model.claims:
            with self.app.app_context():
                self.same(key, payouts.show(key, viewer=self.actors["owner"]))
        assert self.audited(self.model.claims) == {key: claim.version for key, claim in self.model.claims.items()}
        for name in ("one", *({"two"} - self.model.gone)):
            assert self.shown(name) == self.model.sums(name)
        # Managers are there for all runs.
        for name, before in self.before.items():
            assert self.shown(name) == plus(before, self.model.sums(name))


def plus(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Both counts and sums together, in hundredths as the API shows them."""
    return {
        status: {
            "count": one[status]["count"] + two[status]["count"],
            "sums": {
                code: (round(one[status]["sums"].get(code, 0) * 100) + round(two[status]["sums"].get(code, 0) * 100))
                / 100
                for code in one[status]["sums"] | two[status]["sums"]
            },
        }
        for status in STATUSES
    }


@pytest.mark.parametrize("part", PARTS)
def test_payouts_do_what_the_model_says(
    app: Flask, people: People, part: int, monkeypatch: pytest.MonkeyPatch, measured: Callable[[str, Any], None]
) -> None:
    monkeypatch.setitem(app.config, "PAYOUT_SECOND_APPROVAL_FROM", {"INR": LIMIT})
    Payouts.app, Payouts.people, Payouts.outcomes, Payouts.verified = app, people, Counter(), 0
    Payouts.open_books()
    prove(Payouts, part, measured)
    Payouts.close_books()
    assert Payouts.verified > EXAMPLES
    measured("deeds by their outcome", dict(Payouts.outcomes))
    # None of what a payout may be refused with was left out.
    assert Payouts.outcomes.keys() >= {"ok", *REFUSALS}
