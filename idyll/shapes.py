"""How a row becomes an answer: from the `…Out` schema's fields to one SQL expression, made once at start.

A field is read from the model's attribute of its name (or of its `attribute`): a column, or a class method that gives
an SQL expression, a `One` (a nested object) or a `Many` (a list of values). tests/test_shapes.py proves for every
schema that the database encodes what marshmallow's `dump` would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import marshmallow as ma
import orjson
from sqlalchemy import BindParameter, ColumnElement, bindparam, case, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute

from .actor import Actor
from .columns import ID, Instant
from .database import execute
from .errors import Conflict, NotFound
from .fields import Schema
from .json_sql import Encoded, json_array, json_bool, json_instant, json_money, json_object, json_raw, json_text
from .money import Amount
from .scope import this_engine


@dataclass(frozen=True)
class One:
    """At most one row of another table, shown as a nested object; null where there is none."""

    source: Any
    where: ColumnElement[bool]


@dataclass(frozen=True)
class Many:
    """The values of a column of other rows, shown as a list."""

    column: ColumnElement[Any]
    where: ColumnElement[bool]


@dataclass
class Was:
    """What a locked row says in the database."""

    values: dict[str, Any]
    body: str


class Anybody(BindParameter[str]):
    """Stands for a viewer's id in a statement that is made once for all of their role; it has no text."""

    inherit_cache = True

    def __init__(self) -> None:
        super().__init__("viewer", type_=ID)

    def __str__(self) -> str:
        raise TypeError("whose id it is shows when the statement runs")

    __format__ = __str__  # type: ignore[assignment]  # whatever the format is


ANYBODY: Any = Anybody()
M = TypeVar("M")


