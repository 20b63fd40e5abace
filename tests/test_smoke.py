def test_the_owner_hands_out_a_task(api, owner, editor):
    made = api.post("/api/tasks", owner, {"name": "Wedding", "deadline": "2030-01-01", "assignedTo": editor.username})
    assert made.status_code == 201
    assert api.get("/api/tasks", editor).json["data"][0]["id"] == made.json["id"]


def test_a_stranger_is_refused(api):
    assert api.get("/api/tasks").status_code == 401
