"""Do trials reproduce published training curves? ``make agreement``.

Three seeds of the VAE 8 x 4 on MNIST with straight-through, straight-through Gumbel-softmax, ReinMax and GST,
at the settings of the public logs, compared with the logs' means over ten seeds at epochs 1, 2, 5 and 10:

    t = (mean of 3 - mean of 10) / (sd of 10 * sqrt(1/3 + 1/10)),     Student's t with 9 degrees of freedom

The bound on \\|t\\| belongs to a false-alarm rate of 1 % for all comparisons together (Bonferroni).

Straight-through is compared otherwise. From epoch 2 on one of its ten runs had collapsed and carries mean and
spread; the value of the other nine is then mean - sd / sqrt(10), and the median of our seeds has to lie
within 3 % of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.commands.arguments import whole_number
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum
from benchmarks.datasets.loading import load
from benchmarks.process import allocator, compile_cache
from benchmarks.suites import reading
from benchmarks.suites.checking import Row
from benchmarks.sweep import read_sweep

EPOCHS = (1, 2, 5, 10)
ESTIMATORS = ("st", "stgs", "reinmax", "gst")
METRICS = ("train_neg_elbo", "test_neg_elbo")
SEEDS = 3
FALSE_ALARMS = 0.01
COLLAPSED_TOLERANCE = 0.03
_PUBLISHED_SEEDS = 10

Curves = Mapping[tuple[str, int], Sequence[float]]
"""(metric, epoch) -> values of the seeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One measured figure beside the published one.

    Attributes:
        estimator, metric, epoch: what is compared.
        measured, published: mean (straight-through from epoch 2 on: median, and mean of the nine) in nats.
        distance: from the published figure over what is allowed; agreement up to 1.
    """

    estimator: str
    metric: str
    epoch: int
    measured: float
    published: float
    distance: float

    @property
    def agrees(self) -> bool:
        """Whether the figure is where it may be."""
        return self.distance <= 1  # and not for NaN


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the table; exit status 1 when a figure disagrees, 2 when the data set is missing."""
    options = _options(arguments)
    try:
        load("mnist")  # a missing data set is an error here, not in every process
    except (DatasetUnavailable, WrongChecksum) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    os.environ.update(allocator.environment(os.environ) | compile_cache.environment(os.environ))
    os.environ["OMP_NUM_THREADS"] = "1"
    began = time.monotonic()
    comparisons: list[Comparison] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        futures = {pool.submit(train, name): name for name in ESTIMATORS}
        for done, future in enumerate(as_completed(futures), start=1):
            name = futures[future]
            comparisons += compare(name, future.result())
            elapsed = time.monotonic() - began
            left = elapsed / done * (len(ESTIMATORS) - done)
            sys.stderr.write(f"{name} trained; about {left / 60:.0f} min left\n")
    comparisons.sort(key=lambda c: (ESTIMATORS.index(c.estimator), c.metric, c.epoch))
    sys.stdout.write(shown(comparisons))
    return 0 if all(c.agrees for c in comparisons) else 1


def train(estimator: str) -> dict[tuple[str, int], list[float]]:
    """Curves of all seeds, in this process, on one thread; one line an epoch."""
    import torch

    from benchmarks.engine.cohort import Cohort

    torch.set_num_threads(1)
    row = published(estimator, METRICS[0], EPOCHS[-1])
    sweep = {
        "name": "agreement",
        "task": {"id": "categorical_vae", "categories": 8, "latents": 4, "epochs": EPOCHS[-1]},
        "estimators": [{"id": estimator, "temperature": float(row["temperature"])}],
        "grid": {"optimizer": row["optimizer"], "lr": float(row["lr"])},
        "seeds": SEEDS,
    }
    cohort = Cohort(list(read_sweep(sweep).expand()))
    values: dict[tuple[str, int], list[float]] = {}
    for segment in cohort.segments():
        for point in segment.points:
            values.setdefault((point.metric, point.epoch), []).append(point.value)
        if segment.points:
            done, total = segment.steps_done, segment.steps_total
            sys.stderr.write(f"{estimator}: {done:,} of {total:,} steps, {cohort.execution.forms}\n")
    return values


def published(estimator: str, metric: str, epoch: int) -> Row:
    """The public logs of the VAE 8 x 4 after an epoch."""
    wanted = {"categories": "8", "latents": "4", "estimator": estimator, "metric": metric}
    logs = reading.get("reinmax-2023").table("public_logs.csv")
    (row,) = [row for row in logs if wanted.items() <= row.items() and int(row["epochs"]) == epoch]
    return row


def compare(estimator: str, curves: Curves) -> list[Comparison]:
    """Every metric at every epoch."""
    comparisons = []
    for metric in METRICS:
        for epoch in EPOCHS:
            row, values = published(estimator, metric, epoch), curves[metric, epoch]
            mean, sd = float(row["mean"]), float(row["sd"])
            if estimator == "st" and epoch > 1:
                measured, expected = statistics.median(values), mean - sd / _PUBLISHED_SEEDS**0.5
                allowed = COLLAPSED_TOLERANCE * expected
            else:
                measured, expected = float(np.mean(values)), mean
                allowed = bound() * sd * (1 / len(values) + 1 / _PUBLISHED_SEEDS) ** 0.5
            comparisons.append(
                Comparison(
                    estimator=estimator,
                    metric=metric,
                    epoch=epoch,
                    measured=measured,
                    published=expected,
                    distance=abs(measured - expected) / allowed,
                )
            )
    return comparisons


def bound() -> float:
    """The largest |t| that agrees."""
    count = len(ESTIMATORS) * len(METRICS) * len(EPOCHS)
    return float(stats.t.ppf(1 - FALSE_ALARMS / count / 2, _PUBLISHED_SEEDS - 1))


def shown(comparisons: Sequence[Comparison]) -> str:
    """The table."""
    lines = [
        f"VAE 8 x 4 on MNIST, {SEEDS} seeds beside the public logs' {_PUBLISHED_SEEDS}; agreement up to "
        f"|t| = {bound():.2f}, that is a distance of 1",
        f"{'estimator':10} {'metric':15} {'epoch':>5} {'measured':>9} {'published':>10} {'distance':>9}",
    ]
    for c in comparisons:
        verdict = "" if c.agrees else "  DISAGREES"
        lines.append(
            f"{c.estimator:10} {c.metric:15} {c.epoch:5} {c.measured:9.2f} {c.published:10.2f} "
            f"{c.distance:9.2f}{verdict}"
        )
    agreeing = sum(c.agrees for c in comparisons)
    return "\n".join([*lines, f"{agreeing} of {len(comparisons)} agree"]) + "\n"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.commands.agreement",
        description=f"Train {SEEDS} seeds of {', '.join(ESTIMATORS)} for {EPOCHS[-1]} epochs and compare "
        "their curves with the published logs. Exit status 1 when a figure disagrees.",
    )
    add = parser.add_argument
    add("--processes", type=whole_number, default=os.cpu_count(), help="at a time (default %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
