"""Which data sets are on this machine, and getting those that are not. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.datasets import files, listops
from benchmarks.datasets.catalogue import LISTOPS_REGENERATED, DataSet, File
from benchmarks.datasets.files import WrongChecksum

State = Literal["here", "right", "wrong", "missing"]
"""``here``: unchecked; ``right`` and ``wrong``: its checksum; ``missing``: in none of the places."""

_MAKERS: Mapping[str, Callable[..., object]] = {LISTOPS_REGENERATED.id: listops.load}
"""What leaves the files that cannot be fetched in the cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file of a data set, and what is known of it.

    Attributes:
        file: which.
        state: see :data:`State`.
        path: where it lies, if it is here.
        bytes: its size there.
        message: what is wrong with it.
    """

    file: File
    state: State
    path: Path | None = None
    bytes: int = 0
    message: str = ""


def inventory(data_set: DataSet, *, check: bool, data_dir: Path | None = None) -> list[Entry]:
    """Its files, one by one.

    Args:
        data_set: whose.
        check: whether contents are read and compared with their checksums.
        data_dir: first place to look; default ``HEUNBOARD_DATA_DIR`` when that is set.
    """
    folder, cache = data_dir or files.environment_dir(), files.cache_dir()
    return [
        _entry(file, files.found(data_set, file, data_dir=folder, cache=cache), check)
        for file in data_set.every_file
    ]


def fetch(data_set: DataSet, *, data_dir: Path | None = None) -> None:
    """Get what is missing: from the mirrors into the cache, or made here where there is a way.

    Raises:
        DatasetUnavailable: no mirror has it; the message says where it was sought and what to do.
        WrongChecksum: a file that lies here is not the right one.
    """
    if maker := _MAKERS.get(data_set.id):
        maker(data_dir=data_dir)
        return
    for file in data_set.every_file:
        files.content(data_set, file, data_dir=data_dir)


def _entry(file: File, path: Path | None, check: bool) -> Entry:
    if path is None:
        return Entry(file=file, state="missing")
    size = path.stat().st_size
    if not check:
        return Entry(file=file, state="here", path=path, bytes=size)
    try:
        files.checked(path.read_bytes(), path, file)
    except WrongChecksum as error:
        return Entry(file=file, state="wrong", path=path, bytes=size, message=str(error))
    return Entry(file=file, state="right", path=path, bytes=size)
