"""Signals while a program runs that is not Python's: no Ctrl-C and no request to end is taken for its error.

Python runs the handler of a signal between two of its own instructions. A compiled program calls Python for
the operators that are written in it, and makes an ordinary ``RuntimeError`` of whatever is raised there: the
``KeyboardInterrupt`` of somebody's Ctrl-C, or the ``SystemExit`` of a process that is asked to end, would be
taken for a mistake of the trial that it computes.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

Handler = Callable[[int, FrameType | None], Any]

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""By which processes are asked to end."""


class Deferred:
    """Keeps the handlers of :data:`ENDING` from being run until :meth:`deliver`; a context manager, whose end
    delivers, too.

    A signal that comes a second time does not wait: whoever sends it wants an end of what does not end.
    Signals that Python has no handler for do what they do otherwise. Only the main thread runs handlers:
    entered in another one, this does nothing.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._replaced: list[int] = []
        self._caught: dict[int, FrameType | None] = {}
        self._waits = False

    def deliver(self) -> None:
        """Run the handlers of the signals that came, all of them; what they raise is raised."""
        if self._caught:
            number = next(iter(self._caught))
            frame = self._caught.pop(number)
            try:
                self._handlers[number](number, frame)
            finally:
                self.deliver()

    def __enter__(self) -> Self:
        self._waits = True
        try:
            self._replace()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _replace(self) -> None:
        for number in ENDING:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                self._replaced.append(number)  # before it is: a handler may raise between any two lines
                try:
                    signal.signal(number, self._catch)
                except ValueError:  # not the thread that runs handlers
                    return

    def _end(self) -> None:
        try:
            self._restore()
        finally:
            self._waits = False
            self.deliver()

    def _restore(self) -> None:
        """Give handlers their places again, except where one was installed meanwhile."""
        try:
            while self._replaced:
                number = self._replaced[-1]
                if signal.getsignal(number) == self._catch:
                    signal.signal(number, self._handlers[number])
                self._replaced.pop()
        finally:
            if self._replaced:  # one that has its place again has raised something
                self._restore()

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._waits and number not in self._caught:
            self._caught[number] = frame
        else:
            self._handlers[number](number, frame)
