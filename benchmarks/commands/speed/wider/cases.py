"""The cases of the wider field: no must, and steps that are soon as fast as they will be."""

from __future__ import annotations

from typing import Any

from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.wider.setups import SEARCHED, ReleasedVAE, Search, TreeLSTM

LANES = 4
WARM_UP = 10
"""Steps of every trial before anything is measured, where steps are long."""


def _search(network: str, estimator: dict[str, Any]) -> Case:
    """The small search of ``examples/gdas_small.yaml``; its steps have more operations than are compiled."""
    small = {"dataset": SEARCHED, "size": "16x16", "images": 5000, "channels": 4, "cells": 1}
    return Case(
        name=f"gdas-small-{network}",
        task={"id": "gdas", "network": network} | small,
        estimator=estimator,
        lr=3e-4,
        lanes=LANES,
        setup=Search(),
        warm_up=WARM_UP,
        compiled=False,
    )


CASES = (
    Case(
        name="bernoulli-vae-released",
        task={"id": "bernoulli_vae", "protocol": "released"},
        estimator={"id": "reinmax", "temperature": 1.1},
        lr=1e-3,
        lanes=LANES,
        setup=ReleasedVAE(),
        warm_up=200,
    ),
    Case(
        name="listops-token",
        task={"id": "listops", "reader": "token"},
        estimator={"id": "stgs", "temperature": 1.0},
        lr=1e-3,
        lanes=LANES,
        setup=TreeLSTM(),
        warm_up=WARM_UP,
        compiled=False,
    ),
    _search("full", {"id": "reinmax", "temperature": 1.0}),
    _search("sparse", {"id": "stgs", "temperature": 1.0}),
)
