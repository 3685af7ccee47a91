"""Files of data sets: found, or fetched from public mirrors, and always checked. Does not import torch.

A file is looked for in ``HEUNBOARD_DATA_DIR`` (as ``<dir>/mnist/train-images-idx3-ubyte.gz``), then in the
cache directory of the user, then among the files that come with this package, then on the mirrors, from where
it goes into the cache. What is checked is the
content after decompression: mirrors compress the same bytes differently.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pooch

from benchmarks.datasets.catalogue import DataSet, File

SHIPPED = Path(__file__).parent / "shipped"
"""Files that come with this package."""
_GZIP = b"\x1f\x8b"

Fetch = Callable[[str, Path], None]
"""Downloads a URL to a path; raises OSError or ValueError when it cannot."""


class DatasetUnavailable(Exception):
    """A data set was not found and could not be fetched; the message says where it was sought."""


class WrongChecksum(Exception):
    """A file is not what it should be; the message names it."""


def environment_dir() -> Path | None:
    """``HEUNBOARD_DATA_DIR``, when that is set."""
    value = os.environ.get("HEUNBOARD_DATA_DIR")
    return Path(value) if value else None


def cache_dir() -> Path:
    """Where fetched files go."""
    return Path(pooch.os_cache("heunboard"))


def download(url: str, target: Path) -> None:
    """Fetch with pooch."""
    pooch.HTTPDownloader(timeout=30)(url, str(target), None)


def _places(data_set: DataSet, file: File, *folders: Path | None) -> list[Path]:
    inner = data_set.folder or data_set.id
    return [folder / inner / file.name for folder in folders if folder is not None]


def found(data_set: DataSet, file: File, *, data_dir: Path | None, cache: Path) -> Path | None:
    """Where a file lies, unchecked; ``None`` if it is not here."""
    return next((path for path in _places(data_set, file, data_dir, cache, SHIPPED) if path.is_file()), None)


def obtained(
    data_set: DataSet, file: File, *, data_dir: Path | None, cache: Path, fetch: Fetch = download
) -> Path:
    """Where a file lies, after fetching it if need be.

    Raises:
        DatasetUnavailable: it lies nowhere and no mirror gave it.
    """
    path = found(data_set, file, data_dir=data_dir, cache=cache)
    return path or _fetched(data_set, file, _places(data_set, file, data_dir, cache), fetch)


def content(
    data_set: DataSet, file: File, *, data_dir: Path | None = None, cache: Path | None = None
) -> bytes:
    """The decompressed, checked content of a file, fetched if need be.

    Args:
        data_set: it is of.
        file: one of its files.
        data_dir: first place to look; default ``HEUNBOARD_DATA_DIR`` when that is set.
        cache: second place, and where a fetched file goes; default the user's cache.

    Raises:
        DatasetUnavailable: see :func:`obtained`.
        WrongChecksum: the file that lies there is not the right one.
    """
    path = obtained(data_set, file, data_dir=data_dir or environment_dir(), cache=cache or cache_dir())
    return checked(path.read_bytes(), path, file)


def checked(source: bytes, path: Path, file: File) -> bytes:
    """The decompressed content of a file, if it has the right checksum.

    Args:
        source: what lies at ``path``, gzipped or not; an archive stays as it is.
        path: for the message.
        file: what it should be.

    Raises:
        WrongChecksum: it has not.
    """
    whole = file.is_archive or not source.startswith(_GZIP)
    try:
        content = source if whole else gzip.decompress(source)
    except (OSError, EOFError, zlib.error) as error:
        raise WrongChecksum(f"{path} cannot be read as gzip ({error}); delete it and try again") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise WrongChecksum(
            f"{path} is not the {file.name} that results are computed with: its content has "
            f"SHA-256 {digest}, expected {file.sha256}; delete it and try again"
        )
    return content


def addresses(data_set: DataSet, file: File) -> list[str]:
    """Where a file may be fetched from, in the order in which it is tried."""
    return [*(mirror + file.name for mirror in data_set.mirrors), *file.addresses]


def _fetched(data_set: DataSet, file: File, sought: list[Path], fetch: Fetch) -> Path:
    """Download into the last of the places sought, from the first address whose file is right."""
    target = sought[-1]
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    failures = []
    for address in addresses(data_set, file):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(address, partial)
            checked(partial.read_bytes(), partial, file)
            return partial.replace(target)
        except (OSError, ValueError, WrongChecksum) as error:
            failures.append(f"  {address}: {error}")
        finally:
            partial.unlink(missing_ok=True)
    raise DatasetUnavailable(_advice(data_set, file, sought, failures))


def _advice(data_set: DataSet, file: File, sought: list[Path], failures: list[str]) -> str:
    again = ", or run once with access to one of the addresses above" if failures else ""
    folder = data_set.folder or data_set.id
    names = " and ".join(one.name for one in data_set.files)
    return "\n".join(
        [
            f"data set {data_set.id!r} is not available: {file.name} was sought at",
            *(f"  {path}: no such file" for path in sought),
            *failures,
            f"Put {names} into <dir>/{folder}/ and set HEUNBOARD_DATA_DIR=<dir>{again}.",
        ]
    )
