"""Uniform noise for every estimator, from a torch generator or from counter-based streams."""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._fastmath import log1p
from estimators._types import CentredNoiseSource, Noise, NoiseSource


def uniform(shape: tuple[int, ...], generator: Noise, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uniform numbers in the open interval (0, 1).

    ``torch.rand`` returns multiples of a step h (2^-24 in float32, 2^-53 in float64), 0 included. A zero is
    moved to the middle of its cell, h/2. Adding h/2 everywhere would look more even and be wrong: 1 - h/2 is
    no float, it rounds to 1, and -log(1) = 0 is an infinite Gumbel.

    What decides which category is drawn needs more than the steps of float32, with which a category of
    probability 1e-7 gets 0.7 of its share, or none: it is float64, or :func:`centred`.

    Args:
        shape: leading dimensions as those of the logits, the lane axis first; further dimensions (draws per
            variable) trail. A :class:`NoiseSource` gives every index of axis 0 its own stream.
        generator: see :data:`estimators._types.Noise`. ``torch.compile`` cannot trace a
            ``torch.Generator``; it can trace ``None`` and most noise sources.

    Raises:
        TypeError: ``generator`` is none of the three.
    """
    if generator is None:
        # Without the argument: given as None, it keeps torch.compile from tracing changing shapes.
        return _above_zero(torch.rand(shape, dtype=dtype, device=device))
    if isinstance(generator, torch.Generator):
        return _above_zero(torch.rand(shape, generator=generator, dtype=dtype, device=device))
    if isinstance(generator, NoiseSource):
        return generator.uniform(shape, dtype=dtype, device=device)
    raise TypeError(
        f"generator is {generator!r}; pass a torch.Generator (torch.Generator().manual_seed(0)), an object "
        "with a method `uniform(shape, *, dtype, device)`, or None for torch's default generator"
    )


def _above_zero(u: Tensor) -> Tensor:
    return u.clamp_min(torch.finfo(u.dtype).eps / 4)


def centred(shape: tuple[int, ...], generator: Noise, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uniform numbers u of (0, 1), those from 1/2 on as u - 1: dense at both ends, where the rare is decided.

    They come from u in float64 (or from a source that makes such numbers itself): with steps of 2^-53 a
    category of probability 1e-13 has its share to 1 %.
    """
    if isinstance(generator, CentredNoiseSource):
        return generator.centred(shape, dtype=dtype, device=device)
    u = uniform(shape, generator, dtype=torch.float64, device=device)
    return torch.where(u < 0.5, u, u - 1).to(dtype)


def exponential(
    shape: tuple[int, ...], generator: Noise, *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Unit exponential numbers -log u, positive and finite; small ones, which decide, keep their digits."""
    x = centred(shape, generator, dtype=dtype, device=device)
    below_zero = torch.where(x < 0, x, x - 1).clamp_min(torch.finfo(dtype).eps / 2 - 1)
    return -log1p(below_zero)
