"""How a statement is run: SQLAlchemy compiles it, once, and the driver runs it.

Of a short statement most of the time went into SQLAlchemy's execution context and result, which do for every row and
parameter what is settled once the statement is compiled (docs/adr/009).
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

Processor = Callable[[Any], Any]
SAID = "said"
# One row of an INSERT: what stands in its parentheses are placeholders, none of which holds any.
VALUES = re.compile(r"(?<= VALUES )\(((?:%\(\w+\)s(?:::\w+)?|%s|\?|, )+)\)")
# The plans of statements that are always the same, found by their identity.
_fixed: dict[tuple[int, str, tuple[str, ...]], tuple[Any, "Plan", Any, Any]] = {}
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
        self.defaults = [(column.key, column.default) for column in compiled.insert_prefetch]
        self.repeated: dict[int, str] = {}
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
        for name, default in self.defaults:
            given = {name: default.arg(None) if default.is_callable else default.arg, **given}
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

    def bound_rows(self, rows: Sequence[Mapping[str, Any]], extracted: Any, collected: Any) -> tuple[str, Any]:
        """The same for many rows of one INSERT."""
        bound = [self.bound(row, extracted, collected)[1] for row in rows]
        text = self.repeated.get(len(rows))
        if text is None:
            text = self.repeated[len(rows)] = VALUES.sub(lambda found: _repeat(found[0], len(rows)), self.text)
        if self.positions is not None:
            return text, tuple([value for values in bound for value in values])
        each = {f"{name}__{i}": value for i, values in enumerate(bound) for name, value in values.items()}
        return text, bound[0] | each  # what RETURNING asks for is there once

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


def _repeat(values: str, times: int) -> str:
    return ", ".join([NAMED.sub(rf"%(\1__{i})s", values) for i in range(times)])


def planned(
    statement: Executable, given: Any, dialect: Dialect, compiled_cache: Any, *, fixed: bool
) -> tuple[Plan, str, Any]:
    """The plan of a statement, made when its like is first seen, and this run's text and parameters.

    `fixed` ones are kept for ever: no statement that is made for one request may be among them.
    """
    if not fixed:
        plan, extracted, collected = _plan(statement, given or (), dialect, compiled_cache)
        return plan, *plan.bound(given, extracted, collected)
    many = isinstance(given, list)
    keys = tuple(given[0] if many else given)
    known = _fixed.get((id(statement), dialect.name, keys))
    if known is None:
        # Kept beside it, so that nothing else can have its identity.
        known = statement, *_plan(statement, keys, dialect, compiled_cache)
        _fixed[id(statement), dialect.name, keys] = known
    _, plan, extracted, collected = known
    return plan, *(plan.bound_rows if many else plan.bound)(given, extracted, collected)


def _plan(statement: Executable, keys: Sequence[str], dialect: Dialect, compiled_cache: Any) -> tuple[Plan, Any, Any]:
    compiled, extracted, collected, _ = statement._compile_w_cache(
        dialect, compiled_cache=compiled_cache, column_keys=list(keys)
    )
    plan: Plan | None = compiled.__dict__.get("plan")
    if plan is None:
        plan = compiled.__dict__["plan"] = Plan(compiled, dialect)
    return plan, extracted, collected
