"""JSON built by the database: few constructs, compiled for SQLite, PostgreSQL, MariaDB and MySQL.

A page leaves the database as text that is ready to send. Python then neither fetches twenty columns a row nor makes
objects of them, which is where most of the time of a list went (docs/adr/007-how-lists-are-read.md).
"""

from typing import Any

from sqlalchemy import ColumnElement, Date, FromClause, Insert, Integer, Text, Uuid, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal


class json_object(FunctionElement[str]):  # noqa: N801 - an SQL function
    """An object of the given names and expressions."""

    type = Text()
    inherit_cache = True

    def __init__(self, members: dict[str, ColumnElement[Any]]) -> None:
        pairs: list[Any] = []
        for name, value in members.items():
            pairs += [literal_column(f"'{name}'"), value]
        self.names = list(members)
        super().__init__(*pairs)


class json_raw(FunctionElement[str]):  # noqa: N801 - an SQL function
    """A text that is JSON already, to be nested as it is."""

    type = Text()
    inherit_cache = True


class json_bool(FunctionElement[str]):  # noqa: N801 - an SQL function
    """true or false, where the database has only 1 and 0."""

    type = Text()
    inherit_cache = True


class json_instant(FunctionElement[str]):  # noqa: N801 - an SQL function
    """A moment as RFC 3339 with milliseconds and Z."""

    type = Text()
    inherit_cache = True


class json_money(FunctionElement[str]):  # noqa: N801 - an SQL function
    """Whole hundredths as a number of units. A double holds every amount up to 90 trillion exactly enough."""

    type = Text()
    inherit_cache = True


class json_array(FunctionElement[str]):  # noqa: N801 - an SQL function
    """All values of a column of a subquery, as an array; to be selected by one that has a FROM."""

    type = Text()
    inherit_cache = True


class json_text(FunctionElement[str]):  # noqa: N801 - an SQL function
    """Built JSON as a text to be fetched: psycopg2 would parse a column of the type json."""

    type = Text()
    inherit_cache = True


def _arguments(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clause_expr.element, **kw)


def _template(construct: type[FunctionElement[Any]], **templates: str) -> None:
    """`default` is for MariaDB and MySQL, which share a syntax here."""

    def compile_default(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
        return templates["default"].format(_arguments(element, compiler, **kw))

    compiles(construct)(compile_default)
    for dialect in ("postgresql", "sqlite"):

        def compile_one(element: Any, compiler: SQLCompiler, _dialect: str = dialect, **kw: Any) -> str:
            return templates[_dialect].format(_arguments(element, compiler, **kw))

        compiles(construct, dialect)(compile_one)


def _compile_object(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_object({_arguments(element, compiler, **kw)})"


def _concatenate(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    """For PostgreSQL, whose json_build_object looks up the type of each member anew for each row."""
    parts, ends = [], "{"
    for name, value in zip(element.names, list(element.clauses)[1::2], strict=True):
        said, quote = _said(value, compiler.process(value, **kw), compiler.dialect)
        parts += [f"'{ends}\"{name}\":{quote}'", said]
        ends = f"{quote},"
    return f"concat({', '.join(parts)}, '{ends[:-1]}}}')"


def _said(value: Any, text: str, dialect: Dialect) -> tuple[str, str]:
    """A member's value as JSON, and the quote around it where nothing in it needs to be escaped."""
    if isinstance(value, FunctionElement):
        return text, ""
    kind, nullable = value.type.dialect_impl(dialect), getattr(value, "nullable", True)
    if isinstance(kind, Uuid | Date):
        return (f"""coalesce('"' || {text} || '"', 'null')""", "") if nullable else (text, '"')
    if isinstance(kind, Integer):
        return f"coalesce({text}::text, 'null')", ""
    return (f"coalesce(to_json({text})::text, 'null')" if nullable else f"to_json({text})"), ""


compiles(json_object)(_compile_object)
compiles(json_object, "postgresql")(_concatenate)
# MySQL and MariaDB take a result of JSON_EXTRACT for JSON, also where it comes out of a subquery or a CASE.
_template(json_raw, postgresql="coalesce(({})::text, 'null')", sqlite="json({})", default="json_extract({}, '$')")
_template(
    json_bool,
    postgresql="coalesce(({})::text, 'null')",
    sqlite="json(CASE WHEN {} THEN 'true' ELSE 'false' END)",
    default="json_extract('[false,true]', IF({}, '$[1]', '$[0]'))",
)
_template(
    json_instant,
    postgresql="""coalesce(to_char({} AT TIME ZONE 'UTC', '"\\""YYYY-MM-DD"T"HH24:MI:SS.MS"Z\\""'), 'null')""",
    sqlite="{}",
    default="concat(left(date_format({}, '%%Y-%%m-%%dT%%H:%%i:%%s.%%f'), 23), 'Z')",
)
_template(
    json_money,
    postgresql="({} / 100.0)::float8",
    sqlite="({} / 100.0)",
    default="(cast({} as double) / 100)",
)
_template(
    json_array,
    # Rows move when they change, and with another order an answer would have another ETag. The others keep to the key.
    postgresql="coalesce(json_agg({0} ORDER BY {0}), '[]'::json)",
    sqlite="json_group_array({})",
    default="coalesce(json_arrayagg({}), '[]')",
)


_template(json_text, postgresql="({})::text", sqlite="{}", default="{}")


class Encoded(ColumnElement[str]):
    """A row as JSON text: one big expression that is compiled once and found again by its name alone.

    SQLAlchemy looks statements up by walking through them on every execution; a name in place of forty columns
    keeps that short.
    """

    __visit_name__ = "encoded"
    type = Text()
    inherit_cache = False
    _traverse_internals = [("name", InternalTraversal.dp_string)]  # noqa: RUF012 - SQLAlchemy declares it so

    def __init__(self, name: str, expression: ColumnElement[Any], source: FromClause) -> None:
        self.name = name
        self.built = expression
        self.source = source

    @property
    def _from_objects(self) -> list[FromClause]:
        return [self.source]


@compiles(Encoded)
def _encoded(element: Encoded, compiler: SQLCompiler, **kw: Any) -> str:
    if isinstance(compiler.stack[-1].get("selectable"), Insert):
        # SQLAlchemy correlates what an UPDATE returns by itself, but not what an INSERT does.
        compiler.stack[-1]["correlate_froms"].add(element.source)
    return compiler.process(element.built, **kw)
