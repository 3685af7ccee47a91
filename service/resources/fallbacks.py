"""Attempts whose training steps could not be compiled, in the words that pages and commands show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.resources.schemas import Fallback

ADVICE = (
    "Install a C++ compiler (g++) and the headers of Python on the workers; docs/deployment.md says more "
    "under “Compiled steps”."
)


def fallbacks(provenances: Iterable[Mapping[str, Any] | None]) -> list[Fallback]:
    """What failed, and for how many attempts; provenance of older versions does not tell and counts as none.

    Args:
        provenances: one for each attempt.
    """
    found = Counter(tuple(one["fallback"]) for one in provenances if one and one.get("fallback"))
    return [Fallback(failures=list(failures), attempts=n) for failures, n in found.most_common()]


def sentence(attempts: int) -> str:
    """What happened, what it means and what to do."""
    who = "One attempt" if attempts == 1 else f"{attempts:,} attempts"
    return (
        f"{who} could not compile training steps and did them in a slower form: results are right, but took "
        f"longer. {ADVICE}"
    )


def warning(found: Sequence[Fallback]) -> tuple[str, list[str]] | None:
    """The sentence and, each once, what failed; ``None`` without a fallback."""
    if not found:
        return None
    lines = dict.fromkeys(line for one in found for line in one.failures)
    return sentence(sum(one.attempts for one in found)), list(lines)
