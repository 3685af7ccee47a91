"""Tasks of tests, registered as those of other packages are: by entry points of an installed distribution."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.tasks import registry

ESTIMATORS = "heunboard.estimators"
ESTIMATOR = """
from estimators import Citation, EstimatorInfo, Properties
from estimators.evaluations import ONE

INFO = EstimatorInfo(
    id="halved", title="Straight-through, halved", parameters=(), cost=ONE, equation="J(pi) g / 2", version=1,
    target="halved.path:halved",
    properties=Properties(kind="path", unbiased=False, needs_grad=True),
    citation=Citation(key="me2026", authors="Me", title="Half", venue="unpublished", year=2026, kind="misc"),
)
"""
FUNCTION = """
from estimators import st

def halved(logits, *, generator=None):
    z = st(logits, generator=generator)
    return z.detach() + (z - z.detach()) / 2
"""
FAILING = """
def halved(logits, *, generator=None):
    raise RuntimeError("this estimator is not finished")
"""


@contextmanager
def registered(folder: Path, entries: Mapping[str, str]) -> Iterator[None]:
    """Within, the tasks that ``entries`` name (``module:INFO`` by name of the entry point) are registered.

    Args:
        folder: an empty one, where the distribution's metadata are written.
        entries: the entry points.
    """
    metadata = folder / "tasks_of_tests-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tasks_of_tests\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in entries.items()]
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{''.join(lines)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        registry.forget_plugins()
        yield
    registry.forget_plugins()


def distribution(
    site: Path,
    name: str,
    *,
    version: str = "1.0",
    modules: Mapping[str, str] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Install a distribution into a folder that processes find by ``PYTHONPATH``, as an installer would.

    Args:
        site: the folder.
        name: of the distribution.
        version: likewise.
        modules: the texts of its Python files by their paths.
        entry_points: by group, what they name by their names.
    """
    for path, text in (modules or {}).items():
        file = site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in (entry_points or {}).items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


def path_with(site: Path) -> str:
    """A ``PYTHONPATH`` of this program with a folder in front of it."""
    return os.pathsep.join([str(site), str(Path(registry.__file__).resolve().parents[2])])


def install_halved(
    site: Path, *, version: str = "1.2", function: str = FUNCTION, info: str = ESTIMATOR
) -> None:
    """A package with an estimator, ``halved``."""
    distribution(
        site,
        "halved-estimators",
        version=version,
        modules={"halved/__init__.py": info, "halved/path.py": function},
        entry_points={ESTIMATORS: {"halved": "halved:INFO"}},
    )
