"""Signals while a program runs that is not Python's: nothing that their handlers raise passes through it.

Python runs the handler of a signal between two of its own instructions. A compiled program calls Python for
the operators that are written in it, and makes an ordinary ``RuntimeError`` of whatever is raised there: the
``KeyboardInterrupt`` of somebody's Ctrl-C, or the ``SystemExit`` of a process that is asked to end, would be
taken for a mistake of the trial that it computes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

Handler = Callable[[int, FrameType | None], Any]

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name)
)
"""By which processes are asked to end, or reminded of the time."""


class Deferred:
    """Keeps the handlers of :data:`ENDING` from being run until :meth:`deliver`; a context manager, whose end
    delivers, too.

    Signals that Python has no handler for do what they do otherwise. Only the main thread runs handlers:
    entered in another one, this does nothing.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._caught: list[tuple[int, FrameType | None]] = []
        self._entered = False

    def deliver(self) -> None:
        """Run the handlers of the signals that came; what they raise is raised."""
        while self._caught:
            number, frame = self._caught.pop(0)
            self._handlers[number](number, frame)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._catch)
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.deliver()

    def _catch(self, number: int, frame: FrameType | None) -> None:
        # A handler that has its place again may raise before the others have theirs: what is left in their
        # place does as they do.
        if self._entered:
            self._caught.append((number, frame))
        else:
            self._handlers[number](number, frame)
