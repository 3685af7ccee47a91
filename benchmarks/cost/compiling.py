"""Which trials are compiled. Follows from the trial alone: compiled and other steps round differently.

On a CPU compiling costs some ten seconds of a machine, once for all trials that share a program, and next to
nothing where the program is on disk already (:mod:`benchmarks.engine.compiled.store`); on a GPU every process
compiles. Steps that are not compiled
cost a call from Python for every operation, besides their work:

    seconds = steps x (calls + operations / speed + numbers drawn x seconds a number)

Steps of minibatches that differ in length are not compiled: every length would need a program of its own.

The constants are fixed, rough, and no measurement of the machine at hand: a trial must be computed the same
way wherever and whenever it is. Does not import torch.
"""

from __future__ import annotations

from benchmarks.cost.work import of_step
from benchmarks.spec import Component

WORTH_COMPILING_SECONDS = {"cpu": 0.75, "cuda": 8.0}
"""Work, without compiling, from which a trial is compiled; by type of device."""

_CALLS_SECONDS = 1.5e-3
_FLOP_PER_SECOND = 5e10
_NUMBER_SECONDS = 1e-8


def worth_compiling(task: Component, estimator: Component, steps: int, *, device: str = "cpu") -> bool:
    """Whether a trial of so many steps is compiled, on this type of device.

    Raises:
        KeyError: the registries do not know the task or the estimator in this version.
    """
    work = of_step(task, estimator)
    if work.ragged:
        return False
    step = _CALLS_SECONDS + work.flop / _FLOP_PER_SECOND + work.numbers * _NUMBER_SECONDS
    return steps * step >= WORTH_COMPILING_SECONDS.get(device, WORTH_COMPILING_SECONDS["cuda"])
