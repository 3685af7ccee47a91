"""What is wrong with a sweep file: where, what, and the nearest right name."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.sweep_file.limits import MAX_ISSUES

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


@dataclass(frozen=True, slots=True)
class Issue:
    """One mistake.

    Attributes:
        path: JSON pointer (RFC 6901) to the offending key or value; empty for the whole file.
        message: what came, what was expected, what to do.
        suggestion: the nearest right name, where one is near.
    """

    path: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.path or '/'}: {self.message}{hint}"


class SpecError(ValueError):
    """A sweep file that cannot be run; ``issues`` lists everything wrong with it, in no file order.

    Attributes:
        issues: at least one.
        source: what was read, e.g. a file name.
        what: what it should have been.
    """

    def __init__(self, issues: Iterable[Issue], *, source: str = "sweep", what: str = "sweep") -> None:
        self.issues = tuple(issues)
        self.source = source
        super().__init__("\n".join([f"{source} is not a valid {what}:", *(f"  {p}" for p in self.issues)]))


class Issues:
    """Collects issues, so that one reading of a file reports all of them."""

    def __init__(self) -> None:
        self._found: list[Issue] = []
        self._left = 0

    def add(self, path: str, message: str, *, given: object = None, names: Sequence[str] = ()) -> None:
        """Note an issue; the suggestion is the name among ``names`` nearest to ``given``.

        Those beyond ``MAX_ISSUES`` are only counted: looking for near names takes most of the time.
        """
        if len(self._found) < MAX_ISSUES:
            self._found.append(Issue(path, message, nearest(given, names)))
        else:
            self._left += 1

    def raise_if_any(self, source: str) -> None:
        """Raise :class:`SpecError` with what was collected, at most ``MAX_ISSUES`` of them."""
        if not self._found:
            return
        more = [Issue("", f"and {self._left} more issues; mend these first.")] if self._left else []
        raise SpecError(self._found + more, source=source)


def nearest(given: object, names: Sequence[str]) -> str | None:
    """The name nearest to what was written, ``None`` where none is near."""
    if not isinstance(given, str):
        return None
    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(given.lower()[:100], list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def at(path: str, part: str | int) -> str:
    """The JSON pointer one step below ``path``."""
    return f"{path}/{str(part).replace('~', '~0').replace('/', '~1')}"


def shown(value: object) -> str:
    """A value as messages show it: short, on one line, in the words of a sweep file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return _REPR.repr(value)


def listed(names: Iterable[str]) -> str:
    """Names in a row, for ``expected one of ...``."""
    return ", ".join(names)
