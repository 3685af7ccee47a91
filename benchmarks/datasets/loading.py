"""Images of the data sets of the catalogue: found, or fetched from public mirrors, and always checked.

A file is looked for in ``HEUNBOARD_DATA_DIR`` (as ``<dir>/mnist/train-images-idx3-ubyte.gz``), then in the
cache directory of the user, then on the mirrors, from where it goes into the cache. What is checked is the
content after decompression: mirrors compress the same bytes differently. What has been checked and decoded
is kept in the cache for all processes of the machine (:mod:`benchmarks.datasets.decoded`).

The file format ("idx") is a big-endian header followed by bytes.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
import torch
from torch import Tensor

from benchmarks.datasets import decoded
from benchmarks.datasets.catalogue import DATA_SETS, DataSet, File

_IDX_IMAGES = 0x0803  # magic number: unsigned bytes, three dimensions
_HEADER_BYTES = 16
_KEY_DIGITS = 16

Fetch = Callable[[str, Path], None]
"""Downloads a URL to a path; raises OSError or ValueError when it cannot."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Grey values 0 to 255 as bytes, ``(N, pixels)``, rows from top to bottom."""

    train: Tensor
    test: Tensor


class DatasetUnavailable(Exception):
    """A data set was not found and could not be fetched; the message says where it was sought."""


class WrongChecksum(Exception):
    """A file is not what it should be; the message names it."""


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
        name: ``mnist`` or ``fashion_mnist``.
        data_dir: first place to look; default ``HEUNBOARD_DATA_DIR`` when that is set.

    Raises:
        DatasetUnavailable: see :func:`read`.
        WrongChecksum: see :func:`read`.
    """
    return _load(name, data_dir or environment_dir())


def is_available(name: str, *, data_dir: Path | None = None) -> bool:
    """Whether :func:`load` succeeds now (which may mean a download)."""
    try:
        load(name, data_dir=data_dir)
    except (DatasetUnavailable, WrongChecksum):
        return False
    return True


@functools.cache
def _load(name: str, data_dir: Path | None) -> Images:
    return read(DATA_SETS[name], data_dir=data_dir, cache=Path(pooch.os_cache("heunboard")))


def environment_dir() -> Path | None:
    """``HEUNBOARD_DATA_DIR``, when that is set."""
    value = os.environ.get("HEUNBOARD_DATA_DIR")
    return Path(value) if value else None


def download(url: str, target: Path) -> None:
    """Fetch with pooch."""
    pooch.HTTPDownloader(timeout=30)(url, str(target), None)


def read(data_set: DataSet, *, data_dir: Path | None, cache: Path, fetch: Fetch = download) -> Images:
    """Find, check and decode both files of a data set.

    Raises:
        DatasetUnavailable: a file lies in neither folder and no mirror gave it.
        WrongChecksum: a file that lies there is not the right one.
    """
    tensors = []
    for file in (data_set.train, data_set.test):
        paths = [folder / data_set.id / file.name for folder in (data_dir, cache) if folder is not None]
        found = next((path for path in paths if path.is_file()), None)
        path = found or _fetched(data_set, file, paths, fetch)
        tensors.append(_images(path, file, data_set.pixels, cache / "decoded"))
    return Images(train=tensors[0], test=tensors[1])


def _images(path: Path, file: File, pixels: int, folder: Path) -> Tensor:
    source = path.read_bytes()

    def decode() -> decoded.Bytes:
        return _decode(_checked(source, path, file))

    # Both what lies there, so that a changed file is checked anew, and what is wanted.
    key = f"{file.sha256[:_KEY_DIGITS]}-{hashlib.sha256(source).hexdigest()}"
    return torch.from_numpy(decoded.shared(key, (file.examples, pixels), folder=folder, decode=decode))


def _checked(source: bytes, path: Path, file: File) -> bytes:
    """The decompressed content of a file, if it has the right checksum."""
    try:
        content = gzip.decompress(source)
    except (OSError, EOFError, zlib.error) as error:
        raise WrongChecksum(f"{path} cannot be read as gzip ({error}); delete it and try again") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise WrongChecksum(
            f"{path} is not the {file.name} that results are computed with: its decompressed content has "
            f"SHA-256 {digest}, expected {file.sha256}; delete it and try again"
        )
    return content


def _fetched(data_set: DataSet, file: File, sought: list[Path], fetch: Fetch) -> Path:
    """Download into the last of the places sought, from the first mirror whose file is right."""
    target = sought[-1]
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    failures = []
    for mirror in data_set.mirrors:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(mirror + file.name, partial)
            _checked(partial.read_bytes(), partial, file)
            return partial.replace(target)
        except (OSError, ValueError, WrongChecksum) as error:
            failures.append(f"  {mirror}{file.name}: {error}")
        finally:
            partial.unlink(missing_ok=True)
    raise DatasetUnavailable(_advice(data_set, file, sought, failures))


def _advice(data_set: DataSet, file: File, sought: list[Path], failures: list[str]) -> str:
    places = [f"  {path}: no such file" for path in sought]
    return "\n".join(
        [
            f"data set {data_set.id!r} is not available: {file.name} was sought at",
            *places,
            *failures,
            f"Put {data_set.train.name} and {data_set.test.name} into <dir>/{data_set.id}/ and set "
            "HEUNBOARD_DATA_DIR=<dir>, or run once with access to one of the addresses above.",
        ]
    )


def _decode(content: bytes) -> decoded.Bytes:
    """Images of an idx file as ``(N, rows * columns)`` bytes.

    Raises:
        ValueError: the header does not describe images, or not this content.
    """
    magic, count, rows, columns = (int(n) for n in np.frombuffer(content[:_HEADER_BYTES], dtype=">u4"))
    size = _HEADER_BYTES + count * rows * columns
    if magic != _IDX_IMAGES or len(content) != size:
        raise ValueError(
            f"not an idx file of images: magic number {magic:#06x} (expected {_IDX_IMAGES:#06x}), "
            f"{len(content)} bytes (its header says {size})"
        )
    # A copy that may be written to, as torch asks of what it takes over.
    pixels = np.frombuffer(bytearray(content), dtype=np.uint8, offset=_HEADER_BYTES)
    return pixels.reshape(count, rows * columns)
