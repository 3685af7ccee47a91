"""Images of the data sets of the catalogue, decoded.

Files are found, fetched and checked by :mod:`benchmarks.datasets.files`. What has been checked and decoded is
kept in the cache for all processes of the machine (:mod:`benchmarks.datasets.decoded`).

The file format ("idx") is a big-endian header followed by bytes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets import decoded, files
from benchmarks.datasets.catalogue import DATA_SETS, File, ImageSet
from benchmarks.datasets.files import DatasetUnavailable, Fetch, WrongChecksum, download

_IDX_IMAGES, _IDX_LABELS = 0x0803, 0x0801  # magic numbers: unsigned bytes, three dimensions or one
_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Images:
    """Grey values 0 to 255 as bytes, ``(N, pixels)``, rows from top to bottom."""

    train: Tensor
    test: Tensor


def random_images(*, train: int, test: int, pixels: int) -> Images:
    """So many images of random bytes, always the same: for programs that need images and no data set."""
    generator = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (count, pixels), dtype=torch.uint8, generator=generator)
        for count in (train, test)
    ]
    return Images(train=pictures[0], test=pictures[1])


def load(name: str, *, data_dir: Path | None = None) -> Images:
    """The images of a data set of the catalogue; read and checked once per process.

    Args:
        name: an id of ``DATA_SETS``.
        data_dir: first place to look; default ``HEUNBOARD_DATA_DIR`` when that is set.

    Raises:
        DatasetUnavailable: see :func:`read`.
        WrongChecksum: see :func:`read`.
    """
    return _load(name, data_dir or files.environment_dir())


def is_available(name: str, *, data_dir: Path | None = None) -> bool:
    """Whether :func:`load` succeeds now (which may mean a download)."""
    try:
        load(name, data_dir=data_dir)
    except (DatasetUnavailable, WrongChecksum):
        return False
    return True


@functools.cache
def _load(name: str, data_dir: Path | None) -> Images:
    return read(DATA_SETS[name], data_dir=data_dir, cache=files.cache_dir())


def read(data_set: ImageSet, *, data_dir: Path | None, cache: Path, fetch: Fetch = download) -> Images:
    """Find, check and decode both image files of a data set.

    Raises:
        DatasetUnavailable: a file lies in neither folder and no mirror gave it.
        WrongChecksum: a file that lies there is not the right one.
    """
    tensors = []
    for file in (data_set.train, data_set.test):
        path = files.obtained(data_set, file, data_dir=data_dir, cache=cache, fetch=fetch)
        tensors.append(_images(path, file, data_set.pixels, cache / "decoded"))
    return Images(train=tensors[0], test=tensors[1])


def labels(name: str, *, data_dir: Path | None = None) -> tuple[Tensor, Tensor]:
    """Labels of the training and the test images, int64 ``(N,)``.

    Raises:
        ValueError: the data set has none.
        DatasetUnavailable, WrongChecksum: see :func:`read`.
    """
    data_set = DATA_SETS[name]
    if data_set.labels is None:
        raise ValueError(f"{data_set.title} has no labels here")
    train, test = (_labels(files.content(data_set, file, data_dir=data_dir)) for file in data_set.labels)
    return train, test


def _images(path: Path, file: File, pixels: int, folder: Path) -> Tensor:
    source = path.read_bytes()

    def decode() -> decoded.Bytes:
        return _decode(files.checked(source, path, file))

    # Both what lies there, so that a changed file is checked anew, and what is wanted.
    key = f"{file.sha256[:_KEY_DIGITS]}-{hashlib.sha256(source).hexdigest()}"
    return torch.from_numpy(decoded.shared(key, (file.examples, pixels), folder=folder, decode=decode))


def _decode(content: bytes) -> decoded.Bytes:
    """Images of an idx file as ``(N, rows * columns)`` bytes.

    Raises:
        ValueError: the header does not describe images, or not this content.
    """
    return _array(content, _IDX_IMAGES, dimensions=3).reshape(_sizes(content, 3)[0], -1)


def _labels(content: bytes) -> Tensor:
    return torch.from_numpy(_array(content, _IDX_LABELS, dimensions=1)).long()


def _array(content: bytes, magic: int, *, dimensions: int) -> decoded.Bytes:
    """The bytes behind the header."""
    header = 4 * (1 + dimensions)
    found = int.from_bytes(content[:4], "big")
    size = header + int(np.prod(_sizes(content, dimensions)))
    if found != magic or len(content) != size:
        kind = "images" if dimensions > 1 else "labels"
        raise ValueError(
            f"not an idx file of {kind}: magic number {found:#06x} (expected {magic:#06x}), "
            f"{len(content)} bytes (its header says {size})"
        )
    # A copy that may be written to, as torch asks of what it takes over.
    return np.frombuffer(bytearray(content), dtype=np.uint8, offset=header)


def _sizes(content: bytes, dimensions: int) -> Sequence[int]:
    return [int(n) for n in np.frombuffer(content[4 : 4 * (1 + dimensions)], dtype=">u4")]
