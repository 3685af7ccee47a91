"""Sweep files: from text or Python data to a :class:`Sweep`. Does not import torch.

The same mistakes give the same issues whether a sweep comes as YAML, as JSON or as a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.sweep_file.document import parse
from benchmarks.sweep_file.grid import ComponentGrid, EstimatorGrid, Sweep
from benchmarks.sweep_file.issues import Issue, SpecError
from benchmarks.sweep_file.schema import SweepFile
from benchmarks.sweep_file.validation import validate

__all__ = [
    "ComponentGrid",
    "EstimatorGrid",
    "Issue",
    "SpecError",
    "Sweep",
    "SweepFile",
    "load_sweep",
    "read_sweep",
]


def load_sweep(text: str | bytes, *, source: str = "sweep") -> Sweep:
    """Read a sweep file.

    Args:
        text: YAML 1.2 or JSON, UTF-8, at most ``MAX_BODY_BYTES``.
        source: what messages call it, e.g. the file's name.

    Raises:
        SpecError: with everything that is wrong, each with its JSON pointer.
    """
    return validate(parse(text, source=source), source=source)


def read_sweep(data: Mapping[str, Any], *, source: str = "sweep") -> Sweep:
    """Read a sweep from Python data, as ``json`` would give it; tuples and ranges count as lists.

    Raises:
        SpecError: as for :func:`load_sweep`.
    """
    return validate(data, source=source)
