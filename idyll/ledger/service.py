"""Postings of every move of money, the sums made of them, and their comparison with what they are about."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import BigInteger, Select, and_, bindparam, case, func, insert, literal_column, select, text, union_all

from ..actor import Actor
from ..clock import now
from ..database import execute
from ..payouts.models import Payment, Payout
from ..running import Rows
from ..scope import this_engine
from ..transactions import owe, transaction
from .models import Account, Posting

ROWS = insert(Posting.__table__).inline()
SHOWN = 50  # faults of one kind
# The client of MySQL and MariaDB waits 30 s, and they make an index for the foreign key, by which a batch finds its
# postings. Elsewhere each batch would read the whole ledger, and an index would cost whoever writes a posting.
IN_BATCHES = frozenset(("mysql", "mariadb"))
BATCH = 10_000
# Of this transaction alone: a pooler may lend the connection to others.
WITHOUT_TIME_OUT = text("SET LOCAL statement_timeout = 0")


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
    return balances(tuple(row) for row in _found(_SUMS))


# -- comparing -------------------------------------------------------------------------------------------------------


def faults() -> Iterator[str]:
    """Where the books and the payouts, or the payouts and the payments, say different things; of each kind some."""
    for payout, editor, account, currency, amount in islice(_found(_BOOKS), SHOWN):
        words = f"{_money(amount, currency)} at {account} is in one of payouts and ledger alone"
        yield f"payout {payout} of {editor}: {words}"
    for payout, currency, amount in islice(_found(_PAYMENTS), SHOWN):
        yield f"payout {payout}: {_money(amount, currency)} is in one of paid payouts and payments alone"
    for payout, count in islice(_found(_TWICE), SHOWN):
        yield f"payout {payout}: {count} postings pay it"
    alone: Counter[str] = Counter()
    for currency, total in _found(_ALONE):
        alone[currency] += int(total)
    for currency, amount in sorted(alone.items()):
        yield f"{_money(amount, currency)} was paid by postings that no payment belongs to"


def _money(amount: int, currency: str) -> str:
    return f"{int(amount) / 100:.2f} {currency}"


# -- all of it in one pass, which databases sort on their disks, or one batch of keys after the other -----------------


# What says of a column that it is in the batch.
Among = Callable[[Any], Any]


@dataclass(frozen=True)
class _Batches:
    """A SELECT of what has its keys in a batch."""

    least: Any
    inside: Any
    last: Any  # without an upper end
    following: Any


def _batches(key: Any, least: Any, make: Callable[[Among], Any]) -> _Batches:
    first, end = (bindparam(name, type_=key.type) for name in ("first", "end"))
    some = select(key.label("key")).where(key >= first).order_by(key).limit(bindparam("size", type_=BigInteger()))
    keys = some.subquery().c.key
    # The last of these, and not the first one after them: MariaDB would look for it from the beginning of the index.
    following = select(keys).order_by(keys.desc()).limit(1)
    inside = make(lambda column: and_(column >= first, column < end))
    return _Batches(least, inside, make(lambda column: column >= first), following)


def _found(batches: _Batches) -> Iterator[Any]:
    first = batches.least
    while this_engine().dialect.name in IN_BATCHES:
        end = execute(batches.following, {"first": first, "size": BATCH + 1}).scalar()
        if end in (None, first):
            break
        yield from execute(batches.inside, {"first": first, "end": end})
        first = end
    yield from _at_leisure(batches.last, {"first": first})


def _at_leisure(statement: Any, parameters: Any) -> Rows:
    """One pass over large books takes longer than anything that a request waits for."""
    if this_engine().dialect.name != "postgresql":
        return execute(statement, parameters)
    with transaction():
        execute(WITHOUT_TIME_OUT)
        return execute(statement, parameters)


def _by_payout(make: Callable[[Among], Any]) -> _Batches:
    return _batches(Payout.id, "00000000-0000-0000-0000-000000000000", make)


def _by_posting(make: Callable[[Among], Any]) -> _Batches:
    return _batches(Posting.id, -(2**63), make)


def _difference(keys: list[Any], *parts: Any) -> Select[Any]:
    """Groups of which the amounts of all parts, some of them negative, do not make zero."""
    all_of_them = union_all(*parts).subquery()
    columns = [all_of_them.c[key] for key in keys]
    total = func.sum(all_of_them.c.amount)
    return select(*columns, total).group_by(*columns).having(total != 0).order_by(*columns).limit(SHOWN)


def _postings(account: Any, amount: Any, among: Among) -> Select[Any]:
    columns = (Posting.payout_id, Posting.editor_id, account.label("account"), Posting.currency, amount.label("amount"))
    return select(*columns).where(account != Account.ASKED, among(Posting.payout_id))


_PAID = Posting.put_into == Account.PAID
_BOOKS = _by_payout(
    lambda among: _difference(
        ["payout_id", "editor_id", "account", "currency"],
        select(
            Payout.id.label("payout_id"),
            Payout.editor_id,
            Payout.status.label("account"),
            Payout.currency,
            Payout.amount_minor.label("amount"),
        ).where(among(Payout.id)),
        _postings(Posting.put_into, -Posting.amount_minor, among),
        _postings(Posting.taken_from, Posting.amount_minor, among),
    )
)
_PAYMENTS = _by_payout(
    lambda among: _difference(
        ["payout_id", "currency"],
        select(Payment.payout_id, Payment.currency, Payment.amount_minor.label("amount")).where(
            among(Payment.payout_id)
        ),
        select(Payout.id, Payout.currency, -Payout.amount_minor).where(Payout.status == Account.PAID, among(Payout.id)),
    )
)
_TWICE = _by_payout(
    lambda among: (
        select(Posting.payout_id, func.count())
        .where(_PAID, among(Posting.payout_id))
        .group_by(Posting.payout_id)
        .having(func.count() > 1)
        .limit(SHOWN)
    )
)
# Not in the WHERE, or MariaDB would go for each batch through all postings that have no payment.
_UNPAID = func.sum(case((Posting.payment_id.is_(None), Posting.amount_minor), else_=0))
_ALONE = _by_posting(
    lambda among: (
        select(Posting.currency, _UNPAID).where(_PAID, among(Posting.id)).group_by(Posting.currency).having(_UNPAID > 0)
    )
)
_SUMS = _by_posting(
    lambda among: select(MOVE, Posting.currency, MOVED).where(among(Posting.id)).group_by(MOVE, Posting.currency)
)
