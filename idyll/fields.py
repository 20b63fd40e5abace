"""marshmallow fields for what the contract speaks of, and the base schema that writes camelCase.

Input is strict: a text is a JSON string, an integer a JSON integer; what a field refuses is named in `errors`.
"""

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import marshmallow as ma
from marshmallow import ValidationError, validate

from .clock import end_of, midnight
from .columns import instant_text
from .ids import is_id

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
MANY = 10**12
# Two of the names are no places: "the server's own" and "not set up yet".
ZONES = available_timezones() - {"localtime", "Factory"}


def folded(text: str) -> str:
    """An e-mail or username as a key: compatibility forms folded, trimmed, lower case."""
    return unicodedata.normalize("NFKC", text).strip().lower()


@cache
def camelcase(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def described(kwargs: dict[str, Any], **metadata: str) -> dict[str, Any]:
    """Keyword arguments of a field, with more for the documentation."""
    return {**kwargs, "metadata": {**metadata, **kwargs.get("metadata", {})}}


class Schema(ma.Schema):
    """Unknown fields are refused, names are camelCase outside. `EXAMPLE` is what the documentation shows."""

    EXAMPLE: ClassVar[Any] = None

    class Meta:
        unknown = ma.RAISE

    def on_bind_field(self, field_name: str, field_obj: ma.fields.Field[Any]) -> None:
        if field_obj.data_key is None:
            field_obj.data_key = camelcase(field_name)

    @ma.pre_load
    def _empty_is_null(self, data: Any, **_: Any) -> Any:
        """Forms send "" to clear a field, of whatever kind; `Text` and passwords judge for themselves."""
        if not isinstance(data, dict):
            return data
        own = (Text, Password)
        clear = {f.data_key for f in self.load_fields.values() if f.allow_none and not isinstance(f, own)}
        return {k: None if k in clear and isinstance(v, str) and not v.strip() else v for k, v in data.items()}


class Creation(Schema):
    """What makes a thing: null in an optional field is as if it were left out, so its default holds."""

    def on_bind_field(self, field_name: str, field_obj: ma.fields.Field[Any]) -> None:
        super().on_bind_field(field_name, field_obj)
        if not field_obj.required:
            field_obj.allow_none = True

    @ma.post_load
    def _null_is_default(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        defaults = {f.attribute or name: f.load_default for name, f in self.load_fields.items()}
        filled = {name: defaults[name] if value is None else value for name, value in data.items()}
        return {name: value for name, value in filled.items() if value is not ma.missing}


class Text(ma.fields.String):
    """A trimmed text without control characters; empty is null where that is allowed, else refused."""

    def __init__(
        self, most: int, *, least: int = 1, lines: bool = False, optional: bool = False, **kwargs: Any
    ) -> None:
        kwargs.setdefault("allow_none", optional)
        if not optional:
            kwargs.setdefault("required", True)
        super().__init__(validate=validate.Length(least, most), **kwargs)
        self.lines = lines

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        sent = super()._deserialize(value, attr, data, **kwargs)
        text: str = sent.strip()
        # What is sent, too: strip() takes some of them for white space.
        if CONTROL_BUT_LINES.search(sent) or (not self.lines and CONTROL.search(text)):
            raise ValidationError("Control characters are not allowed.")
        return text or None if self.allow_none else text

    def _validate(self, value: Any) -> None:
        if value is not None:
            super()._validate(value)


class Email(Text):
    """An e-mail address as one key: compatibility forms folded, lower case (so that `unique` means unique)."""

    SHAPE = re.compile(
        r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
        r"@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])\Z"
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(254, **described(kwargs, format="email"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None:
            return None
        text = folded(text)
        if not self.SHAPE.match(text) or len(text.split("@")[0]) > 64:  # noqa: PLR2004 - RFC 5321, 4.5.3.1.1
            raise ValidationError("Not a valid e-mail address.")
        return text


class Username(Text):
    """3–32 of A-Z a-z 0-9 . _ - beginning with a letter or digit: never an e-mail, an id or "All Team"."""

    SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,31}\Z")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(32, **described(kwargs, pattern="^[A-Za-z0-9][A-Za-z0-9._-]{2,31}$"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and not self.SHAPE.match(text):
            raise ValidationError("3 to 32 of letters, digits, '.', '_' and '-', beginning with a letter or digit.")
        return text


class Link(Text):
    """An absolute http(s) URL with a host and without user info."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(2048, optional=True, **described(kwargs, format="uri"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None:
            return None
        try:
            parts = urlsplit(text)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
            _ = parts.port
        except ValueError:
            sound = False
        if not sound or re.search(r"[\s<>\"\\^`{|}]", text) or not text.isprintable():
            raise ValidationError("Not an absolute http or https link with a host and without user info.")
        return text


class Id(ma.fields.String):
    """An id in a body or a query."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_id(text.lower()):
            raise ValidationError("Not an id.")
        return text.lower()


class Choice(ma.fields.String):
    """One of the words of an enumeration."""

    def __init__(self, words: type[StrEnum], *, only: tuple[StrEnum, ...] = (), **kwargs: Any) -> None:
        choices = [word.value for word in only or words]
        super().__init__(validate=validate.OneOf(choices, error="One of: {choices}."), **kwargs)


class Strict(ma.fields.Boolean):
    """true or false of JSON; in a query also the words."""

    truthy = {True, "true"}  # noqa: RUF012 - marshmallow declares it so
    falsy = {False, "false"}  # noqa: RUF012 - marshmallow declares it so

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool) and not (isinstance(value, str) and self.metadata.get("in_query")):
            raise ValidationError("Not a valid boolean.")
        return super()._deserialize(value, attr, data, **kwargs)


class Day(ma.fields.Date):
    """YYYY-MM-DD and nothing else."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValidationError("A date as YYYY-MM-DD.")
        found: date = super()._deserialize(value, attr, data, **kwargs)
        return found


class Moment(ma.fields.AwareDateTime):
    """RFC 3339 with an offset in; UTC with milliseconds and `Z` out."""

    SHAPE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not self.SHAPE.match(value):
            raise ValidationError("A time as 2026-01-31T09:30:00Z.")
        text = re.sub(r"(\.\d{1,6})\d*", r"\1", value.upper().replace(" ", "T"))
        try:
            found = datetime.fromisoformat(text)
            return found.astimezone(ZoneInfo("UTC"))
        except (ValueError, OverflowError):
            raise ValidationError("A time as 2026-01-31T09:30:00Z.") from None

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else instant_text(value)


class Since(Moment):
    """The beginning of a range: a moment, or a day (of the agency), which begins at midnight."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            try:
                return self.of_day(date.fromisoformat(value))
            except ValueError:
                raise ValidationError("A day as 2026-01-31, or a time as 2026-01-31T09:30:00Z.") from None
        return super()._deserialize(value, attr, data, **kwargs)

    def of_day(self, day: date) -> datetime:
        return midnight(day)


class Until(Since):
    """The end of a range, itself within it: a moment, or a day with all its hours."""

    def of_day(self, day: date) -> datetime:
        return end_of(day)


class Whole(ma.fields.Integer):
    """A JSON integer in a range (marshmallow's own takes 1.9, " 7 " and full-width digits); 60.0 is one, too."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(least, most), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value) and self.metadata.get("in_query"):
            value = int(value)
        # Within bounds before it is made an integer: 1e999999 would have a million digits.
        if isinstance(value, float | Decimal) and -MANY <= value <= MANY and value == int(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Not a whole number.")
        return value


class Zone(ma.fields.String):
    """The name of an IANA time zone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=self._known, **kwargs)

    @staticmethod
    def _known(name: str) -> None:
        if name not in ZONES:
            raise ValidationError("Not an IANA time zone.")


class Password(ma.fields.String):
    """8–128 characters, any characters, neither trimmed nor filtered."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return None if value == "" and self.allow_none else super()._deserialize(value, attr, data, **kwargs)

    def _validate(self, value: Any) -> None:
        if value is not None:
            super()._validate(value)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(8, 128), load_only=True, **described(kwargs, format="password"))


class Secret(ma.fields.String):
    """A password or token to be compared: bounded, nothing said about its form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(0, 1024), load_only=True, **described(kwargs, format="password"))
