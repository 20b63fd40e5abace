"""Task numbers, places in the event log, changes of rights: one row each, locked by whoever takes the next."""

from sqlalchemy import BigInteger, String, bindparam, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from .database import execute
from .extensions import MYSQL, Model
from .scope import this_engine

RIGHTS, TASK_NUMBER = "rights", "task_number"
SEQUENCES = {TASK_NUMBER: select(func.nextval("task_numbers"))}


class Counter(Model):
    """The last number given. The rows are made by the migrations."""

    __tablename__ = "counters"
    __table_args__ = (MYSQL,)

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


_TABLE = Counter.__table__
ADVANCE = (
    update(_TABLE)
    .where(_TABLE.c.name == bindparam("counter"))
    .values(value=_TABLE.c.value + bindparam("step", type_=BigInteger()))
)
_ADVANCE_AND_TELL = ADVANCE.returning(_TABLE.c.value)


def take(name: str) -> int:
    """The next number, never given twice; gaps are allowed, so nobody waits where the database has sequences."""
    if this_engine().dialect.name == "postgresql":
        return int(execute(SEQUENCES[name], {}).scalar_one())
    return advance(name)


def advance(name: str, by: int = 1, *, at_least: int = 0) -> int:
    """Takes the next `by` numbers and gives the last of them; others wait until this transaction ends.

    A rolled back transaction gives its numbers back to nobody else meanwhile, so none is given twice.
    """
    step = {"counter": name, "step": by}
    if not at_least and this_engine().dialect.update_returning:
        return int(execute(_ADVANCE_AND_TELL, step).scalar_one())
    execute(ADVANCE, step)
    if at_least:
        execute(update(_TABLE).where(_TABLE.c.name == name, _TABLE.c.value < at_least).values(value=at_least))
    return int(execute(select(Counter.value).where(Counter.name == name)).scalar_one())
