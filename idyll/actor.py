"""Who acts: the signed-in person as their row says now, and where the request came from."""

from dataclasses import dataclass

from .users.roles import Role, Status


@dataclass(frozen=True, slots=True)
class Actor:
    """Passed to every service as `by` or `viewer`; REST, sockets and the command line make one each."""

    id: str | None
    role: str
    status: str
    session_id: str | None = None
    address: str | None = None
    request_id: str | None = None
    # A member whose role must use two-step log-in, and who doesn't yet.
    must_enrol: bool = False

    @property
    def room(self) -> str:
        return f"user:{self.id}"


def system(what: str = "command line") -> Actor:
    """The command line on the host, which may do what the owner may."""
    return Actor(None, Role.OWNER, Status.APPROVED, address=what)
