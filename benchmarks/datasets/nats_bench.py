"""The table of NATS-Bench's topology space: what every cell reaches, without training one."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from benchmarks.datasets import files
from benchmarks.datasets.catalogue import NATS_BENCH

_NAMES = ("index", "arch")


def load(*, data_dir: Path | None = None) -> dict[str, dict[str, float]]:
    """Cell -> column -> value: accuracies in %, seconds of training, parameters in millions.

    Cells are written as in NATS-Bench, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, in the order of its indices.

    Raises:
        DatasetUnavailable, WrongChecksum: see :func:`benchmarks.datasets.files.content`.
    """
    return parsed(files.content(NATS_BENCH, NATS_BENCH.files[0], data_dir=data_dir))


def parsed(content: bytes) -> dict[str, dict[str, float]]:
    """The same from the text of the table."""
    rows = csv.DictReader(io.StringIO(content.decode()))
    return {
        row["arch"]: {name: float(value) for name, value in row.items() if name not in _NAMES} for row in rows
    }
