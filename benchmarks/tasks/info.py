"""What the task registry says of a task. Plain data and arithmetic: does not import torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.datasets.catalogue import DataSet
from estimators.info import Citation, Parameter, Value

Goal = Literal["minimize", "maximize"]
Split = Literal["train", "valid", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduction:
    """How a metric follows from the history of another one.

    Attributes:
        kind: ``mean`` of the last ``count`` values, or the value where ``by`` was ``best`` so far.
        of: the metric whose values are reduced.
        count: values in a mean.
        by: the metric that chooses, ties to the earlier; usually one of the validation split.
    """

    kind: Literal["mean", "best"]
    of: str
    count: int = 1
    by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The discrete variables of one named call.

    Attributes:
        variables: V, number of variables drawn together.
        categories: n, of each.
        separable: f is a sum of one term per variable, so that its expectation needs n evaluations, not n^V.
        rows: how often they are drawn in a step: examples of a minibatch, copies.
        copies: rows are copies that share their logits; what does not depend on the draw is done once.
    """

    variables: int
    categories: int
    separable: bool = False
    rows: int = 1
    copies: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What compatibility and cost of a task with given parameters follow from.

    Attributes:
        spaces: the variables behind every named call of ``expect`` or ``sample``.
        sequential: whether it asks for samples that carry a gradient (``sample``), for choices that depend on
            earlier ones; needs a path estimator.
        nested: whether an objective itself calls the estimator.
        differentiable: whether objectives have gradients in the samples.
        flop: rough floating-point operations of a step with one evaluation of the objective, forward and
            backward, multiply and add counted apart.
        ragged: minibatches differ in length, so that no program of a step serves many of them; such steps are
            not compiled.
        passes: how often a step asks a path estimator for a sample where it asks one of values of f for
            several samples at once.
    """

    spaces: Mapping[str, Space]
    flop: float
    sequential: bool = False
    nested: bool = False
    differentiable: bool = True
    ragged: bool = False
    passes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A number that a trial reports: once at its end, and as a curve with one value per epoch.

    Attributes:
        name: key in results.
        title: what pages show, without the unit.
        unit: e.g. ``nats``; empty for a pure number.
        goal: which direction is better.
        split: data it is measured on; selection by ``valid`` or ``test`` metrics is labelled as such.
        description: one sentence that says exactly how it is computed.
        reduction: how it follows from other metrics; ``None``: the task reports it.
    """

    name: str
    title: str
    unit: str
    goal: Goal
    split: Split
    description: str
    reduction: Reduction | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A number to hold against a measured one: published, or known in closed form.

    Attributes:
        metric: which metric it speaks of.
        estimator: estimator id, or ``None`` for a level that holds for the whole board (an optimum).
        label: what it is, e.g. ``Table 2`` or ``optimum``.
        mean, sd: the value and, where published, its standard deviation over seeds.
        source: citation, or the formula.
        comparable: empty, or why the comparison is not like with like (another budget, say).
        n: seeds behind ``mean`` and ``sd``, where known.
        slip: empty, or what is wrong with the number as it was printed.
        exhibit: suite and exhibit that quote it; empty for what is known in closed form.
    """

    metric: str
    estimator: str | None
    label: str
    mean: float
    sd: float | None
    source: str
    comparable: str = ""
    n: int | None = None
    slip: str = ""
    exhibit: str = ""


def epochs(*, default: int, description: str) -> Parameter:
    """The parameter that says how long a trial is; lanes of a cohort may differ in it."""
    return Parameter(
        name="epochs",
        type=int,
        default=default,
        minimum=1,
        maximum=10_000,
        lane=True,
        description=description,
    )


def whole(name: str, default: int, description: str, *, minimum: int = 1, maximum: int = 10_000) -> Parameter:
    """A parameter that is a whole number in a range."""
    return Parameter(
        name=name, type=int, default=default, minimum=minimum, maximum=maximum, description=description
    )


def choice(name: str, default: str, choices: Iterable[str], description: str) -> Parameter:
    """A parameter that is one of several words."""
    return Parameter(name=name, type=str, default=default, choices=tuple(choices), description=description)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInfo:
    """One line of the task registry.

    Attributes:
        id: the name users write.
        title: short title, without parameters.
        parameters: declared parameters (a ``lane`` parameter may differ inside a cohort).
        metrics: what a trial reports.
        select: metric that chooses the best cell unless the user says otherwise.
        report: metrics shown for the chosen cell unless the user says otherwise.
        optimizers: accepted optimizers; the first is the default.
        default_lr: learning rate when a sweep names none.
        version: raised whenever the numbers change; part of a trial's key.
        describe: parameters -> the title of a board, e.g. ``Polynomial p = 2, L = 128``.
        facts: parameters -> what compatibility and cost follow from.
        splits: parameters -> number of examples of every split; empty without data.
        steps_per_epoch: parameters -> optimizer updates per epoch.
        target: ``module:class`` of the implementation, imported on first use.
        references: parameters -> levels to show beside measured numbers: optima, what the most frequent class
            reaches and the like. Numbers of papers belong to suites.
        small: parameters, the others at their defaults, of a task whose step takes milliseconds; two epochs
            of it are what :mod:`benchmarks.tasks.battery` trains.
        reads_data: whether it reads a data set. Its class then takes ``made_up``, numbers of examples by
            split, and works on so many random ones instead.
        data: parameters -> the data sets it reads. Their digests are in an attempt's provenance, and those of
            stand-ins in a trial's key.
        fixed: parameters of the sweep's optimizer that the task's protocol fixes; a sweep that names them is
            refused.
        contradiction: parameters -> why they cannot go together, as in "setting B has targets of its own";
            empty if they can.
        citations: where the task was published; the data it reads have citations of their own.
        contract: of plug-ins, the number that the package was written for
            (:data:`benchmarks.tasks.registry.CONTRACT`).
    """

    id: str
    title: str
    parameters: tuple[Parameter, ...]
    metrics: tuple[Metric, ...]
    select: str
    report: tuple[str, ...]
    optimizers: tuple[str, ...]
    default_lr: float
    version: int
    describe: Callable[[Mapping[str, Value]], str]
    facts: Callable[[Mapping[str, Value]], Facts]
    splits: Callable[[Mapping[str, Value]], Mapping[Split, int]]
    steps_per_epoch: Callable[[Mapping[str, Value]], int]
    target: str
    references: Callable[[Mapping[str, Value]], tuple[Reference, ...]] = lambda values: ()
    small: Mapping[str, Value] = field(default_factory=dict)
    reads_data: bool = False
    data: Callable[[Mapping[str, Value]], tuple[DataSet, ...]] = lambda values: ()
    fixed: Mapping[str, Value] = field(default_factory=dict)
    contradiction: Callable[[Mapping[str, Value]], str] = lambda values: ""
    citations: tuple[Citation, ...] = ()
    contract: int = 1

    def parameter(self, name: str) -> Parameter | None:
        """The declared parameter of that name, or ``None``."""
        return next((p for p in self.parameters if p.name == name), None)

    def metric(self, name: str) -> Metric | None:
        """The declared metric of that name, or ``None``."""
        return next((m for m in self.metrics if m.name == name), None)

    def values(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """All declared parameters that have a value: those given, the others at their defaults."""
        return {p.name: p.default for p in self.parameters if p.default is not None} | dict(given)

    def total_steps(self, values: Mapping[str, Value]) -> int:
        """Optimizer updates of a whole trial."""
        return int(values["epochs"]) * self.steps_per_epoch(values)

    def load(self) -> Callable[..., Any]:
        """Import and return the implementing class."""
        module, _, name = self.target.partition(":")
        cls: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return cls
