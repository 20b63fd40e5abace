"""An e-mail is a claim: managers see whether and since when an account has it, and who approves one vouches for it."""

import pytest
from conftest import PASSWORD, Api, Someone
from doors import later

pytestmark = pytest.mark.database

CLAIM = "user.approved_by_claim"


@pytest.fixture
def registered(api: Api) -> dict[str, str]:
    account = {"email": "nila@example.com", "username": "nila", "password": PASSWORD}
    return dict(api.post("/api/auth/register", json=account).json["user"])


def vouched(api: Api, by: Someone, user_id: str) -> list[dict[str, object]]:
    return [
        row
        for row in api.get("/api/audit", by, query_string={"objectId": user_id}).json["data"]
        if row["action"] == CLAIM
    ]


def test_approving_an_account_that_somebody_made_is_audited_as_that(
    api: Api, owner: Someone, moderator: Someone, registered: dict[str, str]
) -> None:
    filed = api.post("/api/applications", json={"fullName": "Nila", "email": "nila@example.com"}).json["id"]
    shown = api.get(f"/api/applications/{filed}", moderator).json
    assert (shown["accountExists"], shown["accountCreatedAt"]) == (True, registered["createdAt"])
    for _ in range(2):
        answer = api.put(f"/api/applications/{filed}/approve", moderator)
        assert answer.status_code == 200
        assert "invite" not in answer.json
    [row] = vouched(api, owner, registered["id"])
    assert row["actor"] == {"id": moderator.id, "displayName": moderator.name}
    assert row["changes"] == {"email": [None, None], "accountCreatedAt": [None, registered["createdAt"]]}


def test_a_change_of_the_account_makes_it_no_younger(api: Api, owner: Someone, registered: dict[str, str]) -> None:
    with later(60):
        renamed = api.put(f"/api/users/{registered['id']}", owner, {"displayName": "Nila N"}).json
        assert renamed["updatedAt"] > registered["createdAt"]
        filed = api.post("/api/applications", json={"fullName": "Nila", "email": "nila@example.com"}).json["id"]
        shown = api.get(f"/api/applications/{filed}", owner).json
        assert (shown["accountExists"], shown["accountCreatedAt"]) == (True, registered["createdAt"])
        assert api.put(f"/api/applications/{filed}/approve", owner).status_code == 200
    [row] = vouched(api, owner, registered["id"])
    assert row["changes"]["accountCreatedAt"] == [None, registered["createdAt"]]


def test_so_is_approving_the_account_itself(api: Api, owner: Someone, registered: dict[str, str]) -> None:
    path = f"/api/users/{registered['id']}"
    assert api.put(path, owner, {"status": "rejected"}).status_code == 200
    assert vouched(api, owner, registered["id"]) == []
    assert api.put(path, owner, {"status": "approved"}).status_code == 200
    assert len(vouched(api, owner, registered["id"])) == 1


def test_an_account_that_the_approval_makes_is_nobodys_claim(api: Api, owner: Someone) -> None:
    filed = api.post("/api/applications", json={"fullName": "Nila", "email": "nila@example.com"}).json["id"]
    shown = api.get(f"/api/applications/{filed}", owner).json
    assert (shown["accountExists"], shown["accountCreatedAt"]) == (False, None)
    approved = api.put(f"/api/applications/{filed}/approve", owner).json
    assert approved["invite"]
    assert vouched(api, owner, approved["userId"]) == []
