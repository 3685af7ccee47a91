"""Compiles the kernels with the compiler that torch compiles steps with, once on a machine.

The result lies beside the compiled steps (:mod:`benchmarks.process.compile_cache`), or in a directory of
this process where there is no such place.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.process import compile_cache

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILER = "CXX"
"""Environment variable that names the compiler, as for torch; default ``g++``."""
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-ffp-contract=fast",  # one instruction for a product and a sum
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
)
_SECONDS = 300.0


class BuildError(RuntimeError):
    """The kernels could not be compiled or loaded; the message says why."""


def load(
    *, environment: Mapping[str, str] = os.environ, source: Path = SOURCE, folder: Path | None = None
) -> ctypes.CDLL:
    """The compiled kernels.

    Args:
        environment: names the compiler and the place.
        source: what to compile.
        folder: where to keep the result; default as the module says.

    Raises:
        BuildError: no compiler, or one that does not take the source, or a result that cannot be loaded.
    """
    compiler = shlex.split(environment.get(COMPILER) or "g++")
    folder = folder or compile_cache.folder(environment) or _own_folder()
    text = source.read_bytes()
    settings = "\n".join([*compiler, *FLAGS, compile_cache.processor()]).encode()
    path = folder / f"{source.stem}-{hashlib.sha256(text + settings).hexdigest()[:16]}.so"
    if not path.exists():
        _compile([*compiler, *FLAGS], source, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise BuildError(f"cannot load the compiled kernels: {error}") from error


def _compile(command: Sequence[str], source: Path, path: Path) -> None:
    """Compile to a name of this process and move the result to its place: others may do the same."""
    mine = path.with_suffix(f".{os.getpid()}")
    try:
        result = subprocess.run(
            [*command, "-o", str(mine), str(source)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
        if result.returncode:
            said = result.stderr.strip()
            telling = next((line for line in said.splitlines() if "error" in line), said)
            raise BuildError(f"{command[0]} cannot compile {source.name}: {telling}")
        mine.rename(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"cannot compile {source.name} with {command[0]}: {error}") from error
    finally:
        mine.unlink(missing_ok=True)


@functools.cache  # kept until the process ends, since what is loaded lies in it
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="heunboard-kernels-")


def _own_folder() -> Path:
    return Path(_temporary().name)
