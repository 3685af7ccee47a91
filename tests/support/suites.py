"""A made-up paper in a folder: a figure, a grid that is halved, and a table that a command measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from service.queue.cohorts import Queue
from tests.support.sweeps import PROVENANCE
from workers.messages import Outcome, TrialOutcome

SUITE = """\
title: A tiny paper
authors: Nobody
venue: nowhere
url: https://example.org
bibtex: "@misc{tiny}"
about: Whether small things work.
exhibits: [figure1, grid, table3]
"""
FIGURE = """\
title: Two estimators
where: Figure 1
about: A polynomial of four variables.
select: expected_loss
report: [expected_loss]
sweeps:
  published:
    - task: {id: polynomial, latents: 4, batch_size: 8, epochs: 2, steps_per_epoch: 5}
      estimators: [st, reinmax]
      seeds: 3
tiers:
  smoke:
    set: {seeds: 2}
    changes: Two seeds instead of three.
  full:
    changes: ""
claims:
  - sentence: ReinMax is best.
    where: page 1
    tests: [{kind: best, metric: expected_loss, estimator: reinmax}]
slips: [The caption has a wrong number.]
"""
GRID = """\
title: A grid
where: Table 2
about: Four temperatures of two estimators.
sweeps_of: figure1
select: expected_loss
report: [expected_loss]
sweeps:
  grid:
    - task: {id: polynomial, latents: 4, batch_size: 8, epochs: 2, steps_per_epoch: 5}
      estimators:
        - {id: st, temperature: [1.0, 1.1, 1.2, 1.3]}
        - {id: reinmax, temperature: [1.0, 1.1, 1.2, 1.3]}
      seeds: 4
tiers:
  smoke:
    sweeps: published
    changes: The two estimators of Figure 1 at their defaults.
  full:
    sweeps: grid
    changes: ""
  budget:
    sweeps: grid
    halving: {seeds: [1, 2, 4], keep: 0.5}
    changes: Half of the settings are given up after one seed, half of the others after two.
"""
MEASURED = """\
title: Time
where: Table 3
about: Seconds of an epoch.
command: efficiency
select: seconds
report: [seconds]
tiers:
  smoke:
    set: {epochs: 1, warm_up: 2, seconds: 0.5}
    changes: One short epoch on the device at hand.
"""
COSTS_TABLE = """\
title: Time
where: Table 3
about: Seconds of an epoch.
command: efficiency
select: seconds
report: [seconds, megabytes]
tiers:
  smoke:
    set: {epochs: 1, warm_up: 2, seconds: 0.5}
    changes: One short epoch on the device at hand.
  full: {changes: ""}
published:
  - file: costs.csv
    where: {problem: quadratic}
    task: polynomial
    label: Table 3
    source: "Example, another device"
claims:
  - sentence: ReinMax takes hardly more time.
    where: page 1
    tests:
      - kind: ratio
        metric: seconds
        estimator: reinmax
        than: [st]
        high: 1.5
        boards: [{problem: quadratic}]
  - sentence: ReinMax takes more memory.
    where: page 2
    tests: [{kind: ratio, metric: megabytes, estimator: reinmax, than: [st], low: 1}]
"""
"""In place of ``MEASURED``, with the printed numbers :data:`COSTS` beside."""
COSTS = """\
problem,estimator,num_draws,metric,mean,note
quadratic,st,,seconds,0.2,
quadratic,st,,megabytes,5.0,
quadratic,reinmax,,seconds,0.2,
quadratic,reinmax,,megabytes,10,
quadratic,gumbel_rao,100,seconds,4.0,
quadratic,gumbel_rao,100,megabytes,300,printed in GB
"""


def tiny_suite(root: Path, id: str = "tiny", costs: str = "", **changed: str) -> Path:
    """Write the paper's files below ``root``, those named in ``changed`` with other text; their folder.

    ``costs`` are the numbers that a command's table was published with.
    """
    folder = root / id
    folder.mkdir(parents=True)
    files = {"suite": SUITE, "figure1": FIGURE, "grid": GRID, "table3": MEASURED}
    for name, text in (files | changed).items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    if costs:
        (folder / "costs.csv").write_text(costs, "utf-8")
    return folder


def work_off(
    engine: Engine, value: Callable[[Mapping[str, Any]], float | None] = lambda spec: float(spec["seed"])
) -> int:
    """Compute what is queued without computing: ``value`` of a specification, ``None`` to fail; how many."""
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    done = 0
    for claim in queue.claim(owner="test", limit=100):
        trials = queue.start(claim.attempt_id, claim.secret).trials
        ends = tuple(_end(trial.key, value(trial.spec)) for trial in trials)
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=ends, provenance=PROVENANCE))
        done += len(ends)
    return done


def _end(key: str, value: float | None) -> TrialOutcome:
    if value is None:
        return TrialOutcome(trial=key, status="failed", error="it broke", traceback="Traceback: here")
    metrics = {"expected_loss": value, "train_loss": 1.0}
    return TrialOutcome(trial=key, status="succeeded", metrics=metrics, seconds=0.5)


def efficiency_document() -> dict[str, Any]:
    """What ``python -m benchmarks.commands.efficiency`` writes, of two estimators on one problem."""
    return {
        "format": 1,
        "machine": {"processor": "x86_64", "torch": "2.6"},
        "device": "cpu",
        "plan": {"device": "cpu", "epochs": 3, "warm_up": 2, "seconds": 0.5, "threads": 1},
        "cases": [
            _case("reinmax", 2.0, 1_000, None),
            _case("st", 1.0, 500, {"seconds": 0.2, "megabytes": 5.0}),
        ],
        "failures": {"vae reinmax": "no memory left"},
    }


def _case(estimator: str, seconds: float, added: int, published: dict[str, float] | None) -> dict[str, Any]:
    """A case whose ratios are those to two seconds and a thousand bytes."""
    return {
        "problem": "quadratic",
        "estimator": estimator,
        "draws": None,
        "epochs": [seconds / 2, seconds, 3 * seconds],
        "steps": 20,
        "of": 200,
        "held_bytes": 10_000,
        "peak_bytes": 10_000 + added,
        "seconds": seconds,
        "added_bytes": added,
        "ratios": {
            "seconds": seconds / 2.0,
            "added_bytes": added / 1_000,
            "published_seconds": 1.0 if published else None,
            "published_megabytes": 0.77 if published else None,
        },
        "published": published,
    }
