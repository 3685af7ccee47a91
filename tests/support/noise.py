"""Noise sources for tests."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class LaneNoise:
    """One torch generator per lane: its numbers depend on its seed and on how many were drawn before."""

    def __init__(self, seeds: Iterable[int]) -> None:
        self._lanes = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shapes: list[tuple[int, ...]] = []

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Numbers in (0, 1), index i of axis 0 from the stream of lane i."""
        self.shapes.append(tuple(shape))
        assert shape[0] == len(self._lanes), f"axis 0 of {shape} is not the lane axis"
        lanes = [torch.rand(shape[1:], generator=lane, dtype=torch.float64) for lane in self._lanes]
        return torch.stack(lanes).clamp(1e-7, 1 - 1e-7).to(dtype=dtype, device=device)


class FixedNoise:
    """The same uniform number everywhere, whatever is asked for."""

    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A constant tensor."""
        return torch.full(shape, self.value, dtype=dtype, device=device)


class GivenNoise:
    """Uniform numbers chosen by the test, one tensor per request."""

    def __init__(self, *requests: Tensor) -> None:
        self._requests = list(requests)

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The next tensor, which must have the shape asked for."""
        given = self._requests.pop(0)
        assert given.shape == shape, f"asked for {shape}, the test gives {tuple(given.shape)}"
        return given.to(dtype=dtype, device=device)
