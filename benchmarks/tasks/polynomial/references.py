"""Levels of polynomial programming that are known in closed form, and what exact gradients reach.

``exact_adam.csv`` has the expected loss under Adam (rate 1e-3) with exact gradients from theta = 0, computed
for this project in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.tasks.info import Reference
from benchmarks.tasks.tables import table
from estimators.info import Value

TARGET = 0.45
"""The c of setting A in the ReinMax paper."""

Values = Mapping[str, Value]


def references(values: Values) -> tuple[Reference, ...]:
    """The optimum, the level where ST stalls (setting A) and what Adam reaches with exact gradients."""
    return (_optimum(values), *_straight_through_stall(values), *_exact_adam(values))


def _expected_loss(estimator: str | None, label: str, mean: float, source: str) -> Reference:
    return Reference(
        metric="expected_loss", estimator=estimator, label=label, mean=mean, sd=None, source=source
    )


def _optimum(values: Values) -> Reference:
    p, latents, c = float(values["p"]), int(values["latents"]), float(values["target"])
    if values["setting"] == "A":
        if c <= 0.5:
            return _expected_loss(None, "optimum", c**p, f"{c:g}^p, every X at 0")
        return _expected_loss(None, "optimum", (1 - c) ** p, f"(1 - {c:g})^p, every X at 1")
    targets = [(i + 0.5) / latents for i in range(latents)]
    mean = sum(min(c, 1 - c) ** p for c in targets) / latents
    return _expected_loss(None, "optimum", mean, "mean over i of min(c_i, 1 - c_i)^p")


def _straight_through_stall(values: Values) -> Iterator[Reference]:
    if values["setting"] == "A":
        p, c = float(values["p"]), float(values["target"])
        one, zero = (1 - c) ** (p - 1), c ** (p - 1)
        q = zero / (zero + one)
        level = q * (1 - c) ** p + (1 - q) * c**p
        source = (
            "expected loss where the mean ST gradient is zero, P(X = 1) = c^(p-1) / (c^(p-1) + (1-c)^(p-1))"
        )
        yield _expected_loss("st", "stall", level, source)


def _exact_adam(values: Values) -> Iterator[Reference]:
    steps = int(values["epochs"]) * int(values["steps_per_epoch"])
    if values["target"] != TARGET:
        return
    for row in table(__package__, "exact_adam"):
        same_task = float(row["p"]) == values["p"] and row["setting"] == values["setting"]
        if same_task and int(row["latents"]) == values["latents"] and int(row["steps"]) == steps:
            source = f"{steps:,} Adam steps, rate 0.001, exact gradients in float64 from theta = 0"
            yield _expected_loss("exact", "exact gradients", float(row["expected_loss"]), source)
