"""JSON as the contract takes it: UTF-8, no NaN, no duplicate keys, no lone surrogates, at most 32 levels."""

import json
from decimal import Decimal
from typing import Any, NoReturn

from .errors import Problem

MAX_DEPTH = 32
MAX_MEMBERS = 1000


class MalformedJson(Problem):
    code = "malformed_json"
    detail = "The body is not valid JSON."


def loads(body: bytes) -> Any:
    """The value of a request's body, its fractions as `Decimal`. Raises `MalformedJson` (400)."""
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:  # also a number of more digits than Python reads
        raise MalformedJson from None
    if _depth(value) > MAX_DEPTH:
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if b"\\u" in body:
        _refuse_surrogates(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise MalformedJson(f"An object of the body has more than {MAX_MEMBERS} members.")
    made = dict(pairs)
    if len(made) != len(pairs):
        raise MalformedJson("The body has the same key twice.")
    return made


def _constant(_: str) -> NoReturn:
    raise MalformedJson("NaN and Infinity are not JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=Decimal)


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        containers = [item for item in level if isinstance(item, dict | list)]
        depth += bool(containers)
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
        if depth > MAX_DEPTH:
            break
    return depth


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise MalformedJson("The body has half of a surrogate pair.") from None
