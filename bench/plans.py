"""How PostgreSQL reads for a request, by its own account, whatever the application does to ask it."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from servers import started

from .data import connect

LOGGED = {"logging_collector": "on", "log_destination": "jsonlog", "log_directory": "said", "log_filename": "said.log"}
# Of a connection that has it, every statement is written down.
SPEAKING = "?options=-c%20log_statement%3Dall"
READS = re.compile(r"\s*(PREPARE \w+ ?(\(.*?\))? AS )?(SELECT|WITH)\b", re.IGNORECASE | re.DOTALL)
ROWS = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")  # of each loop


class Plans:
    """Explains the statements of an application whose database address ends with `SPEAKING`."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def log(self) -> Path:
        (found,) = started().folder.glob("postgresql/said/*.json")
        return found

    def of(self, ask: Callable[[], object], tables: set[str]) -> dict[str, int]:
        """Each way in which one of the tables is read, as in `Index Scan pk_tasks`, and of how many rows at most."""
        begin = self.log.stat().st_size
        ask()
        with self.log.open() as log:
            log.seek(begin)
            lines = [json.loads(line) for line in log]
        most: dict[str, int] = {}
        with connect(self.url).cursor() as cursor:
            for line in lines:
                statement = line["message"].partition(": ")[2]
                if line["message"].startswith("statement: "):
                    for found in explained(cursor, statement, line.get("detail", ""), tables):
                        most |= {how: max(rows, most.get(how, 0)) for how, rows in found.items()}
        return most


def explained(cursor: Any, statement: str, detail: str, tables: set[str]) -> Iterator[Counter[str]]:
    """What a statement reads, each time that it is run."""
    prepare, _, execute = statement.rpartition("; EXECUTE ")
    if prepare:
        statement = f"EXECUTE {execute}"
    else:
        # Of a prepared statement the text alone says nothing.
        prepare = detail.removeprefix("prepare: ")
    if not READS.match(prepare or statement):
        return
    # With its values in sight, and as PostgreSQL plans it once and for all values when it was asked often.
    for mode in ("auto", "force_generic_plan") if prepare else ("auto",):
        # ANALYZE runs it: nothing may come of that.
        cursor.execute(f"BEGIN READ ONLY; SET LOCAL plan_cache_mode = {mode}; DEALLOCATE ALL; {prepare}")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        (plan,) = cursor.fetchone()[0]
        cursor.execute("ROLLBACK")
        found = Counter[str]()
        for table, how, rows in _nodes(plan["Plan"]):
            if table in tables:
                found[how] += rows
        yield found


def _nodes(node: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Tables, how they are read, and how many rows, whether they are of use or not."""
    index = node.get("Index Name", "")
    # A bitmap's own node names no table, but its index does; that node says more than the visit to what it found.
    table = node.get("Relation Name") or index.partition("_")[2].partition("_")[0]
    if table and node["Node Type"] != "Bitmap Heap Scan":
        rows = sum(node.get(kind, 0) for kind in ROWS)
        yield table, f"{node['Node Type']} {index or table}", round(rows * node["Actual Loops"])
    for inner in node.get("Plans", []):
        yield from _nodes(inner)
