"""Task numbers, places in the event log, the turn of messages: one row each, locked by whoever takes the next."""

from sqlalchemy import BigInteger, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from .database import execute
from .extensions import MYSQL, Model, db

RIGHTS = "rights"


class Counter(Model):
    """The last number given. The rows are made by the migrations."""

    __tablename__ = "counters"
    __table_args__ = (MYSQL,)

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


def advance(name: str, by: int = 1, *, at_least: int = 0) -> int:
    """Takes the next `by` numbers and gives the last of them; others wait until this transaction ends.

    A rolled back transaction gives its numbers back to nobody else meanwhile, so none is given twice.
    """
    session, taken = db.session, update(Counter).where(Counter.name == name).values(value=Counter.value + by)
    if not at_least and db.engine.dialect.update_returning:
        return int(session.execute(taken.returning(Counter.value)).scalar_one())
    session.execute(taken)
    if at_least:
        execute(update(Counter).where(Counter.name == name, Counter.value < at_least).values(value=at_least))
    return int(execute(select(Counter.value).where(Counter.name == name)).scalar_one())
