"""What cells of NATS-Bench reach, whatever was searched for.

``levels.csv`` has accuracies in % of its topology table after 200 epochs: of the best cell, of all cells on
average, and of the cell that skips on every edge.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tasks.info import Reference
from benchmarks.tasks.tables import table
from estimators.info import Value

_TABLE = "NATS-Bench topology table, 200 epochs"


def references(values: Mapping[str, Value]) -> tuple[Reference, ...]:
    """What the best, the average and the all-skip cell reach."""
    return tuple(
        Reference(
            metric=row["metric"],
            estimator=None,
            label=row["label"],
            mean=float(row["accuracy"]),
            sd=None,
            source=_TABLE,
        )
        for row in table(__package__, "levels")
    )
