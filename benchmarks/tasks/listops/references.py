"""Published numbers of ListOps for given parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.published import table
from benchmarks.tasks.info import Reference
from estimators.info import Value

_PAPER = "Liu et al., Bridging Discrete and Backpropagation, NeurIPS 2023, Table 1"
_PROTOCOL: Mapping[str, Value] = {
    "max_tokens": 99,
    "train_sentences": 0,
    "hidden": 300,
    "batch_size": 16,
    "epochs": 20,
}
MAJORITY: Mapping[str, float] = {"valid": 100 * 102 / 857, "test": 100 * 986 / 8689}
"""Accuracy in percent of the most frequent label, of sentences with fewer than 100 tokens."""

Values = Mapping[str, Value]


def references(values: Values) -> tuple[Reference, ...]:
    """Table 1 of the ReinMax paper, and what naming the most frequent value always reaches."""
    return (*_majority(values), *_published(values))


def _majority(values: Values) -> Iterator[Reference]:
    if values["max_tokens"] != _PROTOCOL["max_tokens"]:
        return
    for split, accuracy in MAJORITY.items():
        for name in (f"{split}_accuracy", f"{split}_accuracy_best"):
            yield Reference(
                metric=name,
                estimator=None,
                label="majority class",
                mean=accuracy,
                sd=None,
                source=f"the most frequent value of the {split} sentences",
            )


def _published(values: Values) -> Iterator[Reference]:
    """With the last epoch's accuracy and with the selected one: the paper does not say which it reports."""
    for row in table("reinmax_listops_table"):
        for name in (row["metric"], f"{row['metric']}_best"):
            yield Reference(
                metric=name,
                estimator=row["estimator"],
                label="Table 1",
                mean=float(row["mean"]),
                sd=float(row["sd"]),
                source=f"{_PAPER} ({row['note']})",
                comparable=_difference(values),
            )


def _difference(values: Values) -> str:
    """How a trial differs from the published ones; never empty: their training sentences cannot be had."""
    differences = ["published with the official training sentences, here they are drawn anew"]
    if values["reader"] != "char":
        differences.append("the released reader walks characters")
    differences += [
        f"published with {name} {value}, here {values[name]}"
        for name, value in _PROTOCOL.items()
        if values[name] != value
    ]
    return "; ".join(differences)
