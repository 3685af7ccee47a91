"""Measure how long training steps take on this machine, for the table that ``benchmarks.cost`` ships.

    python -m benchmarks.commands.rates --machine "AMD EPYC 9004, one thread" > benchmarks/cost/rates.json

One lane at a time, compiled and not, on one thread: the median of segments of at most a second, compiling
left out.
The constants of the model (``benchmarks.cost.table``) are kept as they stand.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import torch

from benchmarks.commands.arguments import seconds
from benchmarks.cost import table
from benchmarks.engine.cohort import Cohort
from benchmarks.spec import TrialSpec
from benchmarks.sweep import read_sweep

ESTIMATORS: tuple[dict[str, Any], ...] = (
    {"id": "st"},
    {"id": "stgs"},
    {"id": "reinmax"},
    {"id": "gumbel_rao", "num_draws": 100},
    {"id": "rloo", "num_samples": 4},
    {"id": "rebar"},
)
TASKS: tuple[dict[str, Any], ...] = (
    {"id": "polynomial", "latents": 128, "batch_size": 256, "epochs": 10_000},
    {"id": "categorical_vae", "categories": 8, "latents": 4, "epochs": 10_000},
)


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", required=True, help="What the machine is, in a few words.")
    parser.add_argument("--seconds", type=seconds, default=6.0, help="Time spent on each row.")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    measured = [
        _row(trial, compiled, chosen.seconds)
        for task in TASKS
        for estimator in ESTIMATORS
        for trial in _trials(task, estimator)
        for compiled in (True, False)
    ]
    print(json.dumps(table.read() | {"machine": chosen.machine, "rows": measured}, indent=1))  # noqa: T201


def _trials(task: dict[str, Any], estimator: dict[str, Any]) -> list[TrialSpec]:
    document = {"name": "rates", "task": task, "estimators": [estimator], "seeds": 1}
    return list(read_sweep(document).expand())


def _row(trial: TrialSpec, compiled: bool, limit: float) -> dict[str, Any]:
    pace = statistics.median(_paces(trial, compiled, limit))
    form = "compiled" if compiled else "eager"
    print(trial.task.id, trial.estimator.id, form, f"{pace:.3g} s", file=sys.stderr)  # noqa: T201
    return {
        "task": trial.task.to_json("task"),
        "estimator": trial.estimator.to_json("estimator"),
        "compiled": compiled,
        "seconds_per_step": float(f"{pace:.3g}"),
    }


def _paces(trial: TrialSpec, compiled: bool, limit: float) -> list[float]:
    """Seconds a step, segment by segment, after those that compile and find out the pace.

    They are measured in processor time, which other processes of a shared machine do not lengthen.
    """
    segments = Cohort([trial], compiled=compiled).segments()
    next(segments)  # compiles
    done, began = next(segments).steps_done, time.perf_counter()
    paces: list[float] = []
    last = time.process_time()
    while not paces or time.perf_counter() - began < limit:
        segment, now = next(segments), time.process_time()
        paces.append((now - last) / (segment.steps_done - done))
        done, last = segment.steps_done, now
    return paces


if __name__ == "__main__":
    main()