class Shape(Generic[M]):
    """The answer that a schema promises, for rows of a model."""

    def __init__(self, schema: type[Schema], model: type[M], *, while_: ColumnElement[bool] | None = None) -> None:
        """`while_`: a row is saved only while the database still says so of it."""
        self.schema = schema
        self._dumping = schema()
        self._seen: dict[tuple[str, str], tuple[Any, Any]] = {}
        self.model = cast("Any", model)
        built = json_text(members(schema, model))
        self.table = self.model.__table__
        self.body = Encoded(f"{schema.__name__}:{model.__name__}", built, self.table).label("body")
        self._locked = select(*self.table.c, self.body).with_for_update(key_share=True)
        self._columns = [(c.name, c.default) for c in self.table.c if c.name != "seq"]
        self._insert = self._telling(insert(self.table))
        mine = [self.table.c.id == bindparam("key"), *([] if while_ is None else [while_])]
        self._update = self._telling(update(self.table).where(*mine))
        self._one = select(self.body).where(self.table.c.id == bindparam("key"))

    def find(self, *where: ColumnElement[bool]) -> str | None:
        """The encoded row, or None."""
        text: str | None = execute(select(self.body).where(*where)).scalar()
        return text

    def get(self, *where: ColumnElement[bool]) -> str:
        """The encoded row. Raises `NotFound`."""
        text = self.find(*where)
        if text is None:
            raise NotFound
        return text

    def of(self, key: str) -> str:
        """The encoded row. Raises `NotFound`."""
        text: str | None = execute(self._one, {"key": key}).scalar()
        if text is None:
            raise NotFound
        return text

    def dumped(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the database would say of a row, where all that is shown is known already."""
        made: dict[str, Any] = self._dumping.dump(values)
        return made

    def show(self, key: str, *, viewer: Actor) -> str:
        """The encoded row, if its viewer may see it. Raises `NotFound`."""
        showing, _ = self._for(viewer)
        text: str | None = execute(showing, {"key": key, "viewer": viewer.id}).scalar()
        if text is None:
            raise NotFound
        return text

    def _for(self, viewer: Actor) -> tuple[Any, Any]:
        """The statements by which those of this role see a row, and lock it."""
        form = (viewer.role, viewer.status)
        if form not in self._seen:
            mine = self.model.visible_to(replace(viewer, id=ANYBODY))
            locking = self._locked.where(self.table.c.id == bindparam("key"), mine)
            self._seen[form] = (self._one.where(mine), locking)
        return self._seen[form]

    # -- changing a row: lock it, set attributes, save it ------------------------------------------------------------

    def lock(self, key: str, *, viewer: Actor) -> M:
        """The row for a change, if its viewer may see it, as others left it. Raises `NotFound`."""
        _, locking = self._for(viewer)
        row = execute(locking, {"key": key, "viewer": viewer.id}).first()
        if row is None:
            raise NotFound
        return self._held(row._asdict())

    def lock_all(self, *where: ColumnElement[bool]) -> list[M]:
        """Rows for a change, in the order of their ids, as others left them."""
        # Foreign keys to the rows need not wait: no key of them ever changes.
        found = execute(self._locked.where(*where).order_by(self.table.c.id))
        return [self._held(row._asdict()) for row in found]

    def _held(self, values: dict[str, Any]) -> M:
        body = values.pop("body")
        made: Any = self.model(**values)
        made.was = Was(values, body)
        return cast("M", made)

    def insert(self, made: M) -> str:
        """Writes a new row; gives it encoded."""
        values = {}
        for name, default in self._columns:
            value = getattr(made, name)
            if value is None and default is not None:
                value = default.arg(None) if default.is_callable else default.arg
                setattr(made, name, value)
            values[name] = value
        return self._written(self._insert, values, values["id"])

    def save(self, row: M) -> str:
        """Writes what was set since `lock`; gives the row encoded. Raises `Conflict` for one that is frozen."""
        was = was_of(row)
        values = {name: getattr(row, name) for name, value in was.values.items() if getattr(row, name) != value}
        if values:
            key = was.values["id"]
            was.body = self._written(self._update, {**values, "key": key}, key)
            was.values |= values
        return was.body

    def _telling(self, statement: Any) -> dict[bool, Any]:
        """A statement, and the same that also gives the row encoded."""
        return {False: statement, True: statement.returning(self.body)}

    def _written(self, statement: dict[bool, Any], values: dict[str, Any], key: str) -> str:
        told = this_engine().dialect.name == "postgresql"
        found = execute(statement[told], values)
        if found.rowcount == 0:
            raise Conflict("It can't be changed any more.", code="frozen")
        return str(found.scalar_one()) if told else self.of(key)


def was_of(row: Any) -> Was:
    found: Was = row.was
    return found


def shown(row: Any) -> dict[str, Any]:
    """A locked row as its answer had it before the change."""
    return parsed(was_of(row).body)


def is_changed(row: Any) -> bool:
    """Whether anything was set since the row was locked."""
    return any(getattr(row, name) != value for name, value in was_of(row).values.items())


def encoded_with(schema: type[Schema], source: Any, **own: ColumnElement[Any]) -> json_text:
    """A row as JSON text whose fields named in `own` are read from expressions made for this very request."""
    return json_text(members(schema, source, own))


def members(schema: type[Schema], source: Any, own: dict[str, ColumnElement[Any]] | None = None) -> json_object:
    """The JSON object of a schema's fields, read from a model or an alias of it."""
    own = own or {}
    fields = {
        str(field.data_key): _expression(
            field, own[name] if name in own else _attribute(source, field.attribute or name)
        )
        for name, field in schema().dump_fields.items()
    }
    return json_object(fields)


def _attribute(source: Any, name: str) -> Any:
    attribute = getattr(source, name)
    return attribute if isinstance(attribute, InstrumentedAttribute) or not callable(attribute) else attribute()


def _expression(field: ma.fields.Field[Any], value: Any) -> ColumnElement[Any]:
    if isinstance(value, One):
        inner = select(members(field.schema.__class__, value.source)).where(value.where)  # type: ignore[attr-defined]  # of Nested alone
        return json_raw(inner.correlate_except(value.source).scalar_subquery())
    if isinstance(value, Many):
        listed = select(json_array(value.column)).where(value.where)
        return json_raw(listed.correlate_except(value.column.table).scalar_subquery())
    if isinstance(field, Amount):
        return json_money(value)
    if isinstance(field, ma.fields.Boolean):
        return json_bool(value)
    if isinstance(value.type, Instant):
        return json_instant(value)
    if isinstance(field, ma.fields.Dict | ma.fields.Raw):
        return json_raw(value)
    expression: ColumnElement[Any] = value
    return expression


def per_viewer(condition: ColumnElement[bool], then: Shape[Any], otherwise: Shape[Any]) -> ColumnElement[str]:
    """One shape for some rows of a list, another for the rest."""
    return case((condition, then.body), else_=otherwise.body)


def parsed(body: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(body)
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer that differ: the `updates` of an event."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def joined(body: str, **more: Any) -> str:
    """An encoded object with more members; values that are encoded already come as `orjson.Fragment`."""
    return f"{body[:-1]},{orjson.dumps(more).decode()[1:]}"
