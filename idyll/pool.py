"""First come, first served: database connections, and places for hashes (idyll/concurrency.py).

SQLAlchemy's own queue and the semaphores of `threading` wake any of those who wait, and whoever just returned something
and wants it again goes past them all: some then wait for many others in turn, which shows in the slowest hundredth.
"""

import threading
from collections import deque
from typing import Any

from sqlalchemy.pool import QueuePool
from sqlalchemy.util.queue import Empty, Full, QueueCommon


class _Place:
    """One who waits, and what they are handed."""

    __slots__ = ("baton", "item")

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.item: Any = None


class FirstCome(QueueCommon[Any]):
    """The last one returned is the first one given, so that few are kept warm; those who wait stand in line."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._lock = threading.Lock()
        self._items: list[Any] = []
        self._line: deque[_Place] = deque()

    def qsize(self) -> int:
        return len(self._items)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - never waits
        with self._lock:
            if self._line:
                place = self._line.popleft()
                place.item = item
                place.baton.release()
            elif len(self._items) >= self.maxsize > 0:
                raise Full
            else:
                self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        with self._lock:
            if self._items:
                return self._items.pop()
            if not block:
                raise Empty
            place = _Place()
            self._line.append(place)
        try:
            place.baton.acquire(timeout=-1 if timeout is None else timeout)
        except BaseException:  # cut off while waiting
            if not self._leave(place):
                self.put(place.item)
            raise
        if self._leave(place):
            raise Empty
        return place.item

    def _leave(self, place: _Place) -> bool:
        """Gives the place up; False when it was handed something already."""
        with self._lock:
            if place.item is None:
                self._line.remove(place)
            return place.item is None


class FirstComePool(QueuePool):
    _queue_class = FirstCome
