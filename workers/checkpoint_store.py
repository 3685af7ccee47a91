"""Where checkpoints lie: files in a directory, or in any other place that fsspec knows an address for."""

from __future__ import annotations

import contextlib
import logging
import posixpath
from collections.abc import Iterable

import fsspec
from fsspec.spec import AbstractFileSystem

from workers.ports import CheckpointName, CheckpointStore

_log = logging.getLogger(__name__)

PART = ".part"
"""Ends the name of a file that is being written."""


class NoStore(Exception):
    """The address of a store cannot be used."""


class FsspecStore:
    """Implements :class:`workers.ports.CheckpointStore` for every address that fsspec can open.

    A file appears under its name when all of it is there: it is written under another name and renamed where
    the file system can rename (a directory, SFTP, HDFS), and put whole where it cannot, which object stores
    do at once. Where neither holds, the digest that is kept elsewhere shows a torn file.

    Args:
        url: a directory, or an address such as ``s3://bucket/checkpoints``.

    Raises:
        NoStore: nothing that is installed can open such an address.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise NoStore(f"checkpoints cannot be kept at {url!r}: {error}") from error
        self._renames = type(self._files).mv is not AbstractFileSystem.mv

    def write(self, name: CheckpointName, content: bytes) -> None:
        """Keep the content under the name."""
        path = self._path(name)
        written = path + PART if self._renames else path
        try:
            self._files.pipe_file(written, content)
        except FileNotFoundError:  # the first file; object stores have no directories and never come here
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(written, content)
        if written != path:
            self._files.mv(written, path)

    def read(self, name: CheckpointName) -> bytes:
        """What was kept under the name; FileNotFoundError when there is nothing."""
        content: bytes = self._files.cat_file(self._path(name))
        return content

    def remove(self, names: Iterable[CheckpointName]) -> None:
        """Forget what was kept under the names, whole or in part."""
        for name in names:
            for path in (self._path(name), self._path(name) + PART):
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)

    def names(self) -> list[CheckpointName]:
        """All that there is, whole or in part; files of others are left out."""
        self._files.invalidate_cache()  # other processes have written meanwhile
        try:
            paths = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        found = (CheckpointName.of_file(posixpath.basename(str(path))) for path in paths)
        return sorted({name for name in found if name is not None})

    def _path(self, name: CheckpointName) -> str:
        return posixpath.join(self._root, name.file)


def opened(url: str | None) -> CheckpointStore | None:
    """The store at an address, if there is one and this machine can open it; else that is logged."""
    if url is None:
        return None
    try:
        return FsspecStore(url)
    except NoStore as error:
        _log.warning("%s", error)
        return None
