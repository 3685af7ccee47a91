"""How commands end: the numbers and what they mean, for scripts and continuous integration."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The status of a command that has ended.

    Attributes:
        meaning: in words.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitStatus:
        """A number that knows its meaning."""
        made = int.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    DONE = 0, "done"
    FAILED = 1, "the sweep failed or the server refused"
    WRONG_INPUT = 2, "the input is wrong"
    FOUND = 3, "`compare` found what `--fail-on` names"
    INTERRUPTED = 130, "interrupted"


def in_words() -> str:
    """All of them in a sentence: ``0 done; 1 ...``."""
    return "; ".join(f"{status.value} {status.meaning}" for status in ExitStatus) + "."
