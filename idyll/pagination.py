"""Keyset pages, once for all lists: stable under inserts, and as fast on the last page as on the first."""

import csv
import errno
import hashlib
import hmac
import io
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import wraps
from typing import Any
from urllib.parse import urlencode

import marshmallow as ma
import orjson
from flask import Response, stream_with_context
from sqlalchemy import (
    ColumnElement,
    Date,
    Integer,
    Label,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from .actor import Actor
from .columns import Instant, instant_text
from .database import execute, release
from .errors import Invalid
from .far_down import newest_of_days
from .fields import Schema, Whole
from .guess import Misjudged, once_more
from .running import Rows
from .scope import this_app, this_engine, this_request
from .shapes import ANYBODY

MAX_LIMIT = 100
CSV_BATCH = 500
SIGNATURE_BYTES = 12
# What a spreadsheet takes for the beginning of a formula, in full width too.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# The same where a cell would begin for a spreadsheet that takes another separator than the comma for one.
FORMULA_INSIDE = re.compile("([;\t\r\n][\\s\"']*)(?=[-=+@\uff1d\uff0b\uff0d\uff20])")
MAX_FORMS = 200  # of one list: each holds a few statements


class PageQuery(Schema):
    """What every list understands."""

    limit = Whole(1, MAX_LIMIT, load_default=50, metadata={"in_query": True, "description": "How many rows"})
    cursor = ma.fields.String(load_default=None, metadata={"description": "`nextCursor` of the page before"})


@dataclass
class Listing:
    """What a list shows, in which order: `keys` end with a unique column and all point the same way."""

    body: ColumnElement[str]
    keys: Sequence[Any]
    where: list[ColumnElement[bool]] = field(default_factory=list)
    descending: bool = True
    # Shows each page the other way round, as a chat does: newest page first, oldest message first.
    reverse: bool = False
    # A column of days that alone narrows it; an index holds it with the key.
    by_day: Any = None
    # Of one that is asked often: what its conditions ask for by name, and the statements that were made of it.
    parameters: dict[str, Any] | None = None
    statements: dict[tuple[int, bool, bool], Any] = field(default_factory=dict)

    def rows(self, limit: int, after: list[Any] | None) -> Sequence[Any]:
        if self.parameters is None:
            return execute(self._statement(limit, after)).all()
        return self._kept(self._statement, limit, after).all()

    def page(self, limit: int, after: list[Any] | None) -> tuple[str, Sequence[Any] | None]:
        """The encoded rows of a page, joined; and the keys of the last one where more follow."""
        if self.parameters is not None and this_engine().dialect.name == "postgresql":
            found = self._kept(self._joined, limit, after).one()
            keys = found[2:] if found[1] > limit else None
            return found[0] or "", keys and [_read(text, key) for text, key in zip(keys, self.keys, strict=True)]
        rows = self.rows(limit + 1, after)
        shown = rows[:limit]
        bodies = ",".join([row[0] for row in (reversed(shown) if self.reverse else shown)])
        return bodies, shown[-1][1:] if len(rows) > limit else None

    def _kept(self, make: Callable[[int, list[Any] | None], Any], limit: int, after: list[Any] | None) -> Rows:
        assert self.parameters is not None
        form = (limit, after is not None, make == self._joined)
        if form not in self.statements:
            places = [bindparam(f"after_{i}", type_=key.type) for i, key in enumerate(self.keys)]
            self.statements[form] = make(limit, places if after is not None else None)
        place = {f"after_{i}": value for i, value in enumerate(after or ())}
        return execute(self.statements[form], self.parameters | place)

    def _joined(self, limit: int, after: list[Any] | None) -> Any:
        """The page as one value: fifty rows are fifty times the work on both sides of the wire."""
        keys = [key.label(f"key_{i}") for i, key in enumerate(self.keys)]
        order = [key.desc() if self.descending else key.asc() for key in self.keys]
        place = func.row_number().over(order_by=order).label("place")
        body = self.body.element if isinstance(self.body, Label) else self.body
        rows = select(body.label("body"), *keys, place).order_by(*order).limit(limit + 1)
        found = rows.where(*self._wanted(limit, after)).subquery()
        by = found.c.place.desc() if self.reverse else found.c.place
        joined = func.string_agg(found.c.body, aggregate_order_by(literal_column("','"), by))
        last = [func.max(cast(found.c[key.name], Text)).filter(found.c.place == limit) for key in keys]
        return select(joined.filter(found.c.place <= limit), func.count(), *last)

    def _wanted(self, limit: int, after: list[Any] | None) -> list[ColumnElement[bool]]:
        beyond = [] if after is None else [self._beyond(after)]
        if self.by_day is None:
            return [*self.where, *beyond]
        return [self.keys[0].in_(newest_of_days(self.keys[0], self.by_day, self.where, beyond, limit + 1))]

    def _statement(self, limit: int, after: list[Any] | None) -> Any:
        order = [key.desc() if self.descending else key.asc() for key in self.keys]
        statement = select(self.body, *self.keys).where(*self.where).order_by(*order).limit(limit)
        return statement if after is None else statement.where(self._beyond(after))

    def _beyond(self, values: list[Any]) -> ColumnElement[bool]:
        first: ColumnElement[Any] = self.keys[0]
        row = tuple_(*self.keys)
        wanted = tuple_(*values, types=[key.type for key in self.keys])
        if len(self.keys) == 1:
            beyond: ColumnElement[bool] = first < values[0] if self.descending else first > values[0]
            return beyond
        # The first comparison says nothing new, but MariaDB finds no index range in a row comparison.
        if self.descending:
            return and_(first <= values[0], row < wanted)
        return and_(first >= values[0], row > wanted)


Lister = Callable[..., Listing]


def asked_often(*by_value: str, by_form: Sequence[str] = ()) -> Callable[[Lister], Lister]:
    """A list whose statements are made once for each form of asking, and not for each request.

    Filters named `by_value` only stand in comparisons: the list is built with parameters in their place, and of its
    viewer in place of their id. Those named `by_form` decide what is built. With any other filter it is built anew.
    """

    def decorator(build: Lister) -> Lister:
        forms: dict[Any, Listing] = {}
        stand_ins: dict[str, Any] = {name: bindparam(name) for name in by_value}

        @wraps(build)
        def listing(*, viewer: Actor, **filters: Any) -> Listing:
            form: list[Any] = [viewer.role, viewer.status]
            for name, value in filters.items():
                if name in stand_ins:
                    form.append(name)
                elif name in by_form or value is None:
                    form.append((name, value))
                else:
                    return build(viewer=viewer, **filters)
            known = forms.get(tuple(form))
            if known is None:
                if len(forms) >= MAX_FORMS:
                    return build(viewer=viewer, **filters)
                anybody = replace(viewer, id=ANYBODY)
                known = forms[tuple(form)] = build(
                    viewer=anybody, **filters | {n: stand_ins[n] for n in form if n in stand_ins}
                )
            given = {name: value for name, value in filters.items() if name in stand_ins}
            return replace(known, parameters=given | {"viewer": viewer.id})

        return listing

    return decorator


def chosen(filters: dict[str, Any], **columns: Any) -> list[ColumnElement[bool]]:
    """The filters that ask a column to equal a value."""
    return [column == filters[name] for name, column in columns.items() if name in filters]


def page(listing: Listing, limit: int, cursor: str | None, order: str = "") -> Response:
    """One page as `{"data": […], "nextCursor": …}` with its `Link` header. Raises `Invalid` for a forged cursor."""
    after = None if cursor is None else _read_cursor(cursor, listing.keys, order)
    bodies, last = listing.page(limit, after)
    next_cursor = _make_cursor(last, order) if last else None
    following = f'"{next_cursor}"' if next_cursor else "null"
    response = Response(f'{{"data":[{bodies}],"nextCursor":{following}}}', content_type="application/json")
    if next_cursor:
        request = this_request()
        arguments = {**request.args.to_dict(), "cursor": next_cursor}
        response.headers["Link"] = f'<{request.path}?{urlencode(arguments)}>; rel="next"'
    return response


# -- cursors: opaque, bound to their list and order, signed ------------------------------------------------------


def _make_cursor(values: Sequence[Any], order: str) -> str:
    plain = [instant_text(value) if isinstance(value, datetime) else value for value in values]
    payload = orjson.dumps(plain)
    return _encoded(_signature(payload, order) + payload)


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _read_cursor(text: str, keys: Sequence[Any], order: str) -> list[Any]:
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        signature, payload = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
        # Decoding passes over strange characters and spare bits: only the very text that was handed out counts.
        if _encoded(raw) != text or not hmac.compare_digest(signature, _signature(payload, order)):
            raise ValueError
        values = orjson.loads(payload)
    except ValueError:  # also of base64 and orjson
        raise Invalid(errors={"cursor": ["Not a cursor of this list."]}) from None
    return [_typed(value, key) for value, key in zip(values, keys, strict=True)]


def _signature(payload: bytes, order: str) -> bytes:
    secret = this_app().config["SECRET_KEY"].encode()
    purpose = f"cursor|{this_request().path}|{order}|".encode()
    return hmac.digest(secret, purpose + payload, hashlib.sha256)[:SIGNATURE_BYTES]


def _read(text: str, key: Any) -> Any:
    """A key that PostgreSQL wrote as text."""
    return int(text) if isinstance(key.type, Integer) else _typed(text, key)


def _typed(value: Any, key: Any) -> Any:
    if isinstance(key.type, Instant):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(key.type, Date) else value


# -- CSV -----------------------------------------------------------------------------------------------------------


def as_csv(listing: Listing, schema: type[Schema], filename: str) -> Response:
    """All rows of the filter, streamed in batches."""
    return Response(
        stream_with_context(_csv_lines(listing, [str(f.data_key) for f in schema().dump_fields.values()])),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}.csv"', "Vary": "Accept"},
    )


def _csv_lines(listing: Listing, names: list[str]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names)
    after: list[Any] | None = None
    while True:
        try:
            rows = listing.rows(CSV_BATCH, after)
        except Misjudged:
            # The answer has begun, and must not look as if it were whole; an error of the wire is no fault of ours.
            raise ConnectionResetError(errno.ECONNRESET, "the reader may not read on") from None
        for row in rows:
            body = orjson.loads(row[0])
            writer.writerow([cell(body.get(name)) for name in names])
        release()  # whoever reads slowly must not hold a connection, and may have lost their rights meanwhile
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        if len(rows) < CSV_BATCH:
            return
        after = list(rows[-1][1:])
        once_more()


def cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP ASVS 1.2.10)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(int(value) if value == int(value) else value)  # some databases say 4.0
    if isinstance(value, dict) and "displayName" in value:
        value = value["displayName"] or ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = FORMULA_INSIDE.sub(r"\1'", text)
    return "'" + text if text.startswith(FORMULAS) else text
