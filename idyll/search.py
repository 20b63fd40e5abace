"""Searching by the beginnings of words, the same on every database.

The words of a row are kept in one column, folded and separated by blanks; `q` matches when each of its words begins
one of them. PostgreSQL finds them through a GIN index over the very same words (see the migrations).
"""

import re
import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, and_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

WORD = re.compile(r"[^\W_]+")
# PostgreSQL loses words of 2,048 bytes.
WORD_LENGTH = 100


def words(*texts: str | None) -> list[str]:
    """The words of some texts: letters and digits, compatibility forms folded, in lower case, each once."""
    joined = unicodedata.normalize("NFKC", " ".join(text for text in texts if text)).casefold()
    if joined.isascii():
        found = WORD.findall(joined)
    else:
        # Vowel signs of Indic scripts are marks, which \w leaves out: they would cut their word in two.
        found = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in joined).split()
    return list(dict.fromkeys(word[:WORD_LENGTH] for word in found))


def searchable(*texts: str | None) -> str:
    """What the search column holds: every word with a blank before it."""
    return "".join(f" {word}" for word in words(*texts))


def matches(column: Any, q: str) -> ColumnElement[bool]:
    """Rows in which every word of `q` is the beginning of a word."""
    return and_(True, *[begins_a_word(column, f"% {word}%", _query(word)) for word in words(q)])


def _query(word: str) -> str:
    # Said twice: of a beginning that is rare, PostgreSQL guesses that it stands in every 200th row, and for that many
    # walks the whole list in its order; for two conditions it guesses every 40,000th and takes the index.
    return f"'{word}':* & '{word}':*"


class begins_a_word(FunctionElement[bool]):  # noqa: N801 - an SQL function
    """Of a search column, a LIKE pattern and a tsquery that say the same. Words hold nothing that is to be escaped."""

    inherit_cache = True


@compiles(begins_a_word)
def _like(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    column, pattern, _ = element.clauses
    return f"{compiler.process(column, **kw)} LIKE {compiler.process(pattern, **kw)}"


@compiles(begins_a_word, "postgresql")
def _tsquery(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    # Not to_tsvector(): its parser would split words otherwise than ours. The index is on this very expression.
    column, _, query = (compiler.process(part, **kw) for part in element.clauses)
    return f"array_to_tsvector(string_to_array(ltrim({column}), ' ')) @@ {query}::tsquery"
