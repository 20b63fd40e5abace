from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, or_, select

from ..actor import Actor
from ..audit.service import Changes, note
from ..auth.tokens import digest, opaque
from ..clock import now
from ..database import execute
from ..errors import NotFound
from ..events.service import forget
from ..notifications.models import Kind
from ..notifications.service import News, managers, tell
from ..pagination import Listing
from ..search import matches, searchable
from ..shapes import Shape, joined, parsed
from ..transactions import record
from ..users.models import FORMER_MEMBER
from .models import Application, Decision, Source
from .schemas import ApplicationFiled, ApplicationOut, ApplicationStatusOut

applications = Shape(ApplicationOut, Application)
filed = Shape(ApplicationFiled, Application)
progress = Shape(ApplicationStatusOut, Application)


def file(fields: dict[str, Any], source: Source, *, by: Actor, user_id: str | None = None) -> str:
    """Files an application and tells the managers; gives what the applicant may know, with the token to ask by."""
    token = opaque()
    application = Application(**fields, source=source, user_id=user_id, applied_at=now())
    application.status, application.status_digest = Decision.PENDING, digest(token)
    application.search_text = searchable(application.full_name, application.email)[:1600]
    body = applications.insert(application)
    note("application.filed", "application", application.id, {"source": [None, source.value]}, by=by)
    news = News(Kind.USER, "New application", "Open it to decide.", "application", application.id, urgent=True)
    tell(managers(), news, first=True)
    _record("application_created", application, {"application": parsed(body)})
    return joined(filed.of(application.id), statusToken=token)


def status(token: str) -> str:
    return progress.get(Application.status_digest == digest(token))


def listing(*, status: str | None = None, q: str | None = None) -> Listing:
    where = []
    if status:
        where.append(Application.status == status)
    if q:
        where.append(matches(Application.search_text, q))
    return Listing(applications.body, (Application.id,), where)


def show(key: str) -> str:
    return applications.of(key)


def lock(key: str) -> tuple[Application, list[Application]]:
    """The application, and the other pending ones of its e-mail, locked in one order. Raises `NotFound`."""
    email = execute(select(Application.email).where(Application.id == key)).first()
    if email is None:
        raise NotFound
    same = or_(Application.id == key, Application.email == email[0]) if email[0] else Application.id == key
    rows = applications.lock_all(same)
    target = next((row for row in rows if row.id == key), None)
    if target is None:
        raise NotFound
    return target, [row for row in rows if row is not target and row.status == Decision.PENDING]


def follow(user_id: str, email: str | None) -> None:
    """Somebody's applications take their new e-mail: decisions find the account by it."""
    for row in applications.lock_all(Application.user_id == user_id):
        row.email = email
        row.search_text = searchable(row.full_name, email)[:1600]
        applications.save(row)


def lock_pending_of(email: str | None) -> list[Application]:
    pending = (Application.email == email, Application.status == Decision.PENDING)
    return applications.lock_all(*pending) if email else []


def decide(
    rows: Sequence[Application], decision: Decision, reason: str | None, *, user_id: str | None, by: Actor
) -> None:
    for row in rows:
        before = row.status
        row.status, row.reason, row.user_id = decision, reason, user_id
        row.decided_by, row.decided_at = by.id, now()
        changes: Changes = {"status": [before, decision.value], "reason": [None, reason]}
        note(f"application.{decision.value}", "application", row.id, changes, by=by)
        applications.save(row)
        data = {"applicationId": row.id, "status": decision.value}
        _record("application_updated", row, data)


def remove(key: str, *, by: Actor) -> None:
    if not applications.lock_all(Application.id == key):
        raise NotFound
    execute(delete(applications.table).where(Application.id == key))
    forget("application", key)
    note("application.deleted", "application", key, by=by)
    gone = {"applicationId": key}
    record("application_deleted", gone, about="parting", of=key, audience=["managers"])


def lock_all_of(user_id: str, email: str | None) -> Sequence[Application]:
    """Everything that somebody filed."""
    theirs = Application.user_id == user_id
    return applications.lock_all(or_(theirs, Application.email == email) if email else theirs)


def erase_all_of(user_id: str, email: str | None) -> None:
    """What a removed person wrote about themselves; what still waits is closed."""
    for row in lock_all_of(user_id, email):
        row.full_name, row.email, row.search_text = FORMER_MEMBER, None, ""
        row.contact = row.location = row.software = row.role = row.portfolio_link = row.message = row.reason = None
        if row.status == Decision.PENDING:
            row.status, row.decided_at = Decision.REJECTED, now()
        applications.save(row)
        forget("application", row.id)


def _record(name: str, application: Application, data: dict[str, Any]) -> None:
    record(name, data, about="application", of=application.id, audience=["managers"])
