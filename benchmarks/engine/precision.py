"""Precision of matmul on CUDA devices: float32, or TF32 where a trial asks for it.

TF32 rounds the inputs of a matmul to 10 bits of mantissa. It is a part of a trial's key: its results are not
those of float32. A CPU has no such mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.spec import Precision


def check(precision: Precision, device: torch.device) -> None:
    """Refuse what the device cannot do.

    Raises:
        ValueError: TF32 on another device than CUDA.
    """
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(
            f"precision tf32 needs a CUDA device, this is {device.type}; leave `precision` out for float32"
        )


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Matmul in this precision, whatever was set before, which returns."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
