"""What ``heunboard certify`` is given: an estimator or a function in a file, and values of its parameters."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from benchmarks.sweep_file.issues import Issues, SpecError, nearest
from benchmarks.sweep_file.parameters import read_axes
from estimators import registry
from estimators.info import EstimatorInfo, Value


def load(subject: str, like: str | None) -> EstimatorInfo:
    """The entry of the registry, or one that describes a function of the user's.

    Raises:
        typer.BadParameter: there is no such estimator, file or function, or it has another signature.
    """
    file, colon, name = subject.rpartition(":")
    if not colon and subject.endswith(".py"):
        raise typer.BadParameter(f"{subject} names a file only; name the function too: {subject}:FUNCTION")
    if not colon:
        check_id(subject)
        return registry.get(subject)
    from estimators.certify import describe  # torch takes seconds to import; other commands do without

    try:
        return describe(_function(Path(file), name), like=None if like is None else registry.get(like))
    except TypeError as error:
        raise typer.BadParameter(str(error)) from error


def read_settings(texts: Sequence[str], info: EstimatorInfo) -> dict[str, Value]:
    """Values of ``--set NAME=VALUE``, read and checked as those of a sweep file.

    Raises:
        typer.BadParameter: all that is wrong with them.
    """
    given = _pairs(texts)
    issues = Issues()
    axes = read_axes(given, info.parameters, "", issues, of=f"estimator {info.id!r}")
    try:
        issues.raise_if_any("--set")
    except SpecError as error:
        raise typer.BadParameter("; ".join(f"--set {str(p).lstrip('/')}" for p in error.issues)) from error
    return {name: values[0] for name, values in axes if name in given}


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"--set {text}: expected NAME=VALUE, as in --set temperature=0.5")
        if name in pairs:
            raise typer.BadParameter(f"--set {name} came twice, as {pairs[name]} and {value}; keep one")
        pairs[name] = value
    return pairs


def check_id(id: str) -> None:
    """Refuse what is no id of the registry; the message has the nearest one."""
    if any(one.id == id for one in registry.broken()):
        registry.get(id)  # raises PluginError, which names its package
    if id not in registry.available():
        near = nearest(id, registry.available())
        hint = f"did you mean {near!r}? There are" if near else "there are"
        raise typer.BadParameter(
            f"no estimator {id!r}; {hint} {', '.join(registry.available())}. A function of your own is "
            "path/to/file.py:function"
        )


def _function(file: Path, name: str) -> Callable[..., Any]:
    """Execute a file and take a function from it."""
    module = _module(file)
    function: object = getattr(module, name, None)
    if callable(function):
        return function
    found = f"{name!r} there is of type {type(function).__name__}" if function else f"it has no {name!r}"
    own = [n for n, x in vars(module).items() if inspect.isfunction(x) and x.__module__ == module.__name__]
    raise typer.BadParameter(f"{file} needs a function: {found}. Its functions: {', '.join(own) or 'none'}")


def _module(file: Path) -> ModuleType:
    """The file as a module whose name hides no other; it finds modules beside it, as a script does."""
    name = f"certified_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        state = "is no Python file" if file.exists() else f"does not exist in {Path.cwd()}"
        raise typer.BadParameter(f"{str(file)!r} {state}; expected path/to/file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and annotations of the file look themselves up there
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises is the answer
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        line = f" line {lines[-1]}" if lines else ""
        raise typer.BadParameter(f"{file} does not run:{line} {type(error).__name__}: {error}") from error
    return module
