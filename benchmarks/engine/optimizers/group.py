"""The optimizer of one group of parameters, in all lanes of a cohort: schedule, clipping and rule together.

    rates of an epoch  ->  coefficients  (host, float64)
    gradients          ->  clipped  ->  rule, tensor by tensor  (device)

Lanes may differ in learning rate, length, and in the optimizer within one family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.optimizers import clipping, registry, schedules
from benchmarks.engine.optimizers.fixed import Plateau
from benchmarks.engine.optimizers.registry import OptimizerInfo
from benchmarks.engine.optimizers.rule import Floats, Rule, by_lane
from benchmarks.engine.optimizers.schedules import PlateauState
from estimators.info import Value

Tensors = dict[str, Tensor]

_BEFORE_THE_RULE = frozenset({"clip_norm", "schedule", "final_lr"})
"""Parameters of every optimizer that its rule does not see."""


class GroupOptimizer:
    """Updates a group of parameters in all lanes.

    Args:
        components: id and parameters of the optimizer, one per lane; a parameter that is left out has its
            default.
        rates: learning rates at the start, one per lane.
        total_steps: length of each lane's trial, on which schedules depend.
        plateau: the falls of the rate that follow a metric.

    Attributes:
        slots: names of the tensors kept for each parameter.
        rows: coefficients of a lane at a step.
        plateau: as given.

    Raises:
        KeyError: no optimizer has such an id.
        ValueError: an optimizer has no such parameter, the lanes are of different families or differ in a
            parameter, or there are not as many rates and lengths as lanes.
    """

    def __init__(
        self,
        components: Sequence[tuple[str, Mapping[str, Value]]],
        *,
        rates: Sequence[float],
        total_steps: Sequence[int],
        plateau: Plateau | None = None,
    ) -> None:
        if not len(components) == len(rates) == len(total_steps):
            counts = f"{len(components)} optimizers, {len(rates)} rates, {len(total_steps)} lengths"
            raise ValueError(f"one each per lane is needed, not {counts}")
        infos = [registry.get(id) for id, _ in components]
        self._family, self._values = _shared(infos, [values for _, values in components])
        self._lanes = {id: [i for i, info in enumerate(infos) if info.id == id] for id, _ in components}
        self._rules = {info.id: self._rule(info) for info in infos}
        self._any_rule = self._rules[infos[0].id]
        self._rates, self._total_steps = tuple(rates), tuple(total_steps)
        self.plateau = plateau
        self.slots, self.rows = self._any_rule.slots, self._any_rule.rows

    @property
    def is_plain_adam(self) -> bool:
        """Whether it is Adam or RAdam of the usual betas, and gradients reach it as they are.

        Any rate, schedule and eps: those are in the coefficients.
        """
        plain = {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "clip_norm": 0.0}
        return self._family == "adam" and plain.items() <= self._values.items()

    def initial(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensors]:
        """Slots before the first step, by their name and the parameter's."""
        return {
            slot: {name: torch.zeros_like(value) for name, value in parameters.items()} for slot in self.slots
        }

    def coefficients(self, first_step: int, count: int, plateau_scales: Sequence[float] = ()) -> Tensor:
        """What the steps from ``first_step`` (counted from 1) need: ``(count, rows, lanes)`` float32.

        Args:
            first_step: of the first row.
            count: of steps.
            plateau_scales: of the lanes' :class:`PlateauState`; empty: 1 for all.
        """
        rates = self._scheduled(first_step, count)
        if len(plateau_scales):
            rates = rates * np.asarray(plateau_scales, dtype=np.float64)
        table = torch.empty(count, self.rows, len(self._rates))
        for id, lanes in self._lanes.items():
            table[:, :, lanes] = self._rules[id].coefficients(rates[:, lanes], first_step)
        return table

    def step(
        self,
        parameters: Mapping[str, Tensor],
        slots: Mapping[str, Mapping[str, Tensor]],
        gradients: Mapping[str, Tensor],
        coefficients: Tensor,
        moving: Tensor,
    ) -> tuple[Tensors, dict[str, Tensors]]:
        """Parameters and slots after one step; those given stay as they are.

        Args:
            parameters: ``(lanes, ...)`` each.
            slots: as :meth:`initial` makes them.
            gradients: of all parameters.
            coefficients: ``(rows, lanes)``, of this step.
            moving: ``(lanes,)`` booleans. The parameters of other lanes keep their bits; their slots go on
                unattended, since a frozen lane never moves again.
        """
        if max_norm := float(self._values["clip_norm"]):
            gradients = clipping.clipped(gradients, max_norm)
        new: Tensors = {}
        new_slots: dict[str, Tensors] = {slot: {} for slot in self.slots}
        for name, parameter in parameters.items():
            own = {slot: slots[slot][name] for slot in self.slots}
            value, own = self._any_rule.updated(parameter, own, gradients[name], coefficients)
            new[name] = torch.where(by_lane(moving, parameter), value, parameter)
            for slot in self.slots:
                new_slots[slot][name] = own[slot]
        return new, new_slots

    def evaluated(self, lane: int, state: PlateauState, value: float) -> PlateauState:
        """A lane's state after an evaluation in which the plateau's metric was ``value``.

        Raises:
            ValueError: there is no plateau to follow.
        """
        if self.plateau is None:
            raise ValueError("this optimizer follows no metric")
        return schedules.advanced(state, self.plateau, value, lr=self._rates[lane])

    def _scheduled(self, first_step: int, count: int) -> Floats:
        return schedules.rates(
            str(self._values["schedule"]),
            lr=self._rates,
            final_lr=float(self._values["final_lr"]),
            total_steps=self._total_steps,
            first_step=first_step,
            count=count,
        )

    def _rule(self, info: OptimizerInfo) -> Rule:
        own = {name: value for name, value in self._values.items() if name not in _BEFORE_THE_RULE}
        rule: Rule = info.load()(**own)
        return rule


def _shared(
    infos: Sequence[OptimizerInfo], given: Sequence[Mapping[str, Value]]
) -> tuple[str, dict[str, Value]]:
    """The family and the parameters, defaults filled in, that all lanes have."""
    families = dict.fromkeys(info.family for info in infos)
    if len(families) > 1:
        raise ValueError(f"lanes of one cohort have optimizers of one family, not of {', '.join(families)}")
    complete = [_complete(info, values) for info, values in zip(infos, given, strict=True)]
    first = complete[0]
    if other := next((values for values in complete if values != first), None):
        name = next(name for name in first if first[name] != other[name])
        raise ValueError(f"lanes of one cohort differ in {name}: {first[name]!r} and {other[name]!r}")
    return infos[0].family, first


def _complete(info: OptimizerInfo, values: Mapping[str, Value]) -> dict[str, Value]:
    """All parameters of an optimizer."""
    declared = {p.name: p.default for p in info.parameters if p.default is not None}
    if unknown := sorted(set(values) - set(declared)):
        raise ValueError(f"optimizer {info.id!r} has no parameter {unknown[0]!r}")
    return declared | dict(values)
