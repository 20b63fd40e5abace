"""The running instances."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from ..columns import ID
from ..extensions import MYSQL, Model


class Instance(Model):
    """One process that serves; its row goes with it, or is forgotten once it is silent."""

    __tablename__ = "instances"
    __table_args__ = (MYSQL,)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    seen_at: Mapped[datetime]
