"""Random numbers by the kernel: those of :mod:`benchmarks.engine.noise`, bit for bit, in a call.

In operations of tensors they can be recorded, and a compiled step makes them where it uses them; run one by
one, those are a hundred operations, which take twenty times as long as the kernel.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from benchmarks.kernels import build

Kind = Literal["uniform float32", "centred float32", "uniform float64"]

SOURCE = Path(__file__).with_name("noise.cpp")
_logger = logging.getLogger(__name__)
_NUMBER: dict[Kind, int] = {"uniform float32": 0, "centred float32": 1, "uniform float64": 2}


def numbers(kind: Kind, keys: Tensor, *, purpose: int, step: int, draw: int, count: int) -> Tensor | None:
    """Numbers ``(lanes, count)`` of lanes' streams.

    Args:
        kind: of which kind.
        keys: ``(lanes, 2)`` int64, on the CPU.
        purpose, step, draw: parts of the counter, of which the low 32 bits count.
        count: of each lane.

    Returns:
        ``None`` where there are no kernels.
    """
    found = library()
    if found is None:
        return None
    keys = keys.contiguous()
    made = torch.empty(len(keys), count, dtype=torch.float64 if kind == "uniform float64" else torch.float32)
    found.heunboard_noise(
        len(keys), count, keys.data_ptr(), purpose, step, draw, _NUMBER[kind], made.data_ptr()
    )
    return made


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel with the types of its arguments; ``None`` where it cannot be had."""
    try:
        found = build.load(source=SOURCE)
    except build.BuildError as error:
        _logger.warning("Random numbers are left to torch: %s", error)
        return None
    size, memory, word = ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint32
    found.heunboard_noise.argtypes = [size] * 2 + [memory] + [word] * 3 + [ctypes.c_int, memory]
    found.heunboard_noise.restype = None
    return found
