"""Tables of what is known of a task, as CSV files beside it. Does not import torch.

Numbers of papers are no such tables: they belong to suites, see :mod:`benchmarks.suites`.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

Row = dict[str, str]


@functools.cache
def table(package: str, name: str) -> tuple[Row, ...]:
    """The rows of ``<name>.csv`` in a package, every value as it is written there."""
    with resources.files(package).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
