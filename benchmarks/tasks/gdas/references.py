"""Published and known numbers of GDAS for given parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.published import table
from benchmarks.tasks.gdas.sizes import source
from benchmarks.tasks.info import Reference
from estimators.info import Value

_PAPER = "Liu et al., Bridging Discrete and Backpropagation, NeurIPS 2023, Table 4"
_TABLE = "NATS-Bench topology table, 200 epochs"
_PROTOCOL: Mapping[str, Value] = {
    "size": "32x32",
    "images": 0,
    "channels": 16,
    "cells": 5,
    "batch_size": 64,
    "epochs": 100,
}

Values = Mapping[str, Value]


def references(values: Values) -> tuple[Reference, ...]:
    """Table 4 of the ReinMax paper, and what the best, the average and the all-skip cell reach."""
    return (*_levels(), *_published(values))


def _levels() -> Iterator[Reference]:
    for row in table("nats_bench_levels"):
        yield Reference(
            metric=row["metric"],
            estimator=None,
            label=row["label"],
            mean=float(row["accuracy"]),
            sd=None,
            source=_TABLE,
        )


def _published(values: Values) -> Iterator[Reference]:
    """Of the data set that is searched on; for a stand-in, of CIFAR-10."""
    searched = "cifar100" if values["dataset"] == "cifar100" else "cifar10"
    for row in table("reinmax_gdas_table"):
        if row["dataset"] == searched:
            yield Reference(
                metric=row["metric"],
                estimator=row["estimator"],
                label="Table 4",
                mean=float(row["mean"]),
                sd=float(row["sd"]),
                source=f"{_PAPER} ({row['note']})",
                comparable=_difference(values, row["network"], float(row["final_temperature"])),
            )


def _difference(values: Values, network: str, final_temperature: float) -> str:
    """Empty, or how the search differs from the published one."""
    found = [] if values["dataset"] != "fashion_mnist" else [f"searched on {source(values).title} here"]
    protocol = {**_PROTOCOL, "network": network, "final_temperature": final_temperature}
    for name, value in protocol.items():
        if values[name] != value:
            found.append(f"published with {name.replace('_', ' ')} {value}, here {values[name]}")
    return "; ".join(found)
