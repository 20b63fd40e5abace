"""The extensions, unbound; `create_app` binds them. Models derive from `db.Model`."""

from datetime import date, datetime
from typing import Any

from flask_jwt_extended import JWTManager
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_smorest import Api
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Boolean, Date, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, registry

from .columns import Instant


class Base(DeclarativeBase):
    """Names every constraint (SQLite's batch mode can drop only what has a name) and maps Python's types to ours."""

    # In a registry of its own: `type_annotation_map` on the class crashes Flask-SQLAlchemy 3.1.
    registry = registry(
        metadata=MetaData(
            naming_convention={
                "ix": "ix_%(table_name)s_%(column_0_N_name)s",
                "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
                "fk": "fk_%(table_name)s_%(column_0_N_name)s",
                "pk": "pk_%(table_name)s",
            }
        ),
        type_annotation_map={datetime: Instant(), date: Date(), bool: Boolean(), int: Integer(), str: String(255)},
    )


# Binary collation: ids, tokens and client ids that differ only in case are different, as on the other databases.
MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


class SilentApi(Api):  # type: ignore[misc]  # because the library ships no types
    """flask-smorest without its error handler: errors.py shapes every refusal."""

    def _register_error_handlers(self) -> None:
        pass


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False, "autoflush": False})
Model: Any = db.Model
jwt = JWTManager()
socketio = SocketIO()
# Counts and keeps; when to count is said in limits.py, so that its hooks don't run on every request.
limiter = Limiter(get_remote_address)
api = SilentApi()
