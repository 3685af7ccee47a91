"""Whether the estimators of a sweep can work on its task. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.sweep_file.grid import ComponentGrid, Sweep
from benchmarks.sweep_file.issues import Issues, at, listed
from benchmarks.tasks.info import Facts, TaskInfo
from estimators import registry
from estimators.info import EstimatorInfo

NAMED = 8
"""Estimators that a refusal names at most."""


class Variables(NamedTuple):
    """The variables of a call: a :class:`~benchmarks.tasks.info.Space` without how often they are drawn."""

    variables: int
    categories: int
    separable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Demands:
    """What the boards of a sweep ask of an estimator, all of them together.

    Attributes:
        spaces: the variables of every named call on every board.
        sequential: some board has choices that depend on earlier ones.
        differentiable: objectives of all boards have gradients in the samples.
        nested: some board has objectives that call the estimator themselves.
    """

    spaces: frozenset[Variables]
    sequential: bool
    differentiable: bool
    nested: bool = False

    @classmethod
    def of(cls, boards: Iterable[Facts]) -> Demands:
        """The strictest of each kind; keeps the spaces alone, for there may be a hundred thousand boards."""
        spaces: set[Variables] = set()
        sequential, differentiable, nested = False, True, False
        for one in boards:
            for space in one.spaces.values():
                spaces.add(Variables(space.variables, space.categories, space.separable))
            sequential |= one.sequential
            differentiable &= one.differentiable
            nested |= one.nested
        return cls(
            spaces=frozenset(spaces), sequential=sequential, differentiable=differentiable, nested=nested
        )

    @property
    def widest(self) -> int:
        """Most categories of a variable."""
        return max((space.categories for space in self.spaces), default=0)


def check_compatibility(sweep: Sweep, task: TaskInfo, issues: Issues) -> None:
    """Note every estimator that cannot be computed on the sweep's boards, and what could."""
    demands = Demands.of(task.facts(values) for values in sweep.task.settings())
    for i, entry in enumerate(sweep.estimators):
        _check(entry.estimator, demands, at("/estimators", i), issues)
    for other in sweep.diagnostics.estimators if sweep.diagnostics else ():
        _check(ComponentGrid.of(other), demands, "/diagnostics/estimators", issues)


def _check(estimator: ComponentGrid, demands: Demands, path: str, issues: Issues) -> None:
    info = registry.get(estimator.id)
    if refusal := objection(info, demands):
        issues.add(path, f"{info.id} {refusal}; leave it out{_advice(info, demands)}.")
    else:
        _check_choices(estimator, info, demands, path, issues)


def objection(info: EstimatorInfo, demands: Demands) -> str:
    """Why the estimator cannot work there, after its name; empty if it can."""
    return next((text for rule in _RULES if (text := rule(info, demands))), "")


def alternatives(info: EstimatorInfo, demands: Demands) -> list[str]:
    """Estimators that can work there, those most like ``info`` first: of its kind, as unbiased as it is."""
    others = [registry.get(id) for id in registry.available()]
    able = [other for other in others if not objection(other, demands)]
    return [other.id for other in sorted(able, key=lambda other: _unlikeness(info, other))]


def _check_choices(
    grid: ComponentGrid, info: EstimatorInfo, demands: Demands, path: str, issues: Issues
) -> None:
    """Note values of parameters that take variables of two categories only, where there are more."""
    for name, values in grid.axes:
        parameter = info.parameter(name)
        if parameter is None or demands.widest <= 2:
            continue
        binary = parameter.binary_choices
        if found := [value for value in values if value in binary]:
            others = listed(choice for choice in parameter.choices if choice not in binary)
            issues.add(
                at(path, name),
                f"{info.id} with {name} {found[0]} {_binary(demands)}; use {others}.",
            )


def _binary(demands: Demands) -> str:
    return f"works on variables of 2 categories, those of this task have {demands.widest}"


def _two_categories(info: EstimatorInfo, demands: Demands) -> str:
    return _binary(demands) if info.properties.binary_only and demands.widest > 2 else ""


def _dependent_choices(info: EstimatorInfo, demands: Demands) -> str:
    if not demands.sequential or info.properties.kind == "path":
        return ""
    return "works on choices made at once, those of this task depend on earlier ones: path estimators do that"


def _gradients(info: EstimatorInfo, demands: Demands) -> str:
    if demands.differentiable or not info.properties.needs_grad:
        return ""
    return "needs the gradient of the objective, that of this task has none"


def _second_derivatives(info: EstimatorInfo, demands: Demands) -> str:
    if not demands.nested or not info.properties.needs_second_derivative:
        return ""
    return "differentiates the objective twice, that of this task holds an estimate, which has one derivative"


def _evaluations(info: EstimatorInfo, demands: Demands) -> str:
    most = info.cost.most
    if most is None:
        return ""
    for space in sorted(demands.spaces, reverse=True):
        if _count(info, space) > most:
            outcomes = f"{space.categories}^{space.variables} joint outcomes"
            return (
                f"evaluates the objective at most {most:,} times, the variables of this task have {outcomes}"
            )
    return ""


_RULES: Sequence[Callable[[EstimatorInfo, Demands], str]] = (
    _two_categories,
    _dependent_choices,
    _gradients,
    _second_derivatives,
    _evaluations,
)


def _count(info: EstimatorInfo, space: Variables) -> int:
    """Evaluations at the defaults: an estimator with a limit has it by the size of the space."""
    return info.evaluations(
        {}, variables=space.variables, categories=space.categories, separable=space.separable
    )


def _unlikeness(info: EstimatorInfo, other: EstimatorInfo) -> tuple[bool, bool]:
    mine, theirs = info.properties, other.properties
    return theirs.kind != mine.kind, theirs.unbiased != mine.unbiased


def _advice(info: EstimatorInfo, demands: Demands) -> str:
    """What to use instead, as the end of a sentence."""
    ids = alternatives(info, demands)
    if not ids:
        return ", as no registered estimator can work there"
    more = f" or one of {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f", or use {listed(ids[:NAMED])}{more}"
