"""Counter-based random numbers: a trial's draws depend on its seed alone.

Every number is a function of (seed, purpose, step, draw, index) through Philox4x32-7 (Salmon et al.,
"Parallel Random Numbers: As Easy as 1, 2, 3", 2011), keyed by the seed, with (index, draw, step, purpose) as
counter; seven rounds are the fewest that pass BigCrush. Nothing is carried from step to step, so a trial
draws the same numbers alone, beside others, and after a resume; trials of equal seed draw the same numbers
whatever their estimator, which is what pairs them.

It is written in integer operations of torch: the numbers are the same on every device, eager and compiled,
and a compiled step makes them where it uses them. On a CPU, what is run as it is gets the same numbers from a
kernel (:mod:`benchmarks.kernels.noise`), where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Literal

import torch
from torch import Tensor

from benchmarks.kernels import noise as kernel
from benchmarks.kernels.noise import Kind
from estimators.building_blocks import is_traced

_MAX_SEED = 2**64 - 1
_LOW = 2**32 - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 7

Words = tuple[Tensor, Tensor, Tensor, Tensor]


class Purpose(IntEnum):
    """What a stream of numbers is for; the values are part of every result and never change."""

    INITIALISATION = 0
    ORDER = 1
    TRAINING = 2
    EVALUATION = 3
    DATA = 4
    DIAGNOSTICS = 5
    ORDER_OF_VALID = 6
    ORDER_OF_LENGTHS = 7


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Four random words for every counter.

    Args:
        counter: four words from 0 to 2^32 - 1 in int64 tensors that broadcast against each other.
        key: two more.

    Returns:
        Words of which only the low 32 bits count; the others are whatever the last products left there.
    """
    c_0, c_1, c_2, c_3 = counter
    k_0, k_1 = key
    for _ in range(_ROUNDS):
        # A product may wrap into the sign: its low 32 bits stay right, and so does what the shift leaves of
        # the high ones under the mask.
        product_0, product_2 = c_0 * _MULTIPLIERS[0], c_2 * _MULTIPLIERS[1]
        c_0, c_1 = ((product_2 >> 32) ^ c_1 ^ k_0) & _LOW, product_2
        c_2, c_3 = ((product_0 >> 32) ^ c_3 ^ k_1) & _LOW, product_0
        k_0, k_1 = (k_0 + _KEY_STEPS[0]) & _LOW, (k_1 + _KEY_STEPS[1]) & _LOW
    return c_0, c_1, c_2, c_3


