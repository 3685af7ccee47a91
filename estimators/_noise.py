"""Uniform noise for every estimator, from a torch generator or from counter-based streams."""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._types import Noise, NoiseSource


def uniform(shape: tuple[int, ...], generator: Noise, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uniform numbers in the open interval (0, 1).

    ``torch.rand`` returns multiples of a step h (2^-24 in float32, 2^-53 in float64), 0 included. A zero is
    moved to the middle of its cell, h/2. Adding h/2 everywhere would look more even and be wrong: 1 - h/2 is
    no float, it rounds to 1, and -log(1) = 0 is an infinite Gumbel.

    Args:
        shape: leading dimensions as those of the logits, the lane axis first; further dimensions (draws per
            variable) trail. A :class:`NoiseSource` gives every index of axis 0 its own stream.
        generator: see :data:`estimators._types.Noise`. ``torch.compile`` cannot trace a
            ``torch.Generator``; it can trace ``None`` and most noise sources.

    Raises:
        TypeError: ``generator`` is none of the three.
    """
    if generator is None or isinstance(generator, torch.Generator):
        half_step = torch.finfo(dtype).eps / 4
        return torch.rand(shape, generator=generator, dtype=dtype, device=device).clamp_min(half_step)
    if isinstance(generator, NoiseSource):
        return generator.uniform(shape, dtype=dtype, device=device)
    raise TypeError(
        f"generator is {generator!r}; pass a torch.Generator (torch.Generator().manual_seed(0)), an object "
        "with a method `uniform(shape, *, dtype, device)`, or None for torch's default generator"
    )
