"""What is compared: tasks at published settings, with the ratio demanded and the ratio wished for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarks.commands.speed.floors import Counts
from benchmarks.commands.speed.setups import VAE, Polynomial, Setup
from benchmarks.spec import TrialSpec
from benchmarks.sweep import read_sweep
from benchmarks.tasks import registry

POLYNOMIAL_LANES, VAE_LANES = 16, 4
WARM_UP, SHORT_WARM_UP = 1000, 20
"""Steps of every trial before anything is measured: with denormal moments of the optimizer a plain loop gets
slower after some hundred steps. With Gumbel-Rao steps are long and this is a small part of them."""
UNCOMPILED_GOAL = 1.2
"""Ratio wished for of steps that are not compiled."""
_ENDLESS_EPOCHS = 10_000  # the registry's limit; a case is over long before


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One row of the table.

    Attributes:
        name: what the command line and the table call it.
        task: registry id and parameters of the task, as in a sweep file.
        estimator: likewise.
        lr: learning rate of Adam.
        lanes: lanes of each of our processes.
        setup: what both sides train, and what a step of it has to compute.
        must: ratio of trials per hour, ours to the reference's, below which the command fails.
        goal: the ratio wished for; only of a case that has a must.
        warm_up: steps of every trial before anything is measured.
        compiled: whether our steps are compiled, and an error when they are not; without it they are eager,
            for steps that the engine would record for minutes and then refuse to compile.
    """

    name: str
    task: dict[str, Any]
    estimator: dict[str, Any]
    lr: float
    lanes: int
    setup: Setup
    must: float | None = None
    goal: float | None = None
    warm_up: int = WARM_UP
    compiled: bool = True

    @property
    def counts(self) -> Counts:
        """What a step has to compute."""
        return self.setup.counts(self.trials(1)[0])

    @property
    def steps_per_trial(self) -> int:
        """Updates of one trial at the published length, which is the registry's default."""
        info = registry.get(self.task["id"])
        epochs = info.parameter("epochs")
        if epochs is None or epochs.default is None:
            raise ValueError(f"task {info.id!r} declares no default number of epochs")
        return info.total_steps(self.trials(1)[0].task.values | {"epochs": epochs.default})

    def uncompiled(self) -> Case:
        """The same with steps as short trials do them, which are not to be slower than the plain loop's.

        A case without a must still has none.
        """
        must, goal = (None, None) if self.must is None else (1.0, UNCOMPILED_GOAL)
        return dataclasses.replace(
            self, name=f"{self.name}, uncompiled", compiled=False, must=must, goal=goal
        )

    def trials(self, count: int, *, first_seed: int = 0) -> list[TrialSpec]:
        """Trials that differ in their seed, longer than any benchmark."""
        sweep = {
            "name": "speed",
            "task": self.task | {"epochs": _ENDLESS_EPOCHS},
            "estimators": [self.estimator],
            "grid": {"optimizer": "adam", "lr": self.lr},
            "seeds": list(range(first_seed, first_seed + count)),
        }
        return list(read_sweep(sweep).expand())


def _vae(size: str, name: str, estimator: dict[str, Any], *, lr: float, must: float, goal: float) -> Case:
    """``size`` is categories x latents, as in the tables of Liu et al. 2023."""
    categories, latents = map(int, size.split("x"))
    return Case(
        name=f"vae-{size}-{name}",
        task={"id": "categorical_vae", "categories": categories, "latents": latents},
        estimator=estimator,
        lr=lr,
        lanes=VAE_LANES,
        setup=VAE(),
        must=must,
        goal=goal,
        warm_up=SHORT_WARM_UP if estimator["id"] == "gumbel_rao" else WARM_UP,
    )


def _polynomial(name: str, estimator: dict[str, Any], *, must: float, goal: float) -> Case:
    task = {"id": "polynomial", "p": 2.0, "setting": "A", "latents": 128, "batch_size": 256}
    return Case(
        name=f"polynomial-{name}",
        task=task,
        estimator=estimator,
        lr=1e-3,
        lanes=POLYNOMIAL_LANES,
        setup=Polynomial(),
        must=must,
        goal=goal,
        warm_up=SHORT_WARM_UP if estimator["id"] == "gumbel_rao" else WARM_UP,
    )


def _rao(draws: int, temperature: float) -> dict[str, Any]:
    return {"id": "gumbel_rao", "num_draws": draws, "temperature": temperature}


def _reinmax(temperature: float) -> dict[str, Any]:
    return {"id": "reinmax", "temperature": temperature}


# Learning rates and temperatures of the VAE: Liu et al. 2023, Table 8.
CASES = (
    _vae("8x4", "reinmax", _reinmax(1.3), lr=5e-4, must=2.0, goal=2.8),
    _vae("10x30", "reinmax", _reinmax(1.3), lr=5e-4, must=1.9, goal=2.5),
    _vae("16x12", "reinmax", _reinmax(1.5), lr=7e-4, must=1.9, goal=2.6),
    _vae("8x4", "rao-100", _rao(100, 0.5), lr=5e-4, must=3, goal=4),
    _vae("8x4", "rao-1000", _rao(1000, 0.5), lr=5e-4, must=6, goal=9),
    _vae("10x30", "rao-100", _rao(100, 1.0), lr=5e-4, must=6, goal=10),
    _polynomial("st", {"id": "st", "temperature": 1.0}, must=70, goal=150),
    _polynomial("reinmax", _reinmax(1.0), must=70, goal=150),
    _polynomial("stgs", {"id": "stgs", "temperature": 0.5}, must=40, goal=80),
    _polynomial("rao-100", _rao(100, 0.5), must=15, goal=30),
    _polynomial("rao-1000", _rao(1000, 0.5), must=30, goal=60),
)
QUICK = ("vae-8x4-reinmax", "vae-8x4-rao-100", "polynomial-reinmax", "polynomial-rao-100")
"""A case of every kind."""
