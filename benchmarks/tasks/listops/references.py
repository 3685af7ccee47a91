"""What naming the most frequent value always reaches on ListOps."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tasks.info import Reference
from estimators.info import Value

_MAX_TOKENS = 99
"""Of the sentences that ``MAJORITY`` speaks of."""
MAJORITY: Mapping[str, float] = {"valid": 100 * 102 / 857, "test": 100 * 986 / 8689}
"""Accuracy in percent of the most frequent label, of sentences with fewer than 100 tokens."""


def references(values: Mapping[str, Value]) -> tuple[Reference, ...]:
    """The majority class, for the accuracies of the last epoch and of the selected one."""
    if values["max_tokens"] != _MAX_TOKENS:
        return ()
    return tuple(
        Reference(
            metric=name,
            estimator=None,
            label="majority class",
            mean=accuracy,
            sd=None,
            source=f"the most frequent value of the {split} sentences",
        )
        for split, accuracy in MAJORITY.items()
        for name in (f"{split}_accuracy", f"{split}_accuracy_best")
    )
