"""Curve values as bytes: little-endian float32, a NaN of a diverged epoch included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DTYPE = np.dtype("<f4")


def pack(values: Sequence[float]) -> bytes:
    """Bytes of ``values``; what float32 cannot hold becomes an infinity."""
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float64).astype(_DTYPE).tobytes()


def unpack(packed: bytes) -> NDArray[np.float64]:
    """The inverse of :func:`pack`."""
    return np.frombuffer(packed, dtype=_DTYPE).astype(np.float64)
