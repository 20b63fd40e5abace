"""How a SELECT is run outside of transactions: SQLAlchemy compiles it, once, and the driver runs it.

Nine requests of ten only read, and of a short read most of the time went into SQLAlchemy's execution context and
result, which do for every row and parameter what is settled once the statement is compiled (docs/adr/009).
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Executable, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

Processor = Callable[[Any], Any]
SAID = "said"


class Rows:
    """What was found, all of it; the words are those of SQLAlchemy's own `Result`."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

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


def is_plain(statement: Any) -> bool:
    """Whether it asks for columns alone, and so needs nobody to make entities of its rows."""
    return isinstance(statement, Select) and all(isinstance(c, ColumnElement) for c in statement._raw_columns)


def planned(statement: Executable, given: Any, dialect: Dialect, compiled_cache: Any) -> tuple[Plan, str, Any]:
    """The plan of a statement, made when its like is first seen, and this run's text and parameters."""
    compiled, extracted, collected, _ = statement._compile_w_cache(
        dialect, compiled_cache=compiled_cache, column_keys=[]
    )
    plan: Plan | None = compiled.__dict__.get("plan")
    if plan is None:
        plan = compiled.__dict__["plan"] = Plan(compiled, dialect)
    text, parameters = plan.bound(given, extracted, collected)
    return plan, text, parameters
