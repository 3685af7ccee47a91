"""What the code of a plug-in is: a digest of its source files.

The key of a trial holds the version that a plug-in declares. The digest tells where the code has changed and
the version has not. The files are read and not run, so nothing imports torch.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from importlib import util
from pathlib import Path

SUFFIXES = frozenset({".py", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h"})
"""Of files that are sources; data, logs and compiled programs beside them do not count."""

DIGITS = 16


@functools.cache  # the code in memory is that of the first import, whatever is changed later
def fingerprint(modules: tuple[str, ...]) -> str | None:
    """A digest of all sources of the packages in which these modules are; ``None`` where none can be read, as
    in a zip file."""
    try:
        contents = {
            name: path.read_bytes() for module in modules for name, path in _sources(module.split("."))
        }
    except (ImportError, ValueError, OSError):
        return None
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGITS] if contents else None


def _sources(names: list[str]) -> Iterator[tuple[str, Path]]:
    """Name and place of every source file of the outermost package of a module.

    Namespace packages have no file of their own and are passed over: several distributions may share one.
    """
    for depth in range(1, len(names) + 1):
        spec = util.find_spec(".".join(names[:depth]))
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        if spec.submodule_search_locations is None:
            yield spec.name, origin
            return
        for path in origin.parent.rglob("*"):
            if path.suffix in SUFFIXES and path.is_file():
                yield f"{spec.name}/{path.relative_to(origin.parent).as_posix()}", path
        return
