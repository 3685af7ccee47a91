"""Declared parameters of the estimators from values of f. Does not import torch."""

from __future__ import annotations

from estimators.evaluations import EvaluationCount, per_sample
from estimators.info import Parameter
from estimators.parameters import temperature

DECAY_LIMIT = 0.9999
MAX_OUTCOMES = 16_384
"""Joint outcomes that `exact` enumerates at most."""

SAMPLES_AND_NETWORK = EvaluationCount(text="K, and a network", count=per_sample)


def num_samples(
    *,
    default: int,
    minimum: int = 1,
    multiple_of: int = 1,
    advice: str = "",
    description: str = "Evaluations of f per estimate.",
) -> Parameter:
    """K; an estimator that evaluates f elsewhere too, or draws in pairs, says so in ``description``."""
    return Parameter(
        name="num_samples",
        type=int,
        default=default,
        minimum=minimum,
        maximum=10_000,
        multiple_of=multiple_of,
        advice=advice or ("`exact` draws none" if minimum == 1 else ""),
        description=description,
    )


def decay(default: float) -> Parameter:
    """Weight of the past in a moving average."""
    return Parameter(
        name="decay",
        type=float,
        default=default,
        minimum=0.0,
        maximum=DECAY_LIMIT,
        lane=True,
        description="Weight of the past in the moving averages.",
    )


def hidden_units(default: int) -> Parameter:
    """Width of a learned network."""
    return Parameter(
        name="hidden_units",
        type=int,
        default=default,
        minimum=1,
        maximum=4096,
        description="Units in the hidden layer of the learned network.",
    )


def coefficient(name: str, default: float, description: str) -> Parameter:
    """A scale of a control variate, which is trained from this start."""
    return Parameter(
        name=name,
        type=float,
        default=default,
        minimum=-100.0,
        maximum=100.0,
        lane=True,
        description=description,
    )


RELAXATION = temperature(
    default=0.5,
    advice="values from 0.1 to 1 are usual",
    description="Temperature of the relaxed samples at the start of its training.",
)

LEARNING_RATE = Parameter(
    name="learning_rate",
    type=float,
    default=1e-3,
    minimum=0.0,
    maximum=1.0,
    lane=True,
    description="Learning rate of Adam on the estimator's own parameters; 0 keeps them fixed.",
)
