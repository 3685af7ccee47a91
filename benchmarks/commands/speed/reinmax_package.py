"""``estimators.reinmax`` side by side with the package ``reinmax`` of the authors of ReinMax."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import estimators
from estimators.certification.cost import median_interval, peak_bytes, timed_in_turns
from estimators.certification.record import Interval

SHAPES = ((100, 30, 10), (256, 128, 2))
TEMPERATURE = 1.3
TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Forward and backward of one call on logits of one shape.

    Attributes:
        shape: of the logits.
        gradient_difference: largest, for equal samples.
        ours_ms, theirs_ms: median of the time of the thread.
        time_ratio: theirs to ours, median with its 95 % interval.
        ours_bytes, theirs_bytes: most bytes of tensors alive at a time, those passed in left out.
    """

    shape: tuple[int, ...]
    gradient_difference: float
    ours_ms: float
    theirs_ms: float
    time_ratio: Interval
    ours_bytes: int
    theirs_bytes: int

    @property
    def memory_ratio(self) -> float:
        """Theirs to ours."""
        return self.theirs_bytes / self.ours_bytes

    @property
    def agrees(self) -> bool:
        """Whether the gradients are equal within ``TOLERANCE``."""
        return self.gradient_difference <= TOLERANCE


class Replay:
    """Noise that makes an inverse-CDF sampler draw given samples: the middle of their cells."""

    def __init__(self, z: Tensor, p: Tensor) -> None:
        self._uniforms = ((p.cumsum(-1) - p / 2) * z).sum(-1)

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The numbers; there is one a variable, and nothing else may be asked for.

        Raises:
            ValueError: another shape.
        """
        if tuple(shape) != tuple(self._uniforms.shape):
            raise ValueError(f"asked for {tuple(shape)} numbers, there are {tuple(self._uniforms.shape)}")
        return self._uniforms.to(dtype=dtype, device=device)


def compare(shape: tuple[int, ...]) -> Comparison:
    """Check that the gradients are equal, then time both in turns."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).requires_grad_()
    weights = torch.randn(shape, generator=generator)
    ours = _work(lambda: estimators.reinmax(logits, temperature=TEMPERATURE), logits, weights)
    theirs = _work(lambda: _theirs(logits)[0], logits, weights)
    own, other = timed_in_turns(ours, theirs)
    return Comparison(
        shape=shape,
        gradient_difference=gradient_difference(logits, weights),
        ours_ms=1e3 * statistics.median(own),
        theirs_ms=1e3 * statistics.median(other),
        time_ratio=median_interval([b / a for a, b in zip(own, other, strict=True)]),
        ours_bytes=peak_bytes(ours),
        theirs_bytes=peak_bytes(theirs),
    )


def gradient_difference(logits: Tensor, weights: Tensor) -> float:
    """Largest difference of the gradients of a quadratic f at the same samples; infinite at others."""
    theirs, p = _theirs(logits)
    replay = Replay(theirs.detach(), p.detach())
    ours = estimators.reinmax(logits, temperature=TEMPERATURE, generator=replay)
    if not torch.equal(ours, theirs):
        return float("inf")
    a, b = (torch.autograd.grad(_objective(z, weights), logits)[0] for z in (ours, theirs))
    return (a - b).abs().max().item()


def _theirs(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Samples and probabilities of the package."""
    z, p = importlib.import_module("reinmax").reinmax(logits, TEMPERATURE)
    return z, p


def _work(sample: Callable[[], Tensor], logits: Tensor, weights: Tensor) -> Callable[[], object]:
    return lambda: torch.autograd.grad(_objective(sample(), weights), logits)


def _objective(z: Tensor, weights: Tensor) -> Tensor:
    return ((z - 0.3) ** 2 * weights).sum()
