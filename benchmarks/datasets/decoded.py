"""Decoded arrays that the processes of a machine share.

Decompressing and checking a data set takes a quarter of a second, each process of a machine would do it
again, and each would hold a copy of its own. So the first one leaves the array in a file, which all map into
their memory: its pages exist once. The mapping is copy-on-write: what a process writes into its array stays
with it.

A file holds the bytes of the array and nothing else. Its name says what it was made from and its shape; one
that is not as long as its shape says is made again.
"""

from __future__ import annotations

import contextlib
import math
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def shared(key: str, shape: tuple[int, ...], *, folder: Path, decode: Callable[[], Bytes]) -> Bytes:
    """An array of bytes, from its file where there is one.

    Args:
        key: part of a file's name that says what the array is made from; another source has another key.
        shape: of the array.
        folder: where the files lie. Where it cannot be written to, nothing is kept.
        decode: makes the array; what it raises is passed on.

    Raises:
        ValueError: the array that was made has another shape.
    """
    path = folder / f"{key}-{'x'.join(map(str, shape))}.u8"
    if (found := _mapped(path, shape)) is not None:
        return found
    array = decode()
    if array.shape != shape:
        raise ValueError(f"an array of shape {shape} was expected, there is one of {array.shape}")
    with contextlib.suppress(OSError):
        _store(array, path)
    found = _mapped(path, shape)
    return array if found is None else found


def _mapped(path: Path, shape: tuple[int, ...]) -> Bytes | None:
    """The array of a file; ``None`` when there is none, or it is too short or too long."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != math.prod(shape):
                return None
            return np.memmap(file, dtype=np.uint8, mode="c", shape=shape)
    except OSError:
        return None


def _store(array: Bytes, path: Path) -> None:
    """Write under a name of its own and move it to its place: others may do the same, or be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.write(array.tobytes())
            file.flush()
            os.fsync(file.fileno())  # a file of the right length without its content would pass for whole
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
