"""The registry of optimizers: plain data, importable without torch.

A sweep says ``optimizer: adam`` or ``optimizer: {id: sgd, momentum: 0.9, schedule: cosine}``; the learning
rate is ``lr`` for all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from estimators.info import Parameter, Value


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerInfo:
    """One line of the registry.

    Attributes:
        id: the name users write.
        title: the name pages show.
        family: optimizers of one family that agree in all parameters may share a cohort: their rules differ
            in coefficients only.
        parameters: declared parameters besides the learning rate.
        version: raised whenever the numbers change.
        contradiction: parameters -> why they cannot go together, as in "needs a momentum above 0"; empty if
            they can.
        target: ``module:class`` of the :class:`benchmarks.engine.optimizers.rule.Rule`, imported on first
            use.
    """

    id: str
    title: str
    family: str
    parameters: tuple[Parameter, ...]
    version: int
    target: str
    contradiction: Callable[[Mapping[str, Value]], str] = lambda values: ""

    def parameter(self, name: str) -> Parameter | None:
        """The declared parameter of that name, or ``None``."""
        return next((p for p in self.parameters if p.name == name), None)

    def load(self) -> Callable[..., Any]:
        """Import and return the class of the rule."""
        module, _, name = self.target.partition(":")
        cls: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return cls


def _number(name: str, default: float, description: str, *, maximum: float = 1e6) -> Parameter:
    return Parameter(
        name=name,
        type=float,
        default=default,
        neutral=default,
        minimum=0.0,
        maximum=maximum,
        description=description,
    )


def _nesterov_alone(values: Mapping[str, Value]) -> str:
    alone = values["nesterov"] == "yes" and not values["momentum"]
    return "Nesterov's momentum needs a momentum above 0" if alone else ""


_BELOW_ONE = 1 - 2.0**-24
_SHARED = (
    _number("weight_decay", 0.0, "L2 penalty: weight_decay times the parameter is added to its gradient."),
    _number("clip_norm", 0.0, "Largest norm of a lane's gradient over all its parameters; 0: not clipped."),
    Parameter(
        name="schedule",
        type=str,
        default="constant",
        neutral="constant",
        choices=("constant", "cosine", "linear"),
        description="How the learning rate moves over the steps of the trial, from lr to final_lr times lr.",
    ),
    _number("final_lr", 0.0, "Share of lr at the end of a schedule that is not constant.", maximum=1.0),
)
_MOMENTS = (
    _number("beta1", 0.9, "Decay of the first moment.", maximum=_BELOW_ONE),
    _number("beta2", 0.999, "Decay of the second moment.", maximum=_BELOW_ONE),
    _number("eps", 1e-8, "Added to the root of the second moment."),
)

_ENTRIES = (
    OptimizerInfo(
        id="adam",
        title="Adam",
        family="adam",
        parameters=(*_MOMENTS, *_SHARED),
        version=1,
        target="benchmarks.engine.optimizers.adam:Adam",
    ),
    OptimizerInfo(
        id="radam",
        title="RAdam",
        family="adam",
        parameters=(*_MOMENTS, *_SHARED),
        version=1,
        target="benchmarks.engine.optimizers.adam:RAdam",
    ),
    OptimizerInfo(
        id="sgd",
        title="SGD",
        family="sgd",
        parameters=(
            _number("momentum", 0.0, "Decay of the sum of gradients.", maximum=_BELOW_ONE),
            Parameter(
                name="nesterov",
                type=str,
                default="no",
                neutral="no",
                choices=("no", "yes"),
                description="Nesterov momentum.",
            ),
            *_SHARED,
        ),
        version=1,
        target="benchmarks.engine.optimizers.sgd:SGD",
        contradiction=_nesterov_alone,
    ),
    OptimizerInfo(
        id="rmsprop",
        title="RMSprop",
        family="rmsprop",
        parameters=(
            _number("alpha", 0.99, "Decay of the mean of squares.", maximum=_BELOW_ONE),
            _number("eps", 1e-8, "Added to the root of the mean of squares."),
            _number("momentum", 0.0, "Decay of the sum of steps.", maximum=_BELOW_ONE),
            *_SHARED,
        ),
        version=1,
        target="benchmarks.engine.optimizers.rmsprop:RMSprop",
    ),
)

_BY_ID = {info.id: info for info in _ENTRIES}


def available() -> tuple[str, ...]:
    """Ids of all optimizers."""
    return tuple(_BY_ID)


def get(id: str) -> OptimizerInfo:
    """The registry entry of an optimizer.

    Raises:
        KeyError: no optimizer has this id; the message lists those there are.
    """
    try:
        return _BY_ID[id]
    except KeyError:
        raise KeyError(f"no optimizer {id!r}; there are {', '.join(_BY_ID)}") from None
