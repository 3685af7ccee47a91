"""Where compiled steps are kept, so that a machine compiles a program once and not once per process.

By default torch keeps what it compiled below the temporary directory, which a restart empties and a container
does not share. Here it lies in the cache directory of the user, like data sets. The code is made for the
processor at hand (``-march=native``), which torch's names of files do not tell: since machines that differ
may share a home directory, every kind of processor has a directory of its own.

What lies there is executed: a directory that others can write to is not used, whoever named it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pooch

_log = logging.getLogger(__name__)

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
PROGRAMS = "HEUNBOARD_PROGRAMS"
"""Environment variable with the folder of finished programs, see :mod:`benchmarks.engine.compiled.store`.
The other one is also set by torch itself, once it has compiled something."""
CPU_INFO = Path("/proc/cpuinfo")


def environment(given: Mapping[str, str], *, cache: Path | None = None) -> dict[str, str]:
    """Variables to add to the environment of a process that compiles.

    Args:
        given: the environment it would have otherwise; directories that are set there are kept.
        cache: as for :func:`folder`.

    Returns:
        Two variables; none when there is no place to write to: torch then uses its own below the temporary
        directory, and programs are not kept.
    """
    found = folder(given, cache=cache)
    if found is None:
        return {}
    programs = Path(given.get(PROGRAMS) or found / "programs")
    if not _is_trusted(programs):
        programs = found / "programs"
    return {VARIABLE: str(found), PROGRAMS: str(programs)}


def folder(given: Mapping[str, str], *, cache: Path | None = None) -> Path | None:
    """Where a process with the environment ``given`` keeps what it compiles; it exists and can be written to.

    Args:
        given: may set the directory.
        cache: the directory below which to keep it otherwise; default: that of the user
            (``$XDG_CACHE_HOME/heunboard``, by default ``~/.cache/heunboard``, on Linux).

    Returns:
        ``None`` when no directory can be made, or written to by this user and nobody else.
    """
    ours = default_folder(cache)
    if (named := given.get(VARIABLE)) and _is_trusted(Path(named)):
        return _made(Path(named))
    return _made(ours) if _is_trusted(ours) else None


def default_folder(cache: Path | None = None) -> Path:
    """The directory for processors of this kind below that of the user, or below ``cache``."""
    return (cache or Path(pooch.os_cache("heunboard"))) / f"compiled-{processor()}"


def others_can_write(found: Path) -> bool:
    """Whether another user could put code there that this one runs; root is not another."""
    try:
        status = found.stat()
    except OSError:
        return False  # it is not there, or cannot be reached: then it is not used either
    return status.st_uid not in (0, os.getuid()) or bool(status.st_mode & stat.S_IWOTH)


def _is_trusted(found: Path) -> bool:
    if others_can_write(found):
        _log.warning(
            "%s is not used: others can write to it, and what lies there is executed. Make it this user's, "
            "with `chmod o-w`, or name another directory",
            found,
        )
        return False
    return True


def _made(found: Path) -> Path | None:
    try:
        found.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return found if os.access(found, os.W_OK) else None


def processor(info: Path = CPU_INFO) -> str:
    """Names the instructions that this machine understands: the same for all machines that agree in them."""
    text = info.read_text() if info.exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)  # x86, ARM
    flags = found[1] if found else platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
