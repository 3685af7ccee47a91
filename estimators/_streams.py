"""Random numbers that a backward pass can make again: counter-based, from a key drawn in the forward pass.

Estimators that average many draws need their noise where the gradient g of f is known, in the backward pass,
and in blocks, because all of it at once would not fit. Every number here is a function of the key of its
variable and of a counter. It therefore depends neither on the size of the blocks nor on other variables, is
the same in every backward pass over a graph, and needs no generator that ``torch.compile`` could not trace.

The function is SplitMix64 with the key as the start of its sequence. Source: Steele, Lea, Flood, "Fast
Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._noise import uniform
from estimators._types import Noise

_STEP_HIGH, _STEP_LOW = 0x9E3779B9, 0x7F4A7C15
"""The step of the sequence, 0x9E3779B97F4A7C15, in two words."""
_MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
"""The published constants as signed numbers: products of int64 tensors wrap, so the sign does not matter."""


def draw_keys(shape: tuple[int, ...], generator: Noise, *, device: torch.device) -> Tensor:
    """Independent int64 keys, starts spread over the sequence of length 2^64, from two uniform numbers each.

    They are of float32: processors turn a vector of these into integers, not one of float64.
    """
    high, low = (
        (uniform(shape, generator, dtype=torch.float32, device=device) * 2.0**24).to(torch.int32)
        for _ in range(2)
    )
    return _scramble((high.to(torch.int64) << 24) | low.to(torch.int64))


def keyed_uniform(key: Tensor, counter: Tensor, dtype: torch.dtype) -> Tensor:
    """Uniform numbers in (0, 1) for ``key`` and ``counter``, which broadcast against each other.

    Counters go from 0 to 2^31 - 1.

    Multiples of 2^-53 plus 2^-54, rounded to ``dtype``: the floats are dense near 0 (there the small
    probabilities are decided), and the rounding never reaches 1.
    """
    # key + counter * step in products that do not leave int64: in a compiled loop counters are positions, and
    # a C++ compiler concludes from a product that would overflow that the loop never gets there. The mask
    # changes nothing: behind it inductor sees no position any more, whose products it may form in int32.
    counter = counter & (2**31 - 1)
    start = key + counter * _STEP_LOW + ((counter * _STEP_HIGH) << 32)
    word = _shift(_scramble(start), 11)
    below_one = 1 - torch.finfo(dtype).eps / 2
    return word.to(dtype).add_(0.5).mul_(2.0**-53).clamp_max_(below_one)


def _scramble(word: Tensor) -> Tensor:
    word = (word ^ _shift(word, 30)) * _MULTIPLIERS[0]
    word = (word ^ _shift(word, 27)) * _MULTIPLIERS[1]
    return word ^ _shift(word, 31)


def _shift(word: Tensor, bits: int) -> Tensor:
    """Shift right, filling with zeros (the operator fills with the sign)."""
    shifted: Tensor = (word >> bits) & (2 ** (64 - bits) - 1)
    return shifted
