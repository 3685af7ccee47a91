"""Quality beside what it costs: Pareto fronts, who leads when, what equal budgets buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.scoring.goals import Goal, costs

Curve = tuple[Sequence[int], Sequence[float | None]]
"""Epochs, rising, and the value at each; ``None`` where there is none."""


def pareto_front(spent: Mapping[str, float], means: Mapping[str, float], goal: Goal) -> list[str]:
    """Those that no other beats: none is at least as good at no more cost, and better in one of the two.

    Args:
        spent: name -> cost; names without one are not judged.
        means: name -> quality.
        goal: which direction of quality is good.

    Returns:
        Cheapest first.
    """
    bad = {name: float(costs([means[name]], goal)[0]) for name in spent if name in means}
    ordered = sorted((name for name in bad if np.isfinite(bad[name])), key=lambda n: (spent[n], bad[n], n))
    front: list[str] = []
    for name in ordered:
        last = front[-1] if front else None
        if last is None or bad[name] < bad[last] or (spent[name], bad[name]) == (spent[last], bad[last]):
            front.append(name)
    return front


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """Who had the best value from the first of these epochs to the last."""

    first: int
    last: int
    name: str


def leads(curves: Mapping[str, Curve], goal: Goal) -> list[Lead]:
    """Who leads at every epoch at which somebody has a finite value; of equals the first by name."""
    at: dict[int, tuple[float, str]] = {}
    for name, (epochs, values) in curves.items():
        cost = costs([np.nan if value is None else value for value in values], goal)
        for epoch, one in zip(epochs, cost.tolist(), strict=True):
            if np.isfinite(one):
                at[epoch] = min(at.get(epoch, (one, name)), (one, name))
    found: list[Lead] = []
    for epoch in sorted(at):
        name = at[epoch][1]
        if found and found[-1].name == name:
            found[-1] = Lead(first=found[-1].first, last=epoch, name=name)
        else:
            found.append(Lead(first=epoch, last=epoch, name=name))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """The last epoch within a budget and the value there; epoch 0 without a value where not one fits."""

    name: str
    epoch: int
    value: float | None


def at_equal_cost(
    curves: Mapping[str, Curve], cost_of_epoch: Mapping[str, float], goal: Goal
) -> tuple[float, list[Reached]]:
    """What every curve has reached for what the cheapest whole one costs, best first.

    Args:
        curves: name -> curve.
        cost_of_epoch: name -> what an epoch of it costs; those without are left out.
        goal: which direction is good.

    Returns:
        The budget, and where each is with it; those without a value last.

    Raises:
        ValueError: no curve has a cost.
    """
    known = {name: curve for name, curve in curves.items() if name in cost_of_epoch and len(curve[0])}
    if not known:
        raise ValueError("no curve with a cost")
    budget = min(cost_of_epoch[name] * epochs[-1] for name, (epochs, _) in known.items())
    found = [_reached(name, known[name], budget / cost_of_epoch[name]) for name in known]
    bad = {one.name: costs([np.nan if one.value is None else one.value], goal)[0] for one in found}
    return budget, sorted(found, key=lambda one: (bad[one.name], one.name))


def _reached(name: str, curve: Curve, epochs_bought: float) -> Reached:
    within = [
        (epoch, value)
        for epoch, value in zip(*curve, strict=True)
        if epoch <= epochs_bought * (1 + 1e-12) and value is not None and np.isfinite(value)
    ]
    epoch, value = within[-1] if within else (0, None)
    return Reached(name=name, epoch=epoch, value=value)
