"""Values on the command lines of the benchmarks, checked before anything is measured, and defaults."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.sweep_file.issues import Issues, SpecError
from benchmarks.sweep_file.parameters import read_axes
from estimators import Parameter, Value


def whole_number(text: str) -> int:
    """A whole number from 1.

    Raises:
        ArgumentTypeError: something else.
    """
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A finite number above 0.

    Raises:
        ArgumentTypeError: something else.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return value


def device(text: str) -> str:
    """``cpu``, ``cuda`` or ``cuda:N`` that is here.

    Raises:
        ArgumentTypeError: another name, or a CUDA device that torch does not find.
    """
    try:
        wanted = torch.device(text)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda"):
        raise ArgumentTypeError(f"expected cpu, cuda or cuda:N, got {text!r}")
    if wanted.type == "cuda" and (wanted.index or 0) >= (found := torch.cuda.device_count()):
        there = "no CUDA device" if not found else f"CUDA devices 0 to {found - 1}"
        raise ArgumentTypeError(f"torch finds {there} here, got {text!r}; try cpu")
    return text


def output_file(text: str) -> Path:
    """A file that can be written; its folder is made.

    Raises:
        ArgumentTypeError: it cannot, and why.
    """
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentTypeError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    if path.is_dir():
        raise ArgumentTypeError(f"expected a file, {text!r} is a folder")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError(f"no permission to write {text!r}")
    return path


def settings(texts: Sequence[str], parameters: Sequence[Parameter], *, of: str) -> dict[str, Value]:
    """Values of parameters from ``NAME=VALUE``, read and checked as those of a sweep file.

    Args:
        texts: as given.
        parameters: those that may be named.
        of: what they belong to, for messages.

    Raises:
        ArgumentTypeError: all that is wrong with them.
    """
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ArgumentTypeError(f"--set {text}: expected NAME=VALUE, as in --set batch_size=10")
        if name in given:
            raise ArgumentTypeError(f"--set {name} came twice, as {given[name]} and {value}; keep one")
        given[name] = value
    issues = Issues()
    axes = read_axes(given, parameters, "", issues, of=of)
    try:
        issues.raise_if_any("--set")
    except SpecError as error:
        raise ArgumentTypeError("; ".join(f"--set {str(p).lstrip('/')}" for p in error.issues)) from error
    return {name: values[0] for name, values in axes if name in given}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
