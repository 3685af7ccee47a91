"""A made-up paper as a folder of files, and trials of its tiers that were computed without computing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import Engine

from benchmarks.suites import reading
from benchmarks.suites.schema import Tier
from benchmarks.sweep import Sweep
from service.queue.cohorts import Queue
from service.queue.submission import submit
from tests.support.sweeps import PROVENANCE
from workers.messages import CurveSegment, Heartbeat, LaneTrial, MetricsBatch, Outcome, TrialOutcome

SUITE = """\
title: A paper of our own
authors: Ada Example
venue: Made-up 2026
url: https://example.org/paper
bibtex: "@misc{example}"
about: It asks nothing.
exhibits: [table1, figure1, figure2]
"""

SWEEPS = """\
select: expected_loss
report: [expected_loss]
sweeps:
  published:
    - task: {id: polynomial, p: [2, 3], latents: 4, epochs: 2, steps_per_epoch: 5}
      estimators:
        - {id: st, temperature: [1.0, 2.0]}
        - {id: reinmax, temperature: 1.0}
      seeds: 3
"""

TABLE = f"""\
title: Final loss
where: Table 1
about: Nothing is trained here.
{SWEEPS}
tiers:
  smoke:
    set: {{task: {{p: 2}}, seeds: 1}}
    changes: The exponent 2 alone, one seed instead of three.
  full: {{changes: ""}}
  budget:
    halving: {{seeds: [1, 3], keep: 0.5}}
    changes: Successive halving.
published:
  - file: numbers.csv
    task: polynomial
    label: Table 1
    source: "Example 2026, page 7"
    same: [p]
    protocol: {{epochs: 2, steps_per_epoch: 5}}
margins:
  expected_loss: {{value: 5, why: The authors' own runs differ by this much.}}
claims:
  - sentence: ReinMax has the lowest loss.
    where: page 7
    tests: [{{kind: best, metric: expected_loss, estimator: reinmax}}]
  - sentence: Straight-through likes a temperature of two.
    where: page 8
    tests: [{{kind: setting, metric: expected_loss, estimator: st, parameter: temperature, low: 1.5}}]
    note: The list has two temperatures.
  - sentence: GST is the best of all.
    where: page 9
    tests: [{{kind: best, metric: expected_loss, estimator: gst}}]
slips: [The title of the table is wrong.]
"""

CURVES = f"""\
title: Loss over training
where: Figure 1
about: Curves.
{SWEEPS}
tiers: {{full: {{changes: ""}}}}
figure: {{kind: curves, metric: expected_loss, panels: [p], y: log, levels: [optimum, stall]}}
"""

HEATMAP = f"""\
title: Loss by temperature
where: Figure 2
about: Numbers in cells.
{SWEEPS}
tiers: {{full: {{changes: ""}}}}
figure: {{kind: heatmap, metric: expected_loss, panels: [p], across: temperature}}
"""

NUMBERS = """\
p,estimator,metric,mean,sd,n,slip
2,reinmax,expected_loss,2,1,3,
2,st,expected_loss,3,1,3,
2,gst,expected_loss,2.5,,,
3,reinmax,expected_loss,4,1,3,printed as 40
"""

Values = Mapping[tuple[float, str, float], list[float | None]]
"""(p, estimator, temperature) -> final loss by seed; ``None`` for one that fails, none for one not
computed.
"""

VALUES: Values = {
    (2, "reinmax", 1.0): [1.0, 2.0, 3.0],
    (2, "st", 1.0): [10.0, 11.0, 12.0],
    (2, "st", 2.0): [20.0, 21.0, 22.0],
    (3, "reinmax", 1.0): [3.0, 4.0, 5.0],
    (3, "st", 1.0): [8.0, 9.0, 10.0],
    (3, "st", 2.0): [30.0, 31.0, None],
}


def write_suite(root: Path, *, id: str = "made-up", changed: Mapping[str, str] | None = None) -> Path:
    """Write the paper's folder below ``root``; ``changed`` has other texts of its files by their names."""
    folder = root / id
    folder.mkdir()
    files = {
        "suite.yaml": SUITE,
        "table1.yaml": TABLE,
        "figure1.yaml": CURVES,
        "figure2.yaml": HEATMAP,
        "numbers.csv": NUMBERS,
    }
    for name, text in (files | dict(changed or {})).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def compute_tier(engine: Engine, name: str, tier: Tier, values: Values = VALUES) -> None:
    """Submit the sweeps of a tier and report ``values``, with curves that end there."""
    compute_values(engine, reading.exhibit(name).sweeps(tier), values)


def compute_values(engine: Engine, sweeps: Iterable[Sweep], values: Values) -> None:
    """Submit sweeps and report ``values`` for those of their trials that have one."""
    for sweep in sweeps:
        submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=1, slots=99)
    for claim in queue.claim(owner="test", limit=999):
        reply = queue.start(claim.attempt_id, claim.secret)
        known = [(trial, _value(trial, values)) for trial in reply.trials]
        curves = tuple(_curve(trial, value) for trial, value in known if isinstance(value, float))
        batch = MetricsBatch(seq=1, progress=Heartbeat(steps_done=10, steps_total=10), segments=curves)
        queue.metrics(claim.attempt_id, claim.secret, batch)
        ends = tuple(_end(trial, value) for trial, value in known)
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=ends, provenance=PROVENANCE))


def _value(trial: LaneTrial, values: Values) -> float | None:
    spec = trial.spec
    estimator, p = spec["estimator"], float(spec["task"]["parameters"]["p"])
    losses = values[p, estimator["id"], estimator["parameters"]["temperature"]]
    return losses[int(spec["seed"])]


def _curve(trial: LaneTrial, value: float) -> CurveSegment:
    return CurveSegment(trial=trial.key, metric="expected_loss", first=1, values=(2 * value, value))


def _end(trial: LaneTrial, value: float | None) -> TrialOutcome:
    if value is None:
        return TrialOutcome(trial=trial.key, status="failed", error="diverged at step 3")
    return TrialOutcome(
        trial=trial.key,
        status="succeeded",
        metrics={"expected_loss": value, "train_loss": 1.0},
        seconds=0.5,
    )
