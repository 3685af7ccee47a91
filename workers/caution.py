"""How long a dispatcher claims nothing after the infrastructure has lost attempts."""

from __future__ import annotations

from collections.abc import Callable

FIRST = 1.0
LONGEST = 60.0
CALM = 300.0
"""Seconds without such a loss after which the next one is the first again."""


class Caution:
    """A pause that grows with every loss: a node that is dead takes whatever it is given, until somebody sees
    that it is.

    The n-th pause in a row is ``FIRST * 2**(n - 1)`` seconds, at most ``LONGEST``. Losses during a pause
    belong to the same trouble and make it no longer.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._losses = 0
        self._until = clock()

    def lost(self) -> float:
        """The infrastructure has lost an attempt; returns for how many seconds nothing is to be claimed."""
        now = self._clock()
        if not self.pausing:
            self._losses = 0 if now - self._until > CALM else self._losses
            self._until = now + min(LONGEST, FIRST * 2.0 ** min(self._losses, 30))
            self._losses += 1
        return self._until - now

    def went_well(self) -> None:
        """An attempt has ended by itself: the next loss is the first again."""
        self._losses = 0

    @property
    def pausing(self) -> bool:
        """Whether nothing is to be claimed now."""
        return self._clock() < self._until
