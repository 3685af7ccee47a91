"""Whether a worker has what its trials are made of: their task and estimators, in the versions of their keys.

A trial's key holds the versions of its task, estimators and optimizer. What another version computes is
another result, so it is refused before anything is computed, with the package to install, and where. Other
code of a plug-in under the same version may compute the same, as after a changed comment: it is warned of.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from benchmarks.engine.optimizers import registry as optimizers
from benchmarks.spec import Component, TrialSpec
from benchmarks.tasks import registry as tasks
from estimators import registry as estimators
from estimators.plugins import RESTART, Package
from workers.version import package_version

Noun = Literal["task", "estimator", "optimizer"]
Part = tuple[Noun, Component]

HEUNBOARD = "heunboard"


class MissingComponent(Exception):
    """This worker does not have what a trial is made of."""


def parts(spec: TrialSpec) -> Iterator[Part]:
    """What a trial is made of."""
    yield "task", spec.task
    yield "estimator", spec.estimator
    yield "optimizer", spec.optimizer
    for other in spec.diagnostics.estimators if spec.diagnostics else ():
        yield "estimator", other


def packages_of(specs: Iterable[TrialSpec]) -> dict[str, str]:
    """The plug-in packages of this process that trials need: requirement by component, ``task/id``, and the
    fingerprint of its code by ``task/id/code``."""
    found = {}
    for noun, part in _distinct(specs):
        if package := _package(noun, part.id):
            found[_name(noun, part.id)] = f"{package.name}=={package.version}"
            if code := _fingerprint(noun, part.id):
                found[_code(noun, part.id)] = code
    return found


def plugins_of(specs: Iterable[TrialSpec]) -> dict[str, str]:
    """What this process computes trials with: package and fingerprint by component and its version,
    ``task/id@1``; only those of plug-ins."""
    found = {}
    for noun, part in _distinct(specs):
        if package := _package(noun, part.id):
            code = _fingerprint(noun, part.id) or "unknown"
            found[f"{_name(noun, part.id)}@{part.version}"] = f"{package}, code {code}"
    return found


def changed(specs: Iterable[TrialSpec], packages: Mapping[str, str]) -> list[str]:
    """What of trials has the version that the server has, and other code: a line each, with what to do.

    Args:
        specs: of the trials.
        packages: as :func:`packages_of` says on the server.
    """
    lines = []
    for noun, part in _distinct(specs):
        mine, theirs = _fingerprint(noun, part.id), packages.get(_code(noun, part.id))
        if mine and theirs and mine != theirs:
            here, there = _package(noun, part.id), packages[_name(noun, part.id)]
            lines.append(
                f"{noun} {part.id!r} version {part.version} has other code here ({here}, {mine}) than on the "
                f"server ({there}, {theirs}): its results may be mixed with others. If it computes something "
                "else by now, raise its version and submit the sweep again. Install the same package on "
                f"both, and {RESTART}"
            )
    return lines


def require(specs: Iterable[TrialSpec], packages: Mapping[str, str], *, host: str | None = None) -> None:
    """Refuse trials that are made of what this process does not have.

    Args:
        specs: of the trials.
        packages: as :func:`packages_of` says on the server.
        host: what this machine is called; default: by its own name.

    Raises:
        MissingComponent: saying what is missing, and what to install where.
    """
    for noun, part in _distinct(specs):
        wrong = _wrong(noun, part)
        if wrong:
            needed = packages.get(_name(noun, part.id), HEUNBOARD)
            raise MissingComponent(
                f"the worker on {host or socket.gethostname()} {wrong}: {_advice(needed, noun, part)}"
            )


def _distinct(specs: Iterable[TrialSpec]) -> list[Part]:
    """Each part once, whatever its parameters."""
    return list(
        {(noun, part.id, part.version): (noun, part) for spec in specs for noun, part in parts(spec)}.values()
    )


def _wrong(noun: Noun, part: Component) -> str:
    """What is wrong with this process's own; empty when nothing is."""
    registry = {"task": tasks, "estimator": estimators, "optimizer": optimizers}[noun]
    if part.id not in registry.available():
        why = "" if noun == "optimizer" else (tasks if noun == "task" else estimators).absence(part.id)
        return f"has no {noun} {part.id!r}" + (f" ({why})" if why else "")
    version = registry.get(part.id).version
    if version == part.version:
        return ""
    package = _package(noun, part.id) or Package(HEUNBOARD, package_version())
    return (
        f"has version {version} of {noun} {part.id!r} (of {package}), the trial is of version {part.version}"
    )


def _advice(needed: str, noun: Noun, part: Component) -> str:
    if needed == HEUNBOARD:
        return (
            f"install the same Heunboard there as on the server and restart the dispatcher, or submit the "
            f"sweep again if the server has another version of the {noun} by now"
        )
    return f"install {needed} there (pip install {needed}), restart the dispatcher, and retry the sweep"


def _package(noun: Noun, id: str) -> Package | None:
    if noun == "optimizer":
        return None
    return tasks.package(id) if noun == "task" else estimators.package(id)


def _fingerprint(noun: Noun, id: str) -> str | None:
    if noun == "optimizer":
        return None
    return tasks.fingerprint(id) if noun == "task" else estimators.fingerprint(id)


def _name(noun: Noun, id: str) -> str:
    return f"{noun}/{id}"


def _code(noun: Noun, id: str) -> str:
    return f"{_name(noun, id)}/code"
