"""What this machine can do on one thread: matmul, functions, random numbers, updates.

Each rate is that of the fastest of many repeats, with what PyTorch and NumPy offer to everybody.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

SECONDS = 0.1
"""Time spent on each measurement."""

_BLOCK = 2**14  # numbers, 64 KiB: the first or second cache holds them

Matmul = tuple[int, int, int]
"""(m, k, n) of ``(m, k) @ (k, n)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Seconds per number.

    Attributes:
        exp, log: of a float32 in cache.
        noise: a random number of 32 bits, from the fastest generator.
        adam: update of one of a million parameters by the fused Adam.
    """

    exp: float
    log: float
    noise: float
    adam: float


def measure() -> Rates:
    """Measure this machine; sets the number of threads to one."""
    torch.set_num_threads(1)
    x = torch.rand(_BLOCK) + 0.5
    out = torch.empty_like(x)
    generators: list[Callable[[], object]] = [
        lambda: torch.rand(_BLOCK, out=out),
        functools.partial(np.random.Philox(1).random_raw, _BLOCK // 2),  # a word of 64 bits makes two numbers
        functools.partial(np.random.SFC64(1).random_raw, _BLOCK // 2),
    ]
    return Rates(
        exp=fastest(lambda: torch.exp(x, out=out)) / _BLOCK,
        log=fastest(lambda: torch.log(x, out=out)) / _BLOCK,
        noise=min(map(fastest, generators)) / _BLOCK,
        adam=_adam((784, 512, 256, 32, 256, 512, 784)),
    )


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest call."""
    work()
    best, end = math.inf, time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end:
        work()
        best = min(best, time.perf_counter() - began)
    return best


def chain(matmuls: Sequence[Matmul]) -> float:
    """Seconds of these matmuls one after the other, each by what is fastest for its shape."""
    chosen = {matmul: _fastest_way(matmul) for matmul in set(matmuls)}
    work = [chosen[matmul](*_operands(matmul)) for matmul in matmuls]

    def all_of_them() -> None:
        for one in work:
            one()

    return fastest(all_of_them)


_Way = Callable[[Tensor, Tensor], Callable[[], Tensor]]


def _fastest_way(matmul: Matmul) -> _Way:
    """PyTorch's own choice of library, or oneDNN with operands in its layout: which is faster varies."""
    ways: list[_Way] = [_as_it_is]
    if torch.backends.mkldnn.is_available():
        ways.append(_by_onednn)
    a, b = _operands(matmul)
    return min(ways, key=lambda way: fastest(way(a, b)))


def _as_it_is(a: Tensor, b: Tensor) -> Callable[[], Tensor]:
    return lambda: torch.mm(a, b)


def _by_onednn(a: Tensor, b: Tensor) -> Callable[[], Tensor]:
    x, weight = a.to_mkldnn(), b.T.contiguous().to_mkldnn()
    return lambda: linear(x, weight)


def _operands(matmul: Matmul) -> tuple[Tensor, Tensor]:
    m, k, n = matmul
    return torch.randn(m, k), torch.randn(k, n)


def _adam(widths: Sequence[int]) -> float:
    """Seconds per parameter, in a perceptron of these widths."""
    layers = [nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)]
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.Adam(parameters, fused=True)
    return fastest(optimizer.step) / sum(parameter.numel() for parameter in parameters)
