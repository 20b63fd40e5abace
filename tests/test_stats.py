"""The numbers of both home pages: the agency's for managers, one's own for editors."""

from datetime import timedelta

import pytest

from idyll.clock import now
from idyll.ids import uuid7

pytestmark = pytest.mark.database

SUMMARY = "/api/stats/summary"
NO_PAYOUTS = {status: {"count": 0, "sums": {}} for status in ("pending", "approved", "paid", "rejected", "cancelled")}


def summary(api, by, **query):
    answer = api.get(SUMMARY, by, query_string=query)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def made(answer):
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.json["id"]


def meet(api, by, minutes, attendees=()):
    starts = (now() + timedelta(minutes=minutes)).isoformat()
    return made(api.post("/api/meetings", by, {"title": "M", "startsAt": starts, "attendees": list(attendees)}))


def test_an_empty_agency_has_zeros_for_everything(api, owner):
    assert summary(api, owner) == {
        "users": {
            "total": 1,
            "byRole": {"editor": 0, "moderator": 0, "owner": 1},
            "byStatus": {"pending": 0, "approved": 1, "rejected": 0},
        },
        "applications": {"byStatus": {"pending": 0, "approved": 0, "rejected": 0}},
        "tasks": {
            "total": 0,
            "byStatus": {"pending": 0, "in-progress": 0, "completed": 0, "blocked": 0},
            "overdue": 0,
        },
        "meetings": {"upcoming": 0},
        "payouts": {"byStatus": NO_PAYOUTS},
    }


@pytest.fixture
def busy(api, owner, moderator, editor, other_editor, pending):
    """An agency at work: two tasks, two meetings and money for `editor`, something of each for others."""
    for email in ("a@example.com", "b@example.com"):
        made(api.post("/api/applications", json={"fullName": "A", "email": email}))
    refused = api.get("/api/applications", owner).json["data"][0]["id"]
    api.put(f"/api/applications/{refused}/reject", owner, {})

    old, new = "2020-01-01", "2099-01-01"
    for who, deadline, status in (
        (editor, old, "in-progress"),
        (editor, old, "completed"),
        (other_editor, old, "pending"),
        (None, new, "pending"),
    ):
        task = {"name": "T", "deadline": deadline, "assignedTo": who.id if who else None, "status": status}
        made(api.post("/api/tasks", owner, task))
    gone = made(api.post("/api/tasks", owner, {"name": "T", "deadline": old, "assignedTo": editor.id}))
    api.delete(f"/api/tasks/{gone}", owner)

    meet(api, owner, 60, [editor.id])
    meet(api, owner, 60, ["All Team"])
    meet(api, owner, 60, [other_editor.id])
    meet(api, owner, -60, [editor.id])
    api.delete(f"/api/meetings/{meet(api, owner, 60, [editor.id])}", owner)

    for who, amount, currency, moves in (
        (editor, 1500.5, "INR", ()),
        (editor, 0.1, "INR", ()),
        (editor, 0.2, "INR", ()),
        (editor, 20, "EUR", ()),
        (editor, 7, "INR", ("approved", "paid")),
        (other_editor, 99.99, "INR", ("rejected",)),
    ):
        payout = made(api.post("/api/payouts", who, {"projectName": "P", "amount": amount, "currency": currency}))
        for status in moves:
            more = {"paid": {"reference": "R"}, "rejected": {"reason": "No"}}.get(status, {})
            assert api.put(f"/api/payouts/{payout}", owner, {"status": status, **more}).status_code == 200


def test_managers_get_the_numbers_of_the_agency(api, owner, moderator, editor, busy):
    found = summary(api, owner)
    assert found["users"] == {
        "total": 5,
        "byRole": {"editor": 3, "moderator": 1, "owner": 1},
        "byStatus": {"pending": 1, "approved": 4, "rejected": 0},
    }
    assert found["applications"] == {"byStatus": {"pending": 1, "approved": 0, "rejected": 1}}
    assert found["tasks"] == {
        "total": 4,
        "byStatus": {"pending": 2, "in-progress": 1, "completed": 1, "blocked": 0},
        "overdue": 2,
    }
    assert found["meetings"] == {"upcoming": 3}
    assert found["payouts"]["byStatus"] == NO_PAYOUTS | {
        "pending": {"count": 4, "sums": {"INR": 1500.8, "EUR": 20}},
        "paid": {"count": 1, "sums": {"INR": 7}},
        "rejected": {"count": 1, "sums": {"INR": 99.99}},
    }
    assert summary(api, moderator) == found


def test_an_editor_gets_their_own_and_a_manager_may_ask_for_them(api, owner, editor, busy):
    found = summary(api, editor)
    assert found["tasks"] == {
        "total": 2,
        "byStatus": {"pending": 0, "in-progress": 1, "completed": 1, "blocked": 0},
        "overdue": 1,
    }
    assert found["meetings"] == {"upcoming": 2}
    assert found["payouts"]["byStatus"] == NO_PAYOUTS | {
        "pending": {"count": 4, "sums": {"INR": 1500.8, "EUR": 20}},
        "paid": {"count": 1, "sums": {"INR": 7}},
    }
    assert found["users"] == {
        "total": 0,
        "byRole": {"editor": 0, "moderator": 0, "owner": 0},
        "byStatus": {"pending": 0, "approved": 0, "rejected": 0},
    }
    assert set(found["applications"]["byStatus"].values()) == {0}
    assert summary(api, editor, userId=editor.id) == summary(api, owner, userId=editor.id) == found


def test_nobody_counts_another_persons_work(api, owner, editor, other_editor, pending):
    for somebody in (other_editor.id, owner.id, uuid7()):
        assert api.get(SUMMARY, editor, query_string={"userId": somebody}).status_code == 403
    assert api.get(SUMMARY, pending).json["code"] == "account_pending"
    assert api.get(SUMMARY, owner, query_string={"userId": uuid7()}).status_code == 404
    assert list(api.get(SUMMARY, owner, query_string={"userId": "x"}).json["errors"]) == ["userId"]
    assert list(api.get(SUMMARY, owner, query_string={"from": "2020-01-01"}).json["errors"]) == ["from"]


def test_removed_people_and_what_left_with_them_are_not_counted(api, owner, editor, busy):
    api.delete(f"/api/users/{editor.id}", owner)
    found = summary(api, owner)
    assert (found["users"]["total"], found["users"]["byStatus"]["rejected"]) == (4, 0)
    assert found["payouts"]["byStatus"]["pending"] == {"count": 0, "sums": {}}
    assert found["payouts"]["byStatus"]["cancelled"]["count"] == 4
    assert found["payouts"]["byStatus"]["paid"] == {"count": 1, "sums": {"INR": 7}}
