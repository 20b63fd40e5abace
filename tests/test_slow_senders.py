"""Whoever sends a body slowly is waited for, and keeps nothing from the others meanwhile."""

from slow import HalfSent

MORE_THAN_CONNECTIONS = 20


def test_slow_bodies_hold_no_connections_to_the_database(live):
    owner, people = live.people.owner(), [live.people.editor() for _ in range(MORE_THAN_CONNECTIONS)]
    slow = [HalfSent(live.app.port, person.token, f"Slow {n}") for n, person in enumerate(people)]
    for _ in range(3):
        assert live.api.get("/api/tasks", owner).status_code == 200
    assert [one.finish() for one in slow] == [201] * MORE_THAN_CONNECTIONS
