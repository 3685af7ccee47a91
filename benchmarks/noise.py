"""Counter-based random numbers: a trial's draws depend on its seed alone.

Every number is a function of (seed, purpose, step, draw, index) through Philox4x64-10 (Salmon et al.,
"Parallel Random Numbers: As Easy as 1, 2, 3", 2011), keyed by (seed, purpose) at counter (step, draw).
Nothing is carried from step to step, so a trial draws the same numbers alone, beside others, and after a
resume; trials of equal seed draw the same numbers whatever their estimator, which is what pairs them.

Only the raw 64-bit words of numpy's generator are used: that stream is guaranteed never to change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.random import Philox
from numpy.typing import NDArray
from torch import Tensor

_MAX_SEED = 2**64 - 1


class Purpose(IntEnum):
    """What a stream of numbers is for; the values are part of every result and never change."""

    INITIALISATION = 0
    ORDER = 1
    TRAINING = 2
    EVALUATION = 3


class Stream:
    """The words of one (seed, purpose), addressed by (step, draw).

    Raises:
        ValueError: the seed is not in 0 .. 2^64 - 1.
    """

    def __init__(self, seed: int, purpose: Purpose) -> None:
        if not 0 <= seed <= _MAX_SEED:
            raise ValueError(f"a seed is a number from 0 to 2^64 - 1, got {seed}")
        self._philox = Philox(key=np.array([seed, purpose], dtype=np.uint64))
        # Assigning a state costs a quarter of building a new generator, so one is kept and moved.
        self._state: Any = self._philox.state

    def words(self, count: int, *, step: int, draw: int) -> NDArray[np.uint64]:
        """The first ``count`` 64-bit words at counter (step, draw)."""
        self._state["state"]["counter"][:] = (0, draw, step, 0)
        self._philox.state = self._state
        return self._philox.random_raw(count)


class LaneNoise:
    """Uniform noise for lanes, each from its own stream (an ``estimators`` ``NoiseSource``).

    Args:
        seeds: one per lane.
        purpose: which of a seed's streams.
    """

    def __init__(self, seeds: Sequence[int], purpose: Purpose) -> None:
        self._streams = [Stream(seed, purpose) for seed in seeds]
        self.seek(0)

    def seek(self, step: int) -> None:
        """Go to the first draw of a step."""
        self._step = step
        self._draw = 0

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
        if not shape or shape[0] != len(self._streams):
            raise ValueError(
                f"noise for {len(self._streams)} lanes was asked for shape {shape}; "
                "the first axis must be the lane axis"
            )
        count = math.prod(shape[1:])
        lanes = [_uniform(s, count, self._step, self._draw, dtype) for s in self._streams]
        self._draw += 1
        numbers = lanes[0] if len(lanes) == 1 else np.stack(lanes)
        return torch.from_numpy(numbers).view(shape).to(device)


def _uniform(stream: Stream, count: int, step: int, draw: int, dtype: torch.dtype) -> NDArray[Any]:
    if dtype == torch.float32:
        words = stream.words(-(-count // 2), step=step, draw=draw).view(np.uint32)[:count]
        return _midpoints(words >> np.uint32(9), np.dtype(np.float32), bits=23)
    if dtype == torch.float64:
        words_64 = stream.words(count, step=step, draw=draw)
        return _midpoints(words_64 >> np.uint64(12), np.dtype(np.float64), bits=52)
    raise TypeError(f"noise comes as float32 or float64, not {dtype}")


def _midpoints(whole: NDArray[Any], dtype: np.dtype[Any], *, bits: int) -> NDArray[Any]:
    """(k + 1/2) / 2^bits, exact in ``dtype`` and therefore never 0 or 1."""
    numbers = whole.astype(dtype)
    numbers += 0.5
    numbers *= 2.0**-bits
    return numbers


def shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which a trial sees ``count`` examples in an epoch (counted from 0).

    The ranks of ``count`` 64-bit words: uniform over permutations but for ties (probability below
    ``count``^2 / 2^65).
    """
    words = Stream(seed, Purpose.ORDER).words(count, step=epoch, draw=0)
    return np.argsort(words).astype(np.int64, copy=False)
