"""Device time of a sweep with an interval, from a table of rates and from finished work. No torch.

The time until a program is compiled and that of its steps are told apart: the first is known from the table
alone, and is nothing where the same program has run before, which is then on disk. For the second, the
logarithm of measured over tabulated seconds is taken as normal, with an unknown mean (how fast this machine
is) and spread. Of n such numbers ``r`` of work that is like the new one, the interval that holds the
next with 80 % is

    mean r ± t_{nu + n - 1} s sqrt(1 + 1/n),    s^2 = (nu s_0^2 + sum (r - mean r)^2) / (nu + n - 1),

Student's t; ``s_0`` with ``nu`` = 4 degrees of freedom is the spread expected before anything was measured,
so that one attempt suffices. Without finished work the interval is a judgement: the wide factors of
``UNMEASURED``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.special import stdtrit

from benchmarks.cost.compiling import worth_compiling
from benchmarks.cost.table import Footing, Table, shipped
from benchmarks.spec import Component

LEVEL = 0.8
"""Probability of the interval."""
NEWEST = 20
"""Finished attempts that a prediction looks at; older ones may be of another machine or version."""
LEAST_SECONDS = 0.2
"""Shorter attempts say more of starting and reporting than of steps."""
ALIKE = 30.0
"""Steps whose tabulated seconds differ by a larger factor say nothing of each other: the table's rows are too
far away from one of them.
"""
DEGREES = 4
SPREADS = (0.15, 0.3, 0.5, 0.9)
"""s_0 of work of the same program, of the same task and estimator, of the same task, and of any work."""
UNMEASURED = {Footing.ESTIMATOR: 3.0, Footing.TASK: 5.0, Footing.NOTHING: 12.0}
"""By what a table without finished work may be wrong in either direction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Steps of trials that share a program.

    Attributes:
        task, estimator: of one of the trials; the others differ in lane parameters only.
        signature: :func:`benchmarks.spec.cohort_signature` of all of them.
        steps: of all trials together.
        trials: how many there are.
    """

    task: Component
    estimator: Component
    signature: str
    steps: int
    trials: int

    @property
    def each(self) -> int:
        """Steps of a trial, on average."""
        return self.steps // max(self.trials, 1)

    @property
    def compiled(self) -> bool:
        """Whether such trials are compiled.

        Raises:
            KeyError: the registries do not know the task or the estimator in this version.
        """
        return worth_compiling(self.task, self.estimator, self.each)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What an attempt took.

    Attributes:
        load: what it computed.
        seconds: that it took, all together.
        start_seconds: of them what does not grow with the number of steps: imports, data, compiling, the
            first step.
    """

    load: Load
    seconds: float
    start_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceTime:
    """Seconds that one device computes: two devices share them.

    Attributes:
        low, high: ends of the interval.
        expected: the middle of it on a logarithmic scale; as likely too much as too little.
        attempts: finished attempts that it rests on; 0: the shipped table alone.
    """

    low: float = 0.0
    expected: float = 0.0
    high: float = 0.0
    attempts: int = 0

    def __add__(self, other: DeviceTime) -> DeviceTime:
        """Both together. Ends add up: loads on one machine are mostly wrong in the same direction."""
        return DeviceTime(
            low=self.low + other.low,
            expected=self.expected + other.expected,
            high=self.high + other.high,
            attempts=max(self.attempts, other.attempts),
        )

    def times(self, factor: float) -> DeviceTime:
        """So many times as much work."""
        return DeviceTime(
            low=factor * self.low,
            expected=factor * self.expected,
            high=factor * self.high,
            attempts=self.attempts,
        )


class Predictor:
    """Predicts from a table and from what finished work took.

    Args:
        finished: attempts, newest first; those that the registries do not know in this version, or whose
            steps took less than ``LEAST_SECONDS``, are passed over.
        table: rates to begin with.
    """

    def __init__(self, finished: Iterable[Finished] = (), table: Table | None = None) -> None:
        self._table = table or shipped()
        self._seen: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
        for one in finished:
            seconds = one.seconds - one.start_seconds
            if seconds < LEAST_SECONDS:
                continue
            try:
                tabulated, groups = self._steps(one.load), _groups(one.load)
            except KeyError:
                continue
            for group in groups:
                self._seen[group].append((tabulated / one.load.steps, math.log(seconds / tabulated)))

    def device_time(self, load: Load) -> DeviceTime:
        """Device time of a load.

        Raises:
            KeyError: the registries do not know the task or the estimator in this version.
        """
        if not load.steps:
            return DeviceTime()
        seconds, own = self._steps(load), _groups(load)
        start = 0.0 if own[0] in self._seen else self._start(load)
        for group, spread in zip(own, SPREADS, strict=True):
            if ratios := self._alike(group, seconds / load.steps)[:NEWEST]:
                middle, reach = _interval(ratios, spread)
                steps = _around(seconds * math.exp(middle), math.exp(reach), attempts=len(ratios))
                return steps + _around(start, UNMEASURED[Footing.ESTIMATOR], attempts=0)
        factor = UNMEASURED[self._table.footing(load.task, load.estimator)]
        return _around(seconds + start, factor, attempts=0)

    def _alike(self, group: Hashable, pace: float) -> list[float]:
        """Ratios of the group, of steps that are neither much longer nor much shorter."""
        return [ratio for other, ratio in self._seen.get(group, []) if 1 / ALIKE <= other / pace <= ALIKE]

    def _steps(self, load: Load) -> float:
        return load.steps * self._table.pace(load.task, load.estimator, each=load.each)

    def _start(self, load: Load) -> float:
        return self._table.start(load.task, load.estimator, each=load.each)


def _groups(load: Load) -> tuple[Hashable, ...]:
    """What a load is like, the likest first. Trials that are not compiled are only like one another."""
    return (
        (load.compiled, load.signature),
        (load.compiled, load.task.id, load.estimator.id),
        (load.compiled, load.task.id, ""),
        (load.compiled, "", ""),
    )


def _interval(ratios: Sequence[float], spread: float) -> tuple[float, float]:
    """Middle and half width of the prediction interval of the next ratio."""
    n, middle = len(ratios), fmean(ratios)
    degrees = DEGREES + n - 1
    deviations = sum((ratio - middle) ** 2 for ratio in ratios)
    scale = math.sqrt((DEGREES * spread**2 + deviations) / degrees)
    return middle, float(stdtrit(degrees, (1 + LEVEL) / 2)) * scale * math.sqrt(1 + 1 / n)


def _around(seconds: float, factor: float, *, attempts: int) -> DeviceTime:
    return DeviceTime(low=seconds / factor, expected=seconds, high=seconds * factor, attempts=attempts)
