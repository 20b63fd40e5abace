"""Postings of every move of money, the sums made of them, and their comparison with what they are about."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from sqlalchemy import Select, and_, func, insert, literal_column, select, union_all

from ..actor import Actor
from ..clock import now
from ..database import execute
from ..payouts.models import Payment, Payout
from ..transactions import owe
from .models import Account, Posting

ROWS = insert(Posting.__table__).inline()
SHOWN = 50  # faults of one kind


class Claim(Protocol):
    """What is asked for, and by whom."""

    @property
    def id(self) -> str: ...
    @property
    def editor_id(self) -> str: ...


def post(claim: Claim, taken_from: str, put_into: str, amount_minor: int, currency: str, *, by: Actor) -> None:
    """Writes one move, in its transaction."""
    owe(
        ROWS,
        {
            "payout_id": claim.id,
            "payment_id": claim.id if put_into == Account.PAID else None,
            "editor_id": claim.editor_id,
            "by_id": by.id,
            "taken_from": taken_from,
            "put_into": put_into,
            "amount_minor": amount_minor,
            "currency": currency,
            "at": now(),
        },
    )


# -- sums ------------------------------------------------------------------------------------------------------------

# Both accounts in one word, so that all sums take one look at each posting.
MOVE = Posting.taken_from.concat(literal_column("'>'")).concat(Posting.put_into)
MOVED = func.sum(Posting.amount_minor)


def balances(moved: Iterable[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    """What stands on each account, in hundredths by currency, from `(MOVE, currency, sum)`; nothing is left out."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for move, currency, amount in moved:
        taken_from, put_into = move.split(">")
        found[taken_from][currency] -= int(amount)
        found[put_into][currency] += int(amount)
    return found


def all_balances() -> dict[str, dict[str, int]]:
    rows = execute(select(MOVE, Posting.currency, MOVED).group_by(MOVE, Posting.currency), {})
    return balances(tuple(row) for row in rows)


# -- comparing -------------------------------------------------------------------------------------------------------


def faults() -> Iterator[str]:
    """Where the books and the payouts, or the payouts and the payments, say different things."""
    for payout, editor, account, currency, amount in execute(_BOOKS, {}):
        words = f"{_money(amount, currency)} at {account} is in one of payouts and ledger alone"
        yield f"payout {payout} of {editor}: {words}"
    for payout, currency, amount in execute(_PAYMENTS, {}):
        yield f"payout {payout}: {_money(amount, currency)} is in one of paid payouts and payments alone"
    for payout, count in execute(_TWICE, {}):
        yield f"payout {payout}: {count} postings pay it"
    for currency, total in execute(_ALONE, {}):
        yield f"{_money(total, currency)} was paid by postings that no payment belongs to"


def _money(amount: int, currency: str) -> str:
    return f"{int(amount) / 100:.2f} {currency}"


def _difference(keys: list[Any], *parts: Any) -> Select[Any]:
    """Groups of which the amounts of all parts, some of them negative, do not make zero."""
    all_of_them = union_all(*parts).subquery()
    columns = [all_of_them.c[key] for key in keys]
    total = func.sum(all_of_them.c.amount)
    return select(*columns, total).group_by(*columns).having(total != 0).order_by(*columns).limit(SHOWN)


def _postings(account: Any, amount: Any) -> Select[Any]:
    columns = (Posting.payout_id, Posting.editor_id, account.label("account"), Posting.currency, amount.label("amount"))
    return select(*columns).where(account != Account.ASKED)


_PAID = Posting.put_into == Account.PAID
_BOOKS = _difference(
    ["payout_id", "editor_id", "account", "currency"],
    select(
        Payout.id.label("payout_id"),
        Payout.editor_id,
        Payout.status.label("account"),
        Payout.currency,
        Payout.amount_minor.label("amount"),
    ),
    _postings(Posting.put_into, -Posting.amount_minor),
    _postings(Posting.taken_from, Posting.amount_minor),
)
_PAYMENTS = _difference(
    ["payout_id", "currency"],
    select(Payment.payout_id, Payment.currency, Payment.amount_minor.label("amount")),
    select(Payout.id, Payout.currency, -Payout.amount_minor).where(Payout.status == Account.PAID),
)
_TWICE = (
    select(Posting.payout_id, func.count())
    .where(_PAID)
    .group_by(Posting.payout_id)
    .having(func.count() > 1)
    .limit(SHOWN)
)
_ALONE = select(Posting.currency, MOVED).where(and_(_PAID, Posting.payment_id.is_(None))).group_by(Posting.currency)
