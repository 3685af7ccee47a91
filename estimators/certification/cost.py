"""What an estimate costs: evaluations of f, time and memory of forward and backward."""

from __future__ import annotations

import math
import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from estimators._adapter import bind
from estimators._types import SeparableObjective
from estimators.certification.record import Cost, Interval
from estimators.certification.sampling import Draw, gradient
from estimators.certification.subject import LocalEstimator

SHAPE = (1, 100, 30, 10)
"""Lanes, batch, variables, categories; estimators for two categories are timed with n = 2."""
REPEATS = 15
SECONDS = 4.0
"""No further repeat begins after this; there are at least five."""


def cost(info: LocalEstimator, evaluations: int) -> Cost:
    """Time and memory beside those of ``st`` on the same shape, timed in turns."""
    shape = (*SHAPE[:-1], 2 if info.properties.binary_only else SHAPE[-1])
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    subject, reference = (_work(draw, logits) for draw in (info.bound(), bind("st")))
    own, other = timed_in_turns(subject, reference)
    peak = peak_bytes(subject)
    return Cost(
        evaluations=evaluations,
        shape=shape,
        seconds=median_interval(own),
        seconds_ratio=median_interval([a / b for a, b in zip(own, other, strict=True)]),
        peak_bytes=peak,
        peak_ratio=peak / peak_bytes(reference),
    )


def counted_evaluations(info: LocalEstimator, logits: Tensor) -> tuple[int, int]:
    """Evaluations of f per row of ``logits`` ``(N, V, n)``: counted, and as the estimate reports them."""
    points = 0

    def f(samples: Tensor) -> Tensor:
        nonlocal points
        points += samples.shape[:-2].numel()
        return samples.square().sum((-1, -2))

    _, estimate = gradient(info.bound(), logits, f, torch.Generator().manual_seed(0))
    return round(points / logits.shape[0]), estimate.evaluations


def median_interval(values: list[float]) -> Interval:
    """The median, between order statistics that hold it with about 95 % (binomial, normal approximation)."""
    ordered, n = sorted(values), len(values)
    reach = math.ceil(0.98 * math.sqrt(n))
    low, high = max(0, n // 2 - reach), min(n - 1, (n - 1) // 2 + reach)
    return Interval(value=statistics.median(ordered), low=ordered[low], high=ordered[high])


def _work(draw: Draw, logits: Tensor) -> Callable[[], object]:
    """Forward and backward of a separable f, which ``exact`` enumerates by variable."""
    weights = torch.linspace(-1, 1, logits.shape[-1])
    f = SeparableObjective(lambda samples: (samples * weights).sum(-1))
    generator = torch.Generator().manual_seed(0)
    return lambda: gradient(draw, logits, f, generator)


def timed_in_turns(*work: Callable[[], object]) -> tuple[list[float], ...]:
    """Seconds of every repeat of each, after one call that does not count.

    Time of this thread, which runs backward passes of CPU tensors too: other programs do not count.
    """
    for one in work:
        one()
    times: tuple[list[float], ...] = tuple([] for _ in work)
    end = time.perf_counter() + SECONDS
    while len(times[0]) < 5 or (len(times[0]) < REPEATS and time.perf_counter() < end):
        for one, seconds in zip(work, times, strict=True):
            started = time.thread_time()
            one()
            seconds.append(time.thread_time() - started)
    return times


def peak_bytes(work: Callable[[], object]) -> int:
    """Bytes of tensors alive at most while ``work`` runs."""
    with _LiveStorages() as storages:
        work()
    peak: int = storages.peak
    return peak


class _LiveStorages(TorchDispatchMode):
    """Counts the bytes of storages that operations return, as long as they live.

    Storages inside one operation are not seen. Works alike on every device, and for backward passes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.peak: int = 0
        self._now = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and look at what it returns."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self._now -= size
