from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..columns import ID, LONG_TEXT, SERIAL
from ..extensions import MYSQL, Model


class Event(Model):
    """One change as clients are told of it.

    `position` is its place in the log and its `eventId`. It is given after the commit, or by who holds the
    log until its own (`events.sealing`): numbers taken inside of transactions become visible out of order, and a reader
    would skip the late ones.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "position", unique=True),
        Index(None, "about", "of"),
        MYSQL,
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    position: Mapped[int | None] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(40))
    data: Mapped[str] = mapped_column(LONG_TEXT)
    about: Mapped[str] = mapped_column(String(20))
    of: Mapped[str] = mapped_column(ID)
    audience: Mapped[str] = mapped_column(LONG_TEXT)
    created_at: Mapped[datetime]
