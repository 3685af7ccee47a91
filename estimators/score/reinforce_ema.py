"""REINFORCE with a moving average of past values as baseline.

    gradient = (1/K) sum_k (f(D_k) - c) (D_k - pi),   then   c <- decay c + (1 - decay) mean f

with c from before the update: an average that contains the present values would bias the estimate. There is
no baseline at the first call (c = 0), whose mean f becomes the first c.

Properties: unbiased; no gradient of f; state c, one number per lane.
Cost: K evaluations of f.
Source: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
1992.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples, L lanes.
"""

from __future__ import annotations

from torch import Tensor

from estimators._checks import check_parameters
from estimators._learned import State, lane_rows, moving_average, over_rows, per_lane, zeros_by_lane
from estimators._ops import draw_many
from estimators._score import (
    evaluate,
    make_estimate,
    score_gradient,
    variable_log_probabilities,
)
from estimators._types import Estimate, Noise, Objective


def reinforce_ema(
    logits: Tensor,
    objective: Objective,
    *,
    num_samples: int = 1,
    decay: float | Tensor = 0.95,
    state: State | None = None,
    generator: Noise = None,
) -> Estimate:
    """Estimate the gradient of E[f(D)] with the past mean of f as baseline.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``.
        num_samples: K >= 1.
        decay: weight of the past in c, 0 <= decay < 1, a number or one per lane.
        state: the state that the last call returned; ``None`` at the first.
        generator: source of noise, K uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 1; values of a wrong shape; a variable with all categories masked
            (eager mode on the CPU).
    """
    check_parameters("reinforce_ema", num_samples=num_samples, decay=decay)
    p = variable_log_probabilities(logits).exp()
    state = initial_state(logits) if state is None else state
    samples = draw_many(p, num_samples, generator)
    values = evaluate(objective, samples, logits)
    f = values.detach().to(p.dtype)
    gradient = score_gradient(f - over_rows(state["baseline"], logits), samples, p)
    rows = lane_rows(f, logits)
    updated = {
        "baseline": moving_average(state["baseline"], rows, per_lane(decay, logits), state["steps"]),
        "steps": state["steps"] + 1,
    }
    return make_estimate(
        logits, gradient, samples=samples, values=values, evaluations=num_samples, state=updated
    )


def initial_state(logits: Tensor) -> dict[str, Tensor]:
    """``baseline`` c and ``steps``, the calls done, ``(L,)`` each."""
    zeros = zeros_by_lane(logits)
    return {"baseline": zeros, "steps": zeros}
