"""Where compiled steps are kept, so that a machine compiles a program once and not once per process.

By default torch keeps what it compiled below the temporary directory, which a restart empties and a container
does not share. Here it lies in the cache directory of the user, like data sets. The code is made for the
processor at hand (``-march=native``), which torch's names of files do not tell: since machines that differ
may share a home directory, every kind of processor has a directory of its own.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import pooch

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
    wanted = {VARIABLE: str(found), PROGRAMS: str(found / "programs")} if found else {}
    return {name: given.get(name) or value for name, value in wanted.items()}


def folder(given: Mapping[str, str], *, cache: Path | None = None) -> Path | None:
    """Where a process with the environment ``given`` keeps what it compiles; it exists and can be written to.

    Args:
        given: may set the directory.
        cache: the directory below which to keep it otherwise; default: that of the user
            (``$XDG_CACHE_HOME/heunboard``, by default ``~/.cache/heunboard``, on Linux).

    Returns:
        ``None`` when the directory cannot be made or written to.
    """
    ours = (cache or Path(pooch.os_cache("heunboard"))) / f"compiled-{processor()}"
    found = Path(given.get(VARIABLE) or ours)
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return found if os.access(found, os.W_OK) else None


def processor(info: Path = CPU_INFO) -> str:
    """Names the instructions that this machine understands: the same for all machines that agree in them."""
    text = info.read_text() if info.exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)  # x86, ARM
    flags = found[1] if found else platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
