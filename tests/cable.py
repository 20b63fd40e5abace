"""The network between a client and the server, in a test's hands: it can lose what the server says, and break."""

import socket
import threading
from contextlib import suppress


class Cable:
    """Hands everything that comes to a port of its own on to another, and back."""

    def __init__(self, port: int) -> None:
        self.deaf = False  # what the server says is lost
        self.mute = False  # what the client says is lost
        self.plugged = True
        self._target = port
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """All connections break; new ones are possible."""
        self.deaf = self.mute = False
        for end in list(self._ends):
            _close(end)

    def unplug(self) -> None:
        """All connections break, and there are no new ones."""
        self.plugged = False
        self.cut()

    def plug(self) -> None:
        self.plugged = True

    def end(self) -> None:
        _close(self._listener)
        self.unplug()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    if not self.plugged:
                        raise ConnectionRefusedError
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    _close(near)
                    continue
                self._ends |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink, source is far), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not (self.deaf if from_server else self.mute):
                    sink.sendall(data)
        for end in (source, sink):
            _close(end)
            self._ends.discard(end)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
