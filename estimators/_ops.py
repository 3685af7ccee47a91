"""Stable arithmetic on categorical variables; categories are the last axis, n of them."""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_logits, check_some_possible, working_dtype
from estimators._noise import centred, uniform
from estimators._tracing import stored
from estimators._types import Noise

VECTOR_WIDTH = 16
"""float32 numbers in a vector register of current CPUs."""


def log_probabilities(logits: Tensor) -> Tensor:
    """log softmax(logits), detached. A masked category (logit -inf) has log-probability -inf.

    All further work starts from these numbers, not from the logits: they do not change when a constant is
    added to the logits, and the large ones are near 0, where floats are dense.

    Raises:
        TypeError, ValueError: see :mod:`estimators._checks`.
    """
    check_logits(logits)
    log_p = log_softmax(logits.detach())
    check_some_possible(distinct(logits.detach()), distinct(log_p))
    return log_p


def log_softmax(logits: Tensor) -> Tensor:
    """log softmax(logits), differentiable, in :func:`~estimators._checks.working_dtype`."""
    rows = distinct(logits)
    return rows.to(working_dtype(rows.dtype)).log_softmax(-1).expand(logits.shape)


def one_hot(category: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """Categories ``(...)`` as one-hot vectors ``(..., n)``; unlike torch's function it can be recorded."""
    return (category.unsqueeze(-1) == torch.arange(n, device=category.device)).to(dtype)


def distinct(rows: Tensor) -> Tensor:
    """``rows`` without repetition: every expanded leading axis (stride 0) is cut to length 1.

    A batch of copies that share their logits then costs what one copy costs.
    """
    for axis in range(rows.dim() - 1):
        if rows.stride(axis) == 0 and rows.shape[axis] > 1:
            rows = rows.narrow(axis, 0, 1)
    return rows


def probabilities(log_p: Tensor) -> Tensor:
    """pi = exp(log pi)."""
    return distinct(log_p).exp().expand(log_p.shape)


def tempered(log_p: Tensor, temperature: Tensor) -> Tensor:
    """pi_tau = softmax(theta / tau)."""
    return softmax(scaled(log_p, temperature)).expand(log_p.shape)


def log_tempered(log_p: Tensor, temperature: Tensor) -> Tensor:
    """log pi_tau."""
    return scaled(log_p, temperature).log_softmax(-1).expand(log_p.shape)


def scaled(log_p: Tensor, temperature: Tensor) -> Tensor:
    """log pi / tau, counted from the largest before it is divided: a small tau would make all -inf."""
    rows = distinct(log_p)
    return (rows - rows.amax(-1, keepdim=True)) / temperature


def softmax(x: Tensor) -> Tensor:
    """softmax over the last axis; torch's own kernel for long rows, whole-tensor passes for short ones.

    The kernel works row by row and uses vector instructions only along a row: with fewer entries than a
    vector holds it is 5 to 7 times slower than passes over the whole tensor (32768 x 2: 1.5 ms, 0.3 ms).
    """
    if x.shape[-1] >= VECTOR_WIDTH or x.device.type != "cpu":
        return x.softmax(-1)
    weights = (x - x.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


def draw(p: Tensor, generator: Noise) -> Tensor:
    """One-hot samples of every variable, one uniform number each."""
    return _one_hot_draw(p, p.shape[:-1], generator)


def draw_many(p: Tensor, count: int, generator: Noise) -> Tensor:
    """K independent one-hot samples ``(K, ..., n)`` of every variable.

    The noise is drawn as ``(..., K)``: its first axis is the lane axis, as a noise source expects.
    """
    return _one_hot_draw(p, (*p.shape[:-1], count), generator)


def _one_hot_draw(p: Tensor, shape: tuple[int, ...], generator: Noise) -> Tensor:
    make, draw_from = (centred, draw_of_two) if p.shape[-1] == 2 else (uniform, draw_one_hot)
    dtype = p.dtype if make is centred else torch.float64
    u = make(shape, generator, dtype=dtype, device=p.device)
    return draw_from(p, u if len(shape) < p.dim() else u.movedim(-1, 0))


def draw_of_two(p: Tensor, centred: Tensor) -> Tensor:
    """The same as :func:`draw_one_hot` for two categories and numbers of :func:`estimators._noise.centred`.

    Category 0 has u < p_0, category 1 the rest: the rarer has the numbers that are next to 0, on its side.
    """
    p_0, p_1 = distinct(p).unbind(-1)
    rarer_first = p_0 <= p_1
    # Stored, as a compiled loop over samples would compute both anew for every sample.
    side = stored(torch.where(rarer_first, 1.0, -1.0).to(p.dtype))
    least = stored(torch.minimum(p_0, p_1))
    distance = centred * side
    return chosen_of_two(((distance > 0) & (distance < least)) ^ ~rarer_first, p.dtype)


def draw_one_hot(p: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one-hot samples by inverting the cumulative distribution, with one uniform number per sample.

    Several times faster than ``torch.multinomial``. A category of probability zero is never drawn: it adds
    nothing to the cumulative sum, so the sum cannot exceed the target there first. Scaling the target by the
    total keeps it below the last entry whatever the sum rounds to. The sum is taken in float64: float32 has
    no place near 1 for what is rarer than 2^-24.

    Args:
        p: probabilities ``(..., n)``, rows that sum to 1 up to rounding.
        uniforms: float64 in (0, 1), ``(...)`` or with additional leading dimensions (K, ...).

    Returns:
        One-hot rows ``(*uniforms.shape, n)`` of the dtype of ``p``. Where ``p`` is NaN, category 0.
    """
    rows = distinct(p).movedim(-1, 0)
    samples = uniforms.dim() - (rows.dim() - 1)
    cumulative = rows.double().cumsum(0)
    if p.device.type != "cpu":
        cumulative = monotone(cumulative, rows)
    cumulative = cumulative.reshape(len(rows), *[1] * samples, *rows.shape[1:])
    before = torch.cat([torch.full_like(cumulative[:1], -1.0), cumulative[:-1]])
    total = cumulative[-1]
    target = uniforms * torch.where(total == total, total, 0.0)  # 0 for NaN
    return ((before <= target) & ~(cumulative <= target)).to(p.dtype).movedim(0, -1)


def monotone(cumulative: Tensor, p: Tensor) -> Tensor:
    """Repair the rounding of a parallel cumulative sum: never falling, and level where p is zero.

    Categories are the first axis. Accelerators add each prefix in an order of its own, so that neighbours may
    differ by an ulp either way.
    """
    return torch.where(p > 0, cumulative, 0.0).cummax(0).values


def jacobian_product(p: Tensor, g: Tensor) -> Tensor:
    """J(p) g = p * (g - <p, g>), the product of the softmax Jacobian diag(p) - p p^T with g, in O(n).

    For two categories it is p_0 p_1 (g_0 - g_1) (e_0 - e_1).
    """
    if p.shape[-1] == 2:
        return opposite(p[..., 0] * p[..., 1] * (g[..., 0] - g[..., 1]))
    return p * (g - (p * g).sum(-1, keepdim=True))


def opposite(x: Tensor) -> Tensor:
    """x (e_0 - e_1), ``(...) -> (..., 2)``; variables, the last axis of ``x``, stay adjacent in memory."""
    sign = 1 - 2 * torch.arange(2, device=x.device)
    return (x.unsqueeze(0) * sign.view(2, *[1] * x.dim())).movedim(0, -1)


def chosen_of_two(first: Tensor, dtype: torch.dtype) -> Tensor:
    """e_0 where ``first`` holds, else e_1, ``(...) -> (..., 2)``; in memory as :func:`opposite`."""
    zeroth = torch.arange(2, device=first.device) == 0
    return (first.unsqueeze(0) == zeroth.view(2, *[1] * first.dim())).to(dtype).movedim(0, -1)


def centred_jacobian_product(p: Tensor, g: Tensor, *, weight: Tensor) -> Tensor:
    """weight * (g - <p, g>), where ``weight`` is p divided by something that may be small.

    With g counted from its entry at the likeliest category, the difference keeps its digits there, and a
    large weight does not blow up what rounding left.
    """
    from_likeliest = g - g.gather(-1, p.argmax(-1, keepdim=True))
    return weight * (from_likeliest - (p * from_likeliest).sum(-1, keepdim=True))


def at_sample(x: Tensor, z: Tensor) -> Tensor:
    """x_i with i the category of the one-hot ``z``, ``(..., 1)``. Other entries may be infinite."""
    return x.gather(-1, z.argmax(-1, keepdim=True))
