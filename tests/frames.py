"""Raw WebSockets and long polls, for what no client library lets a test send."""

import http.client
import json
import os
import select
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SEPARATOR = "\x1e"  # between the packets of one long poll
QUERY = "EIO=4&transport={}"


def frame(
    data: bytes | str,
    opcode: int = TEXT,
    *,
    final: bool = True,
    masked: bool = True,
    reserved: int = 0,
    form: int = 0,
    length: int | None = None,
) -> bytes:
    """One frame, right unless asked otherwise: `form` is 126 or 127 for a longer header, `length` what it claims."""
    payload = data.encode() if isinstance(data, str) else data
    claimed = len(payload) if length is None else length
    form = form or (claimed if claimed < 126 else 126 if claimed < 65536 else 127)
    head = struct.pack("!BB", (final << 7) | (reserved << 4) | opcode, (masked << 7) | form)
    head += struct.pack("!H", claimed) if form == 126 else struct.pack("!Q", claimed) if form == 127 else b""
    return head + (_mask(payload) if masked else payload)


def _mask(payload: bytes) -> bytes:
    key = os.urandom(4)
    stretched = (key * (len(payload) // 4 + 1))[: len(payload)]
    turned = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return key + turned.to_bytes(len(payload), "big")


class Handshake(Exception):
    """What a server says instead of 101."""

    def __init__(self, status: int, head: str, body: bytes) -> None:
        super().__init__(status, head, body)
        self.status, self.head, self.body = status, head, body


class WebSocket:
    """One WebSocket by hand. With `session`, the upgrade of a long-polling session."""

    def __init__(
        self,
        port: int,
        *,
        path: str = "/socket.io/",
        session: str = "",
        query: str = "",
        headers: dict[str, str] | None = None,
        buffer: int = 0,
        timeout: float = 15,
    ) -> None:
        self.wire = socket.socket()
        if buffer:
            self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.wire.settimeout(timeout)
        self.wire.connect(("127.0.0.1", port))
        self.came = b""
        self.code: int | None = None  # that the server closed with
        query = query or QUERY.format("websocket") + (f"&sid={session}" if session else "")
        asked = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": b64encode(os.urandom(16)).decode(),
            **(headers or {}),
        }
        lines = [f"GET {path}?{query} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items() if value)]
        self.raw("\r\n".join([*lines, "", ""]).encode())
        self.head = self._until(b"\r\n\r\n").decode("latin-1")
        status = int(self.head.split()[1])
        if status != 101:
            self.wire.settimeout(0.3)
            raise Handshake(status, self.head, self._rest())

    # -- saying

    def raw(self, data: bytes) -> None:
        self.wire.sendall(data)

    def say(self, *messages: str) -> Self:
        self.raw(b"".join(frame(message) for message in messages))
        return self

    def log_in(self, token: Any = None, namespace: str = "/", timeout: float = 15) -> str:
        """Connects to a namespace; gives the server's answer, a CONNECT or a refusal."""
        space = "" if namespace == "/" else f"{namespace},"
        self.say(f"40{space}" + (json.dumps({"token": token}) if token else ""))
        return self.wait(lambda text: text.startswith((f"40{space}", f"44{space}")), timeout)

    def ask(self, event: str, payload: Any, number: int = 1, timeout: float = 15) -> Any:
        """The acknowledgement of an event."""
        self.say(f"42{number}{json.dumps([event, payload])}")
        return json.loads(self.wait(lambda text: text.startswith(f"43{number}["), timeout)[2 + len(str(number)) :])[0]

    # -- hearing

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What comes, until the server hangs up."""
        with suppress(OSError):
            while True:
                first, second = self._take(2)
                length = second & 127
                if length > 125:
                    length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
                data = self._take(length)
                if first & 15 == CLOSE and len(data) > 1:
                    self.code = int.from_bytes(data[:2], "big")
                yield first & 15, data

    def texts(self) -> Iterator[str]:
        """The messages that come; pings are answered."""
        for opcode, data in self.frames():
            if opcode == TEXT:
                if data == b"2":
                    self.say("3")
                yield data.decode()

    def wait(self, wanted: Any, timeout: float = 15) -> str:
        """The next message that passes."""
        self.wire.settimeout(timeout)
        for text in self.texts():
            if wanted(text):
                return text
        raise AssertionError("the server hung up, or was silent")

    def next(self, timeout: float = 15) -> str:
        """The next message but for greetings and pings."""
        return self.wait(lambda text: text[0] not in "02", timeout)

    def hung_up(self, within: float = 15) -> bool:
        """Whether the server ends the connection by then; reads all that comes."""
        ends = time.monotonic() + within
        while (left := ends - time.monotonic()) > 0:
            ready, _, _ = select.select([self.wire], [], [], left)
            with suppress(OSError):
                if ready and (data := self.wire.recv(1 << 16)):
                    self.came += data
                    continue
            if ready:
                for _ in self.frames():
                    pass
                return True
        return False

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _until(self, end: bytes) -> bytes:
        while end not in self.came:
            if not (data := self.wire.recv(1 << 16)):
                raise ConnectionError("hung up")
            self.came += data
        found, _, self.came = self.came.partition(end)
        return found

    def _take(self, count: int) -> bytes:
        while len(self.came) < count:
            if not (data := self.wire.recv(1 << 16)):
                raise ConnectionError("hung up")
            self.came += data
        taken, self.came = self.came[:count], self.came[count:]
        return taken

    def _rest(self) -> bytes:
        with suppress(OSError):
            while data := self.wire.recv(1 << 16):
                self.came += data
        self.wire.close()
        return self.came


class Polls:
    """One long-polling session by hand."""

    def __init__(self, port: int, *, path: str = "/socket.io/", headers: dict[str, str] | None = None) -> None:
        self.port, self.path, self.headers = port, path, headers or {}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        status, text = self.call("GET", QUERY.format("polling"))
        assert status == 200, text
        self.sid: str = json.loads(text[1:])["sid"]

    def call(
        self, method: str, query: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        data = body.encode() if isinstance(body, str) else body
        self.connection.request(method, f"{self.path}?{query}", data, self.headers | (headers or {}))
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    @property
    def query(self) -> str:
        return f"{QUERY.format('polling')}&sid={self.sid}"

    def post(self, body: bytes | str, **headers: str) -> tuple[int, str]:
        return self.call("POST", self.query, body, headers)

    def say(self, *packets: str) -> tuple[int, str]:
        return self.post(SEPARATOR.join(packets))

    def get(self) -> tuple[int, str]:
        return self.call("GET", self.query)

    def hear(self, wanted: Any, polls: int = 20) -> str:
        """The next packet that passes."""
        for _ in range(polls):
            status, text = self.get()
            assert status == 200, (status, text)
            packets = text.split(SEPARATOR)
            if "2" in packets:
                self.say("3")
            if found := next(filter(wanted, packets), None):
                return found
        raise AssertionError("not heard")

    def log_in(self, token: Any = None) -> str:
        self.say("40" + (json.dumps({"token": token}) if token else ""))
        return self.hear(lambda text: text.startswith(("40", "44")))

    def is_open(self) -> bool:
        """Whether the session is still known."""
        return self.say("3")[0] == 200

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
