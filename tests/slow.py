"""Who sends slowly."""

import json
from http.client import HTTPConnection


class HalfSent:
    """A chat message by REST of which only the first half was sent."""

    def __init__(self, port: int, token: str, words: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=30)
        body = json.dumps({"message": words}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.connection.request("POST", "/api/chat/messages", None, {**headers, "Content-Length": str(len(body))})
        self.connection.send(body[:8])
        self.rest = body[8:]

    def finish(self) -> int:
        """Sends the rest; gives the status of the answer."""
        self.connection.send(self.rest)
        answer = self.connection.getresponse()
        answer.read()
        self.connection.close()
        return answer.status