def seed_keys(seeds: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Keys ``(lanes, 2)`` of seeds: their low and their high 32 bits.

    Raises:
        ValueError: a seed is not in 0 .. 2^64 - 1.
    """
    for seed in seeds:
        if not 0 <= seed <= _MAX_SEED:
            raise ValueError(f"a seed is a number from 0 to 2^64 - 1, got {seed}")
    return torch.tensor([[seed & _LOW, seed >> 32] for seed in seeds], dtype=torch.int64, device=device)


class LaneNoise:
    """Uniform noise for lanes, each from its own stream (an ``estimators`` ``CentredNoiseSource``).

    Args:
        keys: ``(lanes, 2)``, from :func:`seed_keys`.
        purpose: which of a seed's streams.
        step: whose numbers, an integer or a tensor of one; below 2^32.
        first_draw: where counting draws begins, so that several callers of one step have numbers of their
            own.
    """

    def __init__(self, keys: Tensor, purpose: Purpose, *, step: int | Tensor, first_draw: int = 0) -> None:
        self._keys = keys
        self._purpose = purpose
        self._step = step
        self._draw = first_draw

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform numbers in the open interval (0, 1), the midpoints of 2^23 (2^52) equal parts.

        Args:
            shape: the first axis is the lane.
            dtype: float32 or float64.
            device: where the result lies; the numbers are the same everywhere.

        Raises:
            ValueError: the first axis is not the number of lanes.
            TypeError: another dtype.
        """
        kind: Kind = "uniform float32" if dtype == torch.float32 else "uniform float64"
        return self._next(kind, shape, dtype=dtype, device=device)

    def centred(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The numbers of :meth:`uniform`, those from 1/2 on less 1: midpoints of 2^40 (2^52) equal parts.

        Arguments and errors are those of :meth:`uniform`.
        """
        if dtype == torch.float64:
            u = self.uniform(shape, dtype=dtype, device=device)
            return torch.where(u < 0.5, u, u - 1)
        return self._next("centred float32", shape, dtype=dtype, device=device)

    def _next(
        self, kind: Kind, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        lanes = self._keys.shape[0]
        if not shape or shape[0] != lanes:
            raise ValueError(
                f"noise for {lanes} lanes was asked for shape {shape}; the first axis must be the lane axis"
            )
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(f"noise comes as float32 or float64, not {dtype}")
        count = math.prod(shape[1:])
        numbers = _numbers(kind, self._keys, self._purpose, self._step, self._draw, count)
        self._draw += 1
        return numbers.view(shape).to(device)


class ExampleNoise:
    """Uniform noise for the examples of an evaluation: each example's own, whatever chunk it comes in.

    Numbers are drawn for blocks of ``BLOCK`` examples and cut to those that are asked for. What has no axis
    of examples (a draw that all share) gets the same numbers in every chunk.

    Args:
        keys: ``(lanes, 2)``, from :func:`seed_keys`.
        step: which evaluation.
        examples: of the whole split.
        first, count: the examples of the chunk.
        stream: of one caller; others have other numbers.
    """

    BLOCK = 1000
    _CALLS, _BLOCKS = 2**12, 2**10  # calls of a stream, blocks of a split

    def __init__(
        self, keys: Tensor, *, step: int, examples: int, first: int, count: int, stream: int = 0
    ) -> None:
        if examples > self.BLOCK * self._BLOCKS:
            raise ValueError(
                f"an evaluation takes at most {self.BLOCK * self._BLOCKS:,} examples, got {examples:,}"
            )
        self._keys, self._step, self._examples = keys, step, examples
        self._first, self._count, self._stream, self._calls = first, count, stream, 0

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """As :meth:`LaneNoise.uniform`; the axis of examples is the first behind the lanes that is not 1."""
        return self._numbers("uniform", shape, dtype=dtype, device=device)

    def centred(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """As :meth:`LaneNoise.centred`."""
        return self._numbers("centred", shape, dtype=dtype, device=device)

    def _numbers(
        self,
        kind: Literal["uniform", "centred"],
        shape: tuple[int, ...],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Tensor:
        # Of one example, any of the leading axes of 1: its numbers lie in the same order.
        several = (i for i, size in enumerate(shape) if i > 0 and size != 1)
        axis = 1 if self._count == 1 else next(several, 1)
        call, self._calls = self._calls, self._calls + 1
        if len(shape) < 2 or shape[axis] != self._count:
            plain: Tensor = getattr(self._block(call, 0), kind)(shape, dtype=dtype, device=device)
            return plain
        blocks = []
        for block in range(self._first // self.BLOCK, -(-(self._first + self._count) // self.BLOCK)):
            begin = block * self.BLOCK
            size = min(self.BLOCK, self._examples - begin)
            whole = (*shape[:axis], size, *shape[axis + 1 :])
            numbers = getattr(self._block(call, block), kind)(whole, dtype=dtype, device=device)
            low, high = max(self._first - begin, 0), min(self._first + self._count - begin, size)
            blocks.append(numbers.narrow(axis, low, high - low))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, axis)

    def _block(self, call: int, block: int) -> LaneNoise:
        draw = (self._stream * self._CALLS + call) * self._BLOCKS + block
        return LaneNoise(self._keys, Purpose.EVALUATION, step=self._step, first_draw=draw)


def _numbers(kind: Kind, keys: Tensor, purpose: Purpose, step: int | Tensor, draw: int, count: int) -> Tensor:
    """By the kernel, unless they are recorded, lie elsewhere or there is none."""
    if keys.device.type == "cpu" and not is_traced():
        made = kernel.numbers(kind, keys, purpose=purpose, step=int(step), draw=draw, count=count)
        if made is not None:
            return made
    return in_operations(kind, keys, purpose, step, draw, count)


def in_operations(
    kind: Kind, keys: Tensor, purpose: Purpose, step: int | Tensor, draw: int, count: int
) -> Tensor:
    """Numbers ``(lanes, count)`` in operations of tensors: what the kernel's have to be equal to."""
    make = {"uniform float32": _float32, "centred float32": _centred_float32, "uniform float64": _float64}
    return make[kind](keys, purpose, step, draw, count)


def _float32(keys: Tensor, purpose: Purpose, step: int | Tensor, draw: int, count: int) -> Tensor:
    words = _words(keys, purpose, step, draw, -(-count // 4))
    # Turned into floats one by one: a compiler then stores four numbers, not four words.
    numbers = [_midpoints((word >> 9) & (2**23 - 1), torch.float32, bits=23) for word in words]
    return torch.cat(numbers, dim=1)[:, :count]


def _centred_float32(keys: Tensor, purpose: Purpose, step: int | Tensor, draw: int, count: int) -> Tensor:
    """A word as a signed number, and eight more bits for small ones: the last of another word.

    They count where the 32 bits before are nearly all 0 or nearly all 1, and so do those of the other number,
    which does not show them otherwise.
    """
    words = _words(keys, purpose, step, draw, -(-count // 4))
    numbers = [
        _midpoints(((word << 32) >> 24) | (words[i - 1] & 255), torch.float32, bits=40)
        for i, word in enumerate(words)
    ]
    return torch.cat(numbers, dim=1)[:, :count]


def _float64(keys: Tensor, purpose: Purpose, step: int | Tensor, draw: int, count: int) -> Tensor:
    words = _words(keys, purpose, step, draw, -(-count // 2))
    pairs = ((words[0], words[1]), (words[2], words[3]))
    whole = [((high & _LOW) << 20) | ((low & _LOW) >> 12) for high, low in pairs]
    return torch.cat([_midpoints(number, torch.float64, bits=52) for number in whole], dim=1)[:, :count]


def _words(keys: Tensor, purpose: Purpose, step: int | Tensor, draw: int, count: int) -> Words:
    """The words of ``count`` counters, each ``(lanes, count)``."""
    index = torch.arange(count, device=keys.device).unsqueeze(0)
    zero = torch.zeros_like(keys[:, :1])
    return philox((index, zero + draw, zero + step, zero + purpose), (keys[:, :1], keys[:, 1:]))


def _midpoints(whole: Tensor, dtype: torch.dtype, *, bits: int) -> Tensor:
    """(k + 1/2) / 2^bits; exact in ``dtype`` where that has as many bits, and therefore never 0 or 1."""
    return (whole.to(dtype) + 0.5) * 2.0**-bits


def shuffled(keys: Tensor, epoch: int, count: int, *, purpose: Purpose = Purpose.ORDER) -> Tensor:
    """The order in which every lane sees ``count`` examples in an epoch (counted from 0), ``(lanes, count)``.

    The ranks of ``count`` 64-bit words: uniform over permutations but for ties (probability below
    ``count``^2 / 2^65).
    """
    words = _words(keys, purpose, epoch, 0, -(-count // 2))
    ranks = [(words[i] << 32) | (words[i + 1] & _LOW) for i in (0, 2)]
    return torch.cat(ranks, dim=1)[:, :count].argsort(dim=1, stable=True)
