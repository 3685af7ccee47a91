"""Declared parameters that several estimators share. Does not import torch."""

from __future__ import annotations

from estimators.info import Parameter

NUM_SAMPLES = Parameter(
    name="num_samples",
    type=int,
    default=1,
    minimum=1,
    maximum=10_000,
    description="Evaluations of f per estimate.",
)

NUM_DRAWS = Parameter(
    name="num_draws",
    type=int,
    default=100,
    minimum=1,
    maximum=100_000,
    description="Relaxed samples per hard sample, averaged in the backward pass; no evaluations of f.",
)
ETA = Parameter(
    name="eta",
    type=float,
    default=0.7,
    minimum=0.0,
    maximum=10.0,
    lane=True,
    description="Weight of the control variate; 0 switches it off.",
)


def temperature(*, minimum: float, open_minimum: bool = False) -> Parameter:
    """The temperature of a path estimator; it enters the backward pass only."""
    return Parameter(
        name="temperature",
        type=float,
        default=1.0,
        minimum=minimum,
        maximum=100.0,
        open_minimum=open_minimum,
        lane=True,
        description="Temperature of the backward pass; the sampling distribution stays at 1.",
    )
