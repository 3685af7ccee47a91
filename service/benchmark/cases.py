"""What is measured: sweeps, in which ways, and the ratios demanded and wished for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.spec import TrialSpec
from benchmarks.sweep import read_sweep

Launcher = Literal["ray", "local"]
Workers = Literal["starting", "fresh", "warm"]
Cache = Literal["warm", "cold"]

SEEDS_APART = 100
"""Seeds from one sweep of a case to the next, so that no trial has a result already."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Mode:
    """One way of computing a sweep.

    Attributes:
        launcher: of the server.
        workers: ``starting``: the pages of the server have just begun to answer; ``fresh``: its workers have
            just become ready; ``warm``: it has computed a sweep of the same shape with other seeds.
        cache: ``cold``: the directory of compiled programs was empty when the server started.
    """

    launcher: Launcher = "ray"
    workers: Workers = "fresh"
    cache: Cache = "warm"

    def __str__(self) -> str:
        cold = ", cold cache" if self.cache == "cold" else ""
        return f"{self.launcher}, {self.workers}{cold}"


@dataclass(frozen=True, slots=True)
class Target:
    """Ratio below which the command fails, and the ratio wished for."""

    must: float
    goal: float

    def verdict(self, ratio: float) -> str:
        """``goal`` and ``must`` name the highest level reached, ``MISSED`` that there is none."""
        if ratio >= self.goal:
            return "goal"
        return "must" if ratio >= self.must else "MISSED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A sweep.

    Attributes:
        name: what the command line and the tables call it.
        sweep: the sweep file without name and seeds.
        seeds: of every setting.
        script_seconds: about what one script takes on one core, for the time left.
        rounds: turns of each side.
        scripts: how many of the trials are run as scripts, their time scaled to all; ``None`` for all.
        fresh: what is demanded of fresh workers with a warm cache.
        cold: what is demanded of fresh workers with a cold cache.
        modes: in which ways it is computed unless the command line says others.
    """

    name: str
    sweep: dict[str, Any]
    seeds: int
    script_seconds: float
    rounds: int
    scripts: int | None = None
    fresh: Target | None = None
    cold: Target | None = None
    modes: tuple[Mode, ...]

    def document(self, turn: int) -> dict[str, Any]:
        """The sweep file of a turn (from 0), with seeds of its own."""
        first = turn * SEEDS_APART
        return {"name": self.name, **self.sweep, "seeds": list(range(first, first + self.seeds))}

    def trials(self, turn: int) -> list[TrialSpec]:
        """The trials of a turn."""
        return list(read_sweep(self.document(turn)).expand())

    @property
    def data_set(self) -> str | None:
        """What it needs of the data sets there are."""
        name = self.trials(0)[0].task.values.get("dataset")
        return None if name is None else str(name)

    def target(self, mode: Mode) -> Target | None:
        """What is demanded of a mode, if anything is."""
        if mode.workers != "fresh":
            return None
        return self.cold if mode.cache == "cold" else self.fresh


def spread(trials: Sequence[TrialSpec], count: int) -> list[TrialSpec]:
    """So many trials, evenly from all; every ``len / count``-th."""
    return [trials[i * len(trials) // count] for i in range(count)]


FRESH, WARM = Mode(), Mode(workers="warm")
COLD, LOCAL = Mode(cache="cold"), Mode(launcher="local")
STARTING = (Mode(workers="starting"), Mode(launcher="local", workers="starting"))


def _vae(
    epochs: int,
    *,
    rounds: int,
    modes: tuple[Mode, ...],
    scripts: int | None = None,
    fresh: Target | None = None,
    cold: Target | None = None,
) -> Case:
    """ReinMax at its published setting (Liu et al. 2023, Table 8), on the whole of MNIST."""
    task = {"id": "categorical_vae", "categories": 8, "latents": 4, "batch_size": 100, "epochs": epochs}
    return Case(
        name=f"vae-{epochs}",
        sweep={
            "task": task,
            "estimators": [{"id": "reinmax", "temperature": 1.3}],
            "grid": {"optimizer": "adam", "lr": 5e-4},
        },
        seeds=4,
        script_seconds=3 + 13.0 * epochs,
        rounds=rounds,
        scripts=scripts,
        fresh=fresh,
        cold=cold,
        modes=modes,
    )


def _polynomial(
    steps: int,
    *,
    epochs: int,
    rounds: int,
    fresh: Target,
    scripts: int | None = None,
    others: tuple[Mode, ...] = (),
) -> Case:
    return Case(
        name=f"polynomial-{steps}",
        sweep={
            "task": _polynomial_task(steps, epochs),
            "estimators": [{"id": "reinmax", "temperature": 1.0}],
            "grid": {"optimizer": "adam", "lr": 1e-3},
        },
        seeds=4,
        script_seconds=3 + 0.007 * steps,
        rounds=rounds,
        scripts=scripts,
        fresh=fresh,
        modes=(FRESH, WARM, LOCAL, *others),
    )


def _polynomial_task(steps: int, epochs: int) -> dict[str, Any]:
    task = {"id": "polynomial", "p": 2.0, "setting": "A", "latents": 128, "batch_size": 256}
    return task | {"epochs": epochs, "steps_per_epoch": steps // epochs}


GRID = Case(
    name="grid-200",
    sweep={
        "task": _polynomial_task(500, 5),
        "estimators": [
            {"id": "st", "temperature": 1.0},
            {"id": "stgs", "temperature": [0.5, 1.0]},
            {"id": "reinmax", "temperature": 1.0},
        ],
        "grid": {"optimizer": "adam", "lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]},
    },
    seeds=10,
    script_seconds=3 + 0.007 * 500,
    rounds=2,
    scripts=12,
    fresh=Target(40, 120),
    modes=(FRESH, WARM, LOCAL),
)
"""Four settings of estimators, five learning rates, ten seeds: 200 trials of 500 steps."""

CASES = (
    _vae(1, rounds=3, modes=(FRESH, WARM, LOCAL), fresh=Target(1.0, 1.4)),
    _vae(2, rounds=2, modes=(FRESH, WARM), fresh=Target(1.3, 1.8)),
    _vae(5, rounds=1, modes=(FRESH, WARM, COLD), fresh=Target(1.7, 2.2), cold=Target(1.2, 1.6)),
    _vae(10, rounds=1, modes=(FRESH,), scripts=2, fresh=Target(1.9, 2.5)),
    _vae(20, rounds=1, modes=(FRESH,), scripts=2),
    _polynomial(200, epochs=1, rounds=3, fresh=Target(5, 15), others=STARTING),
    _polynomial(2000, epochs=10, rounds=3, fresh=Target(10, 40)),
    _polynomial(8000, epochs=40, rounds=2, scripts=2, fresh=Target(30, 100)),
    GRID,
)
QUICK = ("vae-1", "polynomial-200", "polynomial-2000", "grid-200")
"""A case of every kind that takes not long."""
