"""What the tests of applying and deciding share."""

from conftest import PASSWORD
from sqlalchemy import func, select

from idyll.audit.models import AuditRow
from idyll.events.models import Event
from idyll.extensions import db
from idyll.notifications.models import Notification
from idyll.users.models import User

FORM = {
    "fullName": "Ravi Nair",
    "email": "ravi@example.com",
    "contact": "+91 98",
    "location": "Kochi",
    "software": "Resolve",
    "role": "Colourist",
    "portfolioLink": "https://example.com/ravi",
    "message": "Three years\nof wedding films.",
}
REGISTRATION = {"email": FORM["email"], "username": "ravi", "password": PASSWORD, "displayName": "Ravi N."}


def apply(api, **changed):
    answer = api.post("/api/applications", json=FORM | changed)
    assert answer.status_code == 201, answer.json
    return answer.json


def register(api, **changed):
    answer = api.post("/api/auth/register", json=REGISTRATION | changed)
    assert answer.status_code == 201, answer.json
    return answer.json


def listed(api, by, **query):
    return list(api.pages("/api/applications", by, **query))


def shown(api, by, application):
    return api.get(f"/api/applications/{application['id']}", by).json


def approve(api, by, application):
    return api.put(f"/api/applications/{application['id']}/approve", by)


def reject(api, by, application, **body):
    return api.put(f"/api/applications/{application['id']}/reject", by, body)


def traces(app):
    """How much of what a decision leaves behind is there."""
    with app.app_context():
        return [
            db.session.scalar(select(func.count()).select_from(table))
            for table in (AuditRow, Notification, Event, User)
        ]
