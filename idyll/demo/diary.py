"""What happens when: steps are noted in any order, and lived through in the order of their times."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from operator import itemgetter

from .. import clock

BEGIN, LENGTH = 9.5, 9  # a working day, in hours


class Diary:
    def __init__(self) -> None:
        self.now, self.today = clock.now(), clock.today()
        self.steps: list[tuple[datetime, int, Callable[[], object]]] = []

    def on(self, day: float, step: Callable[[], object]) -> None:
        """Notes a step; the fraction of the day is how far its working hours have gone. Nothing is in the future."""
        whole, part = divmod(day, 1)
        midnight = clock.midnight(self.today + timedelta(days=int(whole)))
        moment = midnight + timedelta(hours=BEGIN + LENGTH * part)
        self.steps.append((min(moment, self.now), len(self.steps), step))

    def live(self) -> None:
        for moment, _, step in sorted(self.steps, key=itemgetter(0, 1)):
            with clock.at(moment):
                step()


def table(text: str) -> Iterator[list[str]]:
    """The rows of a text whose cells are parted by bars."""
    for line in text.strip().splitlines():
        yield [cell.strip() for cell in line.split("|")]
