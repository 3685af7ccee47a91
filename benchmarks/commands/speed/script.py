"""One trial as a plain script, from start to end: ``python -m benchmarks.commands.speed.script ORDER``.

The order is JSON, as :func:`order` writes it. The script trains the reference for the epochs of the task,
evaluates after each, prints the losses of the last as JSON, and ends. It imports what such a script needs:
torch, the reference and the data, no registry.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.commands.speed.reference import PolynomialTraining, VAETraining
from benchmarks.commands.speed.reference_estimators import sampler
from benchmarks.datasets import loading

if TYPE_CHECKING:
    from benchmarks.spec import TrialSpec

_IMAGES = "categorical_vae"


def order(spec: TrialSpec) -> str:
    """What to train, in one line; the reference knows Adam alone."""
    return json.dumps(
        {
            "task": {"id": spec.task.id, "values": spec.task.values},
            "estimator": {"id": spec.estimator.id, "values": spec.estimator.values},
            "lr": spec.lr,
            "seed": spec.seed,
        }
    )


def train(wanted: Mapping[str, Any]) -> dict[str, float]:
    """Train one trial to its end; losses of its last epoch."""
    training = _training(wanted)
    for _ in range(int(wanted["task"]["values"]["epochs"])):
        deque(training.epoch(), maxlen=0)
    return training.losses


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what the order says and print its losses; exit status 0."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(train(json.loads(text))) + "\n")
    return 0


def _training(wanted: Mapping[str, Any]) -> VAETraining | PolynomialTraining:
    task, estimator = wanted["task"], wanted["estimator"]
    sample = sampler(estimator["id"], estimator["values"])
    values, lr, seed = task["values"], wanted["lr"], wanted["seed"]
    if task["id"] == _IMAGES:
        return VAETraining(values, loading.load(values["dataset"]), sample, lr=lr, seed=seed)
    return PolynomialTraining(values, sample, lr=lr, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
