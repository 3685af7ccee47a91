"""The end of what an attempt logs, for those who look at the attempt later."""

from __future__ import annotations

import logging
from collections import deque
from types import TracebackType
from typing import Self

from workers.logs import TextLines

CHARACTERS = 8_000
"""Of the end of a log that is kept."""


class LogTail(logging.Handler):
    """Collects what this process logs while it is entered, from the level ``INFO`` on; a context manager."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(TextLines(ids=False))
        self._lines: deque[str] = deque()
        self._length = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line more, and drop from the beginning what is too much."""
        line = self.format(record)[-CHARACTERS:]
        self._lines.append(line)
        self._length += len(line) + 1
        while self._length > CHARACTERS + 1:
            self._length -= len(self._lines.popleft()) + 1

    def text(self) -> str | None:
        """The last lines, at most :data:`CHARACTERS` together; ``None`` when nothing was logged."""
        self.acquire()  # others may log meanwhile
        try:
            return "\n".join(self._lines) or None
        finally:
            self.release()

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
