"""Lines of a long command that say what goes on and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence


class Announcer:
    """Writes such lines to standard output.

    Args:
        seconds: a guess at the time of each case. What the cases done took, over their guesses, corrects the
            guesses of the others.
        clock: seconds.
    """

    def __init__(self, seconds: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        self._guesses, self._clock = tuple(seconds), clock
        self._correction = 1.0
        self._number = 0
        self._name = "start"
        self._began = self._case_began = clock()

    def next(self, name: str) -> None:
        """The next case begins."""
        self._case_began = self._clock()
        if self._number == 0:
            self._began = self._case_began
        else:
            self._correction = (self._case_began - self._began) / sum(self._guesses[: self._number])
        self._number += 1
        self._name = name

    def __call__(self, what: str) -> None:
        """Write a line."""
        sys.stdout.write(f"[{self._number}/{len(self._guesses)}] {self._name}: {what}; {self._left()}\n")
        sys.stdout.flush()

    def _left(self) -> str:
        left = self._correction * sum(self._guesses[self._number :])
        if self._number:
            this = self._correction * self._guesses[self._number - 1]
            left += max(0.0, this - (self._clock() - self._case_began))
        if left == 0:
            return "takes longer than foreseen"
        return f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"
