"""Declared parameters that several estimators share. Does not import torch."""

from __future__ import annotations

from estimators.info import Parameter

NUM_DRAWS = Parameter(
    name="num_draws",
    type=int,
    default=100,
    minimum=1,
    maximum=100_000,
    advice="10 to 1000 are usual",
    description="Relaxed samples per hard sample, averaged in the backward pass; no evaluations of f.",
)
ETA = Parameter(
    name="eta",
    type=float,
    default=0.7,
    minimum=0.0,
    maximum=10.0,
    lane=True,
    advice="0.7 is usual, 0 is `reinmax`",
    description="Weight of the control variate; 0 switches it off.",
)


def temperature(
    *,
    name: str = "temperature",
    default: float = 1.0,
    advice: str,
    description: str = "Temperature of the backward pass; the sampling distribution stays at 1.",
) -> Parameter:
    """A temperature: any number above 0 that float32 holds."""
    return Parameter(
        name=name,
        type=float,
        default=default,
        minimum=0.0,
        open_minimum=True,
        lane=True,
        advice=advice,
        description=description,
    )
