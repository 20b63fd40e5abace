"""Large payouts take two people: who approved one does not pay it; and nobody decides on their own."""

from typing import Any

import pytest
from conftest import Api, People, Someone, actor
from flask import Flask
from sqlalchemy import text
from test_payouts import MORE, move, requested, url

from idyll.errors import Forbidden, Problem
from idyll.extensions import db
from idyll.payouts import service as payouts
from idyll.transactions import transaction

pytestmark = pytest.mark.database

PAY = {"status": "paid", **MORE["paid"]}


@pytest.fixture(autouse=True)
def limits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "PAYOUT_SECOND_APPROVAL_FROM", {"INR": 5_000_000, "EUR": 50_050})


@pytest.mark.parametrize(
    ("amount", "currency", "alone"),
    [
        (49_999.99, "INR", True),
        (50_000, "INR", False),
        (50_000.01, "INR", False),
        (500.49, "EUR", True),
        (500.5, "EUR", False),
        (10_000_000, "USD", True),  # no limit is set for it
    ],
)
def test_from_the_limit_on_who_approved_may_not_pay(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, amount: float, currency: str, alone: bool
) -> None:
    for first, second in ((moderator, owner), (owner, moderator)):
        payout = requested(api, editor, amount=amount, currency=currency)
        approved = move(api, first, payout, "approved")
        answer = api.put(url(payout), first, PAY)
        if alone:
            assert (answer.status_code, answer.json["status"]) == (200, "paid")
            continue
        assert (answer.status_code, answer.json["code"]) == (403, "second_person_required")
        assert api.get(url(payout), first).json == approved
        assert move(api, second, payout, "paid")["decidedBy"] == first.id


def test_with_a_second_person_missing_it_can_still_be_rejected(api: Api, owner: Someone, editor: Someone) -> None:
    payout = move(api, owner, requested(api, editor, amount=60_000), "approved")
    assert move(api, owner, payout, "rejected")["status"] == "rejected"


def test_other_refusals_come_first(api: Api, owner: Someone, moderator: Someone, editor: Someone) -> None:
    payout = requested(api, editor, amount=60_000)
    assert api.put(url(payout), owner, PAY).status_code == 409
    move(api, owner, payout, "approved")
    assert api.put(url(payout), owner, {"status": "paid"}).status_code == 422
    assert api.put(url(payout), editor, PAY).json["code"] == "forbidden"
    move(api, moderator, payout, "paid")
    assert api.put(url(payout), owner, PAY).json["code"] == "illegal_move"


def test_off_one_person_does_it_all(
    api: Api, app: Flask, owner: Someone, editor: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "PAYOUT_SECOND_APPROVAL_FROM", {})
    payout = requested(api, editor, amount=10_000_000)
    assert move(api, owner, payout, "approved", "paid")["status"] == "paid"


# -- one's own -------------------------------------------------------------------------------------------------------


def own(api: Api, owner: Someone, moderator: Someone) -> list[tuple[dict[str, Any], Someone, Someone]]:
    """Managers' own payouts, however they came to be: payout, whose, and another manager."""
    return [
        (requested(api, owner), owner, moderator),
        (requested(api, owner, editorId=owner.id), owner, moderator),
        (requested(api, moderator, editorId=owner.id), owner, moderator),
        (requested(api, moderator), moderator, owner),
        (requested(api, owner, editorId=moderator.id), moderator, owner),
    ]


def test_whoever_made_the_request_the_one_who_gets_the_money_does_not_decide(
    api: Api, owner: Someone, moderator: Someone
) -> None:
    for payout, whose, another in own(api, owner, moderator):
        for way in (api.put, api.patch):
            for status in ("approved", "rejected", "paid"):
                refused = way(url(payout), whose, {"status": status, **MORE.get(status, {})})
                assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
        move(api, another, payout, "approved")
        for status in ("paid", "rejected"):
            assert api.put(url(payout), whose, {"status": status, **MORE[status]}).status_code == 403
        # Approved money is not taken back by its owner either.
        assert api.delete(url(payout), whose).status_code == 409
        assert api.get(url(payout), whose).json["status"] == "approved"


def test_whom_it_is_for_can_not_be_changed_afterwards(api: Api, owner: Someone, moderator: Someone) -> None:
    payout = requested(api, owner)
    for by in (owner, moderator):
        assert api.put(url(payout), by, {"editorId": moderator.id}).status_code == 422
    assert api.get(url(payout), owner).json["editorId"] == owner.id


def test_a_managers_own_payouts_outlive_them_undecided_by_them(
    api: Api, owner: Someone, people: People, moderator: Someone
) -> None:
    goer = people.moderator()
    waiting = requested(api, goer)
    approved = move(api, moderator, requested(api, goer), "approved")
    assert api.delete(f"/api/users/{goer.id}", goer, {"currentPassword": "four-minutes-of-film"}).status_code == 204
    assert api.get(url(waiting), owner).json["status"] == "cancelled"
    assert api.get(url(approved), owner).json["status"] == "approved"


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_a_service_that_forgot_to_ask_is_stopped_by_the_books(
    api: Api, app: Flask, owner: Someone, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """The rule stands in the database too."""
    payout = requested(api, owner)
    changes = {"status": status, **MORE.get(status, {})}

    def decide() -> None:
        with transaction():
            payouts.edit(payouts.lock(payout["id"], viewer=actor(owner)), changes, by=actor(owner))

    with app.app_context():
        with pytest.raises(Forbidden):
            decide()
        monkeypatch.setattr(payouts, "can_decide_payout", lambda *_: True)
        with pytest.raises(Exception, match=r"(?i)constraint") as stopped:
            decide()
        assert not isinstance(stopped.value, Problem)
        assert db.session.execute(text("SELECT status FROM payouts")).scalar() == "pending"
