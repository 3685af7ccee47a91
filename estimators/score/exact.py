"""The exact gradient, by enumeration: the oracle that estimators are measured against.

    value = E f = sum_D p(D) f(D),   gradient = sum_D p(D) (f(D) - E f) (D - pi)

Properties: exact, draws nothing; no gradient of f. Subtracting E f changes nothing in exact arithmetic and
keeps the digits when f has a large offset.
Cost: n evaluations of f for a :class:`SeparableObjective`, n^V for any other.
Shapes: ``...`` lanes and batch, V variables, n categories, C outcomes of a chunk out of N = n^V.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from estimators._autograd import full_precision
from estimators._checks import can_look_at
from estimators._ops import jacobian_product, one_hot
from estimators._score import attach_gradient, evaluate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective, SeparableObjective
from estimators.score.parameters import MAX_OUTCOMES

CHUNK_ELEMENTS = 2**22
"""Numbers in the samples of one chunk: 16 MiB in float32."""


def exact(logits: Tensor, objective: Objective, *, generator: Noise = None) -> Estimate:
    """The expectation of f and its gradient; parameters of f get their gradient weighted by p(D).

    f may be infinite or undefined at impossible outcomes and never sees them: it is given the likeliest
    categories in their place.

    Args:
        logits: ``(..., V, n)``, floats; -inf masks a category.
        objective: f; a :class:`SeparableObjective` costs n evaluations, any other n^V.
        generator: ignored; accepted so that all estimators are called alike.

    Returns:
        An estimate whose ``values`` are f at all outcomes, variable 0 running fastest, or for a separable
        objective f with all variables in category 0, 1, ..., n - 1; NaN where an outcome is impossible.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: more than 16384 outcomes; values of a wrong shape; a variable with all categories masked
            (eager mode on the CPU).
    """
    log_p = variable_log_probabilities(logits)
    if isinstance(objective, SeparableObjective):
        return _separable(logits, log_p.exp(), objective)
    return _joint(logits, log_p, objective)


def _separable(logits: Tensor, p: Tensor, objective: SeparableObjective) -> Estimate:
    """Every variable at category k, for k = 0 .. n - 1, gives all terms of all variables."""
    n = p.shape[-1]
    samples = _broadcast(torch.eye(n, dtype=p.dtype, device=p.device).unsqueeze(1), p)
    possible = p.movedim(-1, 0) > 0
    terms = evaluate(objective.terms, _seen(samples, possible.unsqueeze(-1), p), logits, per_variable=True)
    f = torch.where(possible, terms.to(p.dtype), 0.0).movedim(0, -1)
    return Estimate(
        surrogate=attach_gradient((p * f).sum((-1, -2)), logits, jacobian_product(p, f.detach())),
        samples=None,
        values=torch.where(possible, terms.detach(), torch.nan).sum(-1),
        evaluations=n,
    )


def _joint(logits: Tensor, log_p: Tensor, objective: Objective) -> Estimate:
    outcomes = _outcomes(*log_p.shape[-2:], device=log_p.device)
    chunks = outcomes.split(_chunk_size(log_p))
    parts = [_chunk_values(logits, log_p, chunk, objective, recompute=len(chunks) > 1) for chunk in chunks]
    p, values = (torch.cat(part) for part in zip(*parts, strict=True))
    f = torch.where(p > 0, values.to(p.dtype), 0.0)
    mean = (p * f).sum(0)
    weights = p * (f - mean).detach()
    one_hots = one_hot(outcomes, log_p.shape[-1], p.dtype)
    with full_precision(p.device):
        weighted = torch.tensordot(weights, one_hots, dims=([0], [0]))
    return Estimate(
        surrogate=attach_gradient(mean, logits, weighted - weights.sum(0)[..., None, None] * log_p.exp()),
        samples=None,
        values=torch.where(p > 0, values.detach(), torch.nan),
        evaluations=len(outcomes),
    )


def _outcomes(variables: int, n: int, *, device: torch.device) -> Tensor:
    """All outcomes as categories ``(N, V)``, variable 0 running fastest."""
    count = n**variables
    if count > MAX_OUTCOMES:
        raise ValueError(
            f"{variables} variables of {n} categories have {n}^{variables} joint outcomes, `exact` "
            f"enumerates at most {MAX_OUTCOMES}; wrap a sum of per-variable terms in SeparableObjective, or "
            "draw samples"
        )
    index = torch.arange(count, device=device).unsqueeze(-1)
    return torch.cat([index // n**v % n for v in range(variables)], -1)


def _chunk_size(log_p: Tensor) -> int:
    return max(1, CHUNK_ELEMENTS // max(1, log_p.numel()))


def _chunk_values(
    logits: Tensor, log_p: Tensor, chunk: Tensor, objective: Objective, *, recompute: bool
) -> tuple[Tensor, Tensor]:
    """Probabilities and values ``(C, ...)``. ``recompute`` keeps no activations of f: memory of one chunk."""
    variables, n = log_p.shape[-2:]
    p = log_p[..., torch.arange(variables, device=chunk.device), chunk].sum(-1).exp().movedim(-1, 0)
    samples = _seen(_broadcast(one_hot(chunk, n, log_p.dtype), log_p), p[..., None, None] > 0, log_p)
    if not recompute:
        return p, evaluate(objective, samples, logits)
    values: Tensor = checkpoint(
        evaluate, objective, samples, logits, use_reentrant=False, preserve_rng_state=False
    )
    return p, values


def _seen(samples: Tensor, possible: Tensor, p: Tensor) -> Tensor:
    """Samples ``(C, ..., V, n)`` that f may see: the likeliest categories where ``possible`` does not hold.

    A value that f does not have can be ignored, its derivative by the parameters of f cannot: 0 times NaN is
    NaN. Where it can be seen that all outcomes are possible, nothing is copied.
    """
    if can_look_at(possible) and bool(possible.all()):
        return samples
    return torch.where(possible, samples, one_hot(p.argmax(-1), p.shape[-1], p.dtype))


def _broadcast(outcomes: Tensor, p: Tensor) -> Tensor:
    """The same outcomes ``(C, 1 or V, n)`` for all lanes and rows, ``(C, ..., V, n)``, without a copy."""
    shape = (outcomes.shape[0], *[1] * (p.dim() - 2), *outcomes.shape[1:])
    return outcomes.reshape(shape).expand(-1, *p.shape)
