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

from estimators.evaluations import EvaluationCount
from estimators.info import Citation, EstimatorInfo, Parameter, Properties, Value
from estimators.registry import PluginError, available, get

if TYPE_CHECKING:
    from estimators._adapter import bind, initial_state, surrogate
    from estimators._binary import bernoulli_pair
    from estimators._types import Estimate, Noise, NoiseSource, Objective, SeparableObjective
    from estimators.path.gapped import gst, gst_p
    from estimators.path.gumbel_rao import gumbel_rao
    from estimators.path.gumbel_softmax import decoupled_stgs, gumbel_softmax, stgs
    from estimators.path.reinmax import reinmax
    from estimators.path.reinmax_rao import reinmax_cv, reinmax_cv_released, reinmax_rao
    from estimators.path.straight_through import st
    from estimators.path.uniform_baseline import (
        reinmax_mean_baseline,
        reinmax_mean_baseline_released,
        st_uniform_baseline,
    )
    from estimators.path.zgr import zgr
    from estimators.score.arm import arm
    from estimators.score.arms import arms
    from estimators.score.arsm import arsm
    from estimators.score.disarm import disarm
    from estimators.score.disarm_tree import disarm_tree
    from estimators.score.double_cv import double_cv
    from estimators.score.exact import exact
    from estimators.score.muprop import muprop
    from estimators.score.nvil import nvil
    from estimators.score.rebar import rebar
    from estimators.score.reinforce import reinforce
    from estimators.score.reinforce_ema import reinforce_ema
    from estimators.score.relax import relax
    from estimators.score.rloo import rloo
    from estimators.score.rodeo import rodeo

__all__ = [
    "Citation",
    "Estimate",
    "EstimatorInfo",
    "EvaluationCount",
    "Noise",
    "NoiseSource",
    "Objective",
    "Parameter",
    "PluginError",
    "Properties",
    "SeparableObjective",
    "Value",
    "arm",
    "arms",
    "arsm",
    "available",
    "bernoulli_pair",
    "bind",
    "decoupled_stgs",
    "disarm",
    "disarm_tree",
    "double_cv",
    "exact",
    "get",
    "gst",
    "gst_p",
    "gumbel_rao",
    "gumbel_softmax",
    "initial_state",
    "muprop",
    "nvil",
    "rebar",
    "reinforce",
    "reinforce_ema",
    "reinmax",
    "reinmax_cv",
    "reinmax_cv_released",
    "reinmax_mean_baseline",
    "reinmax_mean_baseline_released",
    "reinmax_rao",
    "relax",
    "rloo",
    "rodeo",
    "st",
    "st_uniform_baseline",
    "stgs",
    "surrogate",
    "zgr",
]

_VOCABULARY = {
    "bernoulli_pair": "estimators._binary",
    "bind": "estimators._adapter",
    "initial_state": "estimators._adapter",
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
