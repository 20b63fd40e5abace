"""Column types that mean the same on SQLite, PostgreSQL, MariaDB and MySQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import CHAR, TIMESTAMP, BigInteger, Integer, String, Text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from .clock import whole_milliseconds

# A UUID as its text: native on PostgreSQL, 36 bytes of ASCII elsewhere.
ID: TypeEngine[str] = (
    CHAR(36)
    .with_variant(postgresql.UUID(as_uuid=False), "postgresql")
    .with_variant(mysql.CHAR(36, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
# TEXT ends at 64 KiB on MySQL.
LONG_TEXT: TypeEngine[str] = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
# SQLite counts up only an INTEGER primary key.
SERIAL: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


class Instant(TypeDecorator[datetime]):
    """An aware moment in UTC with milliseconds; on SQLite the very text that the API answers."""

    impl = TIMESTAMP
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=3))
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(24))
        return dialect.type_descriptor(mysql.DATETIME(fsp=3))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        moment = whole_milliseconds(value if value.tzinfo is UTC else value.astimezone(UTC))
        if dialect.name == "sqlite":
            return instant_text(moment)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return datetime.fromisoformat(value)
        moment: datetime = value
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def instant_text(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
