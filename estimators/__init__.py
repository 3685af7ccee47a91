"""Gradient estimators for discrete latent variables.

    from estimators import reinmax, get, surrogate

    z = reinmax(logits, temperature=1.3)      # one-hot in value, ReinMax in gradient
    info = get("reinmax")                     # properties, parameters, equation, citation

Importing this package does not import torch: the registry can be read by a process that never computes. The
functions are imported on first use (PEP 562). They live in ``estimators.path`` and ``estimators.score``, one
file each, because a submodule ``estimators.reinmax`` would take the place of the function of that name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from estimators.info import Citation, EstimatorInfo, Parameter, Properties, Value
from estimators.registry import PluginError, available, get

if TYPE_CHECKING:
    from estimators._adapter import bind, surrogate
    from estimators._types import Estimate, Noise, NoiseSource, Objective, SeparableObjective
    from estimators.path.gumbel_softmax import stgs
    from estimators.path.reinmax import reinmax
    from estimators.path.straight_through import st
    from estimators.score.exact import exact
    from estimators.score.reinforce import reinforce

__all__ = [
    "Citation",
    "Estimate",
    "EstimatorInfo",
    "Noise",
    "NoiseSource",
    "Objective",
    "Parameter",
    "PluginError",
    "Properties",
    "SeparableObjective",
    "Value",
    "available",
    "bind",
    "exact",
    "get",
    "reinforce",
    "reinmax",
    "st",
    "stgs",
    "surrogate",
]

_VOCABULARY = {
    "bind": "estimators._adapter",
    "surrogate": "estimators._adapter",
    "Estimate": "estimators._types",
    "Noise": "estimators._types",
    "NoiseSource": "estimators._types",
    "Objective": "estimators._types",
    "SeparableObjective": "estimators._types",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use and keep it as an ordinary attribute."""
    if name in _VOCABULARY:
        value = getattr(importlib.import_module(_VOCABULARY[name]), name)
    elif name in __all__:
        value = get(name).load()
    else:
        raise AttributeError(f"module 'estimators' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
