from typing import Any

import orjson
from sqlalchemy import insert

from ..actor import Actor
from ..clock import now
from ..ids import uuid7
from ..pagination import Listing, chosen
from ..shapes import Shape
from ..transactions import owe
from .models import AuditRow
from .schemas import AuditOut

PERSONAL = frozenset(
    (
        *(
            "email",
            "username",
            "displayName",
            "fullName",
            "contact",
            "location",
            "portfolioLink",
            "photoURL",
            "message",
        ),
        *("software", "paymentMethod", "note"),
    )
)
DERIVED = frozenset(("updatedAt", "version", "overdue", "assignee", "editor", "organizer", "approved"))
Changes = dict[str, list[Any]]
ROWS = insert(AuditRow.__table__)

entries = Shape(AuditOut, AuditRow)


def note(action: str, object_type: str, object_id: str, changes: Changes | None = None, *, by: Actor) -> None:
    """Writes the row, in the transaction of the change. Personal values are left out, their fields stay named."""
    shown = {name: [None, None] if name in PERSONAL else pair for name, pair in (changes or {}).items()}
    owe(
        ROWS,
        {
            "id": uuid7(),
            "at": now(),
            "actor_id": by.id,
            "action": action,
            "object_type": object_type,
            "object_id": object_id,
            "changes": orjson.dumps(shown).decode(),
            "request_id": by.request_id,
            "address": by.address,
        },
    )


def difference(before: dict[str, Any], after: dict[str, Any]) -> Changes:
    """`{field: [old, new]}` of two answers, but for what follows from other fields."""
    return {
        name: [before.get(name), value]
        for name, value in after.items()
        if before.get(name) != value and name not in DERIVED
    }


def listing(**filters: Any) -> Listing:
    columns = {
        "object_type": AuditRow.object_type,
        "object_id": AuditRow.object_id,
        "actor_id": AuditRow.actor_id,
    }
    where = chosen(filters, **columns)
    if "from_" in filters:
        where.append(AuditRow.at >= filters["from_"])
    if "to" in filters:
        where.append(AuditRow.at <= filters["to"])
    return Listing(entries.body, (AuditRow.id,), where)
