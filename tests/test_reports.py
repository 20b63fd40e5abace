"""Error reports: one for a fault of ours, with nothing in it that people sent."""

import json

import pytest
import sentry_sdk
from conftest import settings
from sentry_sdk.transport import Transport

from idyll import create_app, reports

CANARIES = ("canary-in-query", "canary-in-body", "canary-in-header", "canary-in-path-that-is-longer-than-any-id")


class Kept(Transport):
    """Keeps the reports in place of sending them."""

    sent: list[str] = []  # noqa: RUF012 - one list for the one test

    def capture_envelope(self, envelope):
        self.sent.append(json.dumps(envelope.get_event(), default=str))


@pytest.fixture
def reported():
    Kept.sent.clear()
    yield Kept.sent
    sentry_sdk.init()


def test_a_fault_of_ours_is_reported_without_what_was_sent(reported, tmp_path):
    app = create_app(settings(DATABASE_URL=f"sqlite:///{tmp_path}/x.db"))
    app.config["SENTRY_DSN"] = "https://key@sentry.invalid/1"
    reports.init_app(app, Kept)
    app.add_url_rule("/broken/<word>", "broken", lambda word: 1 // 0, methods=["POST"])
    sent = {"headers": {"Authorization": f"Bearer {CANARIES[2]}"}, "json": {"password": CANARIES[1]}}
    answer = app.test_client().post(f"/broken/{CANARIES[3]}?token={CANARIES[0]}", **sent)
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    [report] = reported
    assert "ZeroDivisionError" in report
    assert "/broken/..." in report
    assert [canary for canary in CANARIES if canary in report] == []


def test_a_refusal_is_no_fault(reported, tmp_path):
    app = create_app(settings(DATABASE_URL=f"sqlite:///{tmp_path}/x.db"))
    app.config["SENTRY_DSN"] = "https://key@sentry.invalid/1"
    reports.init_app(app, Kept)
    assert app.test_client().get("/api/tasks").status_code == 401
    assert reported == []
