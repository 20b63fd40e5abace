"""How a statement is run: SQLAlchemy compiles it, once, and the driver runs it.

Of a short statement most of the time went into SQLAlchemy's execution context and result, which do for every row and
parameter what is settled once the statement is compiled (docs/adr/009).
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import orjson
from sqlalchemy import JSON, Executable, Insert, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

Processor = Callable[[Any], Any]
SAID = "said"
# One row of an INSERT.
VALUES = re.compile(r"(?<= VALUES )\((?:%\(\w+\)s|\?|, )+\)")
NAMED = re.compile(r"%\((\w+)\)s")


class Rows:
    """What was found, all of it; the words are those of SQLAlchemy's own `Result`."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int = -1) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        found = self.one_or_none()
        if found is None:
            raise NoResultFound("No row was found when one was required")
        return found

    def one_or_none(self) -> Any:
        if len(self._rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        found = self.one_or_none()
        return None if found is None else found[0]

    def scalars(self) -> "Rows":
        return Rows([row[0] for row in self._rows])


class Plan:
    """A compiled statement: its text, how its parameters are made, and how its columns are read."""

    def __init__(self, compiled: Any, dialect: Dialect) -> None:
        self.compiled = compiled
        self.text = compiled.string
        self.positions = compiled.positiontup
        # Lists in an IN are written into the text at each run.
        self.expands = bool(compiled.literal_execute_params or compiled.post_compile_params)
        self.binders: dict[str, Processor] = dict(compiled._bind_processors)
        columns = compiled._result_columns
        kept = columns[:-1] if columns and columns[-1].keyname == SAID else columns
        readers = [column.type._cached_result_processor(dialect, None) for column in kept]
        self.readers = [(i, reader) for i, reader in enumerate(readers) if reader is not None]
        names = [column.keyname for column in columns]
        # What a guess is checked by (idyll/guess.py) comes last, and is no part of the row.
        self.guarded = names[-1:] == [SAID]
        shown = names[:-1] if self.guarded else names
        named: Any = namedtuple("Row", shown, rename=True)  # type: ignore[misc]  # the names are the statement's
        # Of a statement that is text, nobody knows the columns: its rows have no names.
        self.row = named._make if names else tuple

    def bound(self, given: Any, extracted: Any, collected: Any) -> tuple[str, Any]:
        """The text to run and its parameters, as the driver wants them."""
        made = self.compiled.construct_params(
            given, extracted_parameters=extracted, escape_names=False, _collected_params=collected
        )
        text, binders = self.text, self.binders
        positions: Any = self.positions
        if self.expands:
            expanded = self.compiled._process_parameters_for_postcompile(made)
            text, positions = expanded.statement, expanded.positiontup
            binders = binders | dict(expanded.processors)
            made = {**made, **expanded.additional_parameters}
            gone = set(expanded.parameter_expansion)
            made = {name: value for name, value in made.items() if name not in gone}
        for name, binder in binders.items():
            if name in made:
                made[name] = binder(made[name])
        return text, made if positions is None else tuple([made[name] for name in positions])

    def shaped(self, found: Iterable[Any]) -> list[Any]:
        if self.guarded:
            found = [values[:-1] for values in found]
        if not self.readers:
            return [self.row(values) for values in found]
        rows = []
        for values in found:
            read = list(values)
            for i, reader in self.readers:
                read[i] = reader(read[i])
            rows.append(self.row(read))
        return rows


class Fixed(Plan):
    """The plan of a statement that is always the same: what can be settled once is settled here."""

    def __init__(self, statement: Executable, keys: Sequence[str], dialect: Dialect) -> None:
        compiled: Any = statement._compile_w_cache(dialect, compiled_cache=None, column_keys=list(keys))[0]
        super().__init__(compiled, dialect)
        self.statement = statement  # kept, so that nothing else can have its identity
        self.constant: dict[str, Any] = {}
        self.given: list[tuple[str, str, Processor | None]] = []
        self.made: list[tuple[str, Callable[[], Any], Processor | None]] = []
        defaults = {column.key: column.default for column in compiled.insert_prefetch}
        for bind, name in compiled.bind_names.items():
            binder, default = self.binders.get(name), defaults.get(bind.key)
            if bind.key in keys:
                self.given.append((name, bind.key, binder))
            elif default is not None and default.is_callable:
                self.made.append((name, partial(default.arg, None), binder))
            elif bind.callable is not None:
                self.made.append((name, bind.callable, binder))
            else:
                value = bind.value if default is None else default.arg
                self.constant[name] = binder(value) if binder and not bind.expanding else value
        self._settle_lists({name for bind, name in compiled.bind_names.items() if bind.expanding})
        compile_type = dialect.type_compiler_instance.process
        # Of PREPARE, which PostgreSQL alone has: others can't name a text without a length.
        prepared = compiled.bind_names.items() if dialect.name == "postgresql" else ()
        self.types = {name: "unknown" if bind.type._isnull else compile_type(bind.type) for bind, name in prepared}

    def _settle_lists(self, lists: set[str]) -> None:
        """Lists that never change are written into the text here and now."""
        if not self.expands or not lists <= self.constant.keys():
            return
        asked = dict.fromkeys(self.compiled.bind_names.values())
        expanded = self.compiled._process_parameters_for_postcompile({**asked, **self.constant})
        self.text, self.positions, self.expands = expanded.statement, expanded.positiontup, False
        for name in lists:
            del self.constant[name]
        for name in [name for names in expanded.parameter_expansion.values() for name in names]:
            value, binder = expanded.additional_parameters[name], expanded.processors.get(name)
            self.constant[name] = binder(value) if binder else value

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What changes from run to run."""
        values = {name: binder(given[key]) if binder else given[key] for name, key, binder in self.given}
        for name, make, binder in self.made:
            values[name] = binder(make()) if binder else make()
        return values

    def run(self, given: Any) -> tuple[str, Any]:
        """The text to run and its parameters, of one row or, but for PostgreSQL, of many rows of one INSERT."""
        if self.expands:
            return self.bound(given, None, None)
        if isinstance(given, dict):
            values = self.constant | self.values(given)
            return self.text, values if self.positions is None else tuple([values[name] for name in self.positions])
        rows = [self.constant | self.values(row) for row in given]
        if self.positions is not None:
            text = VALUES.sub(lambda found: ", ".join([found[0]] * len(rows)), self.text)
            return text, tuple([row[name] for row in rows for name in self.positions])
        text = VALUES.sub(
            lambda found: ", ".join([NAMED.sub(rf"%(\1__{i})s", found[0]) for i in range(len(rows))]), self.text
        )
        return text, {f"{name}__{i}": value for i, row in enumerate(rows) for name, value in row.items()}

    def as_json(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Rows of an INSERT as the one parameter of `together`."""
        return {"rows": orjson.dumps([self.constant | self.values(row) for row in rows]).decode()}

    @cached_property
    def together(self) -> Insert:
        """The same INSERT of many rows that come as one JSON document, on PostgreSQL.

        Hundreds of parameters cost both sides more than the rows do.
        """
        table: Table = self.statement.table  # type: ignore[attr-defined]  # of Insert alone
        written = [table.c[bind.key] for bind in self.compiled.bind_names]
        document = cast(bindparam("rows", type_=Text()), JSON())
        rows = func.json_to_recordset(document).table_valued(*[column(c.name, c.type) for c in written])
        found = rows.render_derived(with_types=True)
        return insert(table).inline().from_select(written, select(*found.c), include_defaults=False)

    @cached_property
    def prepared(self) -> "Prepared":
        """The same to be parsed and planned once a connection, by PostgreSQL."""
        return Prepared(self)


class Prepared:
    """`PREPARE` and `EXECUTE` of a fixed statement; constants stand in its text, so that PostgreSQL plans with them."""

    def __init__(self, plan: Fixed) -> None:
        names = list(dict.fromkeys(name for name in NAMED.findall(plan.text) if name not in plan.constant))
        places = {name: f"${i + 1}" for i, name in enumerate(names)}
        types = [plan.types[name] for name in names]
        self.constant = plan.constant
        self.text = NAMED.sub(lambda found: places.get(found[1], found[0]), plan.text)
        self.types = f"({', '.join(types)})" if names else ""
        # psycopg2 writes arrays as arrays of text.
        casts = [
            f"%({name})s::{kind}" if kind.endswith("[]") else f"%({name})s"
            for name, kind in zip(names, types, strict=True)
        ]
        self.arguments = f"({', '.join(casts)})" if names else ""


# Found by the identity of their statement.
_fixed: dict[tuple[int, str, tuple[str, ...]], Fixed] = {}


def fixed(statement: Executable, given: Any, dialect: Dialect) -> tuple[Fixed, Any]:
    """The plan of a statement, and its parameters. It is kept for ever: none that is made for one request may be."""
    many = isinstance(given, list)
    keys = tuple(given[0] if many else given)
    known = _fixed.get((id(statement), dialect.name, keys))
    if known is None:
        known = _fixed[id(statement), dialect.name, keys] = Fixed(statement, keys, dialect)
    if many and dialect.name == "postgresql":
        return fixed(known.together, known.as_json(given), dialect)
    return known, given


def planned(statement: Executable, given: Any, dialect: Dialect, compiled_cache: Any) -> tuple[Plan, str, Any]:
    """The plan of a statement of one request, made when its like is first seen, and its text and parameters."""
    compiled, extracted, collected, _ = statement._compile_w_cache(
        dialect, compiled_cache=compiled_cache, column_keys=list(given or ())
    )
    plan: Plan | None = compiled.__dict__.get("plan")
    if plan is None:
        plan = compiled.__dict__["plan"] = Plan(compiled, dialect)
    return plan, *plan.bound(given, extracted, collected)
