"""The cells of NATS-Bench's topology space: their numbers, names and accuracies. Does not import torch.

A cell has four nodes; node i is the sum over j < i of an operation on node j. The six edges are ordered by i,
then j, as in the strings of the benchmark: ``|OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|``.

Source: Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and
Size", IEEE TPAMI 2021.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""In the order of an edge's logits."""
NONE, SKIP, CONVOLUTION_1, CONVOLUTION_3, POOL = range(len(OPERATIONS))
NODES = 4
EDGES = tuple((source, target) for target in range(1, NODES) for source in range(target))
"""Source and target of every edge."""
CELLS = len(OPERATIONS) ** len(EDGES)
COLUMNS = tuple(
    f"{data}_{split}" for data in ("cifar10", "cifar100", "imagenet16_120") for split in ("val", "test")
)
"""Of the table: accuracies in percent after 200 epochs."""

Choice = tuple[int, ...]
"""An operation for every edge."""

Table = Mapping[str, Mapping[str, float]]
"""By the string of a cell, its accuracies; in the order of the benchmark's index."""


def name(choice: Sequence[int]) -> str:
    """The string of a cell: of the operations of its six edges."""
    places = iter(zip(choice, EDGES, strict=True))
    nodes = (itertools.islice(places, target) for target in range(1, NODES))
    return "+".join("|" + "|".join(f"{OPERATIONS[k]}~{s}" for k, (s, _) in node) + "|" for node in nodes)


def choices() -> Iterator[Choice]:
    """All cells, the operation of the last edge changing fastest."""
    return itertools.product(range(len(OPERATIONS)), repeat=len(EDGES))


def named(table: Table, index: float) -> str:
    """The string of the cell that a trial reports by its index.

    Args:
        table: of the benchmark (:func:`benchmarks.datasets.nats_bench.load`).
        index: of the cell in the benchmark.

    Raises:
        ValueError: there is no such cell.
    """
    cells = tuple(table)
    if not (float(index).is_integer() and 0 <= index < len(cells)):
        raise ValueError(f"cells have indices from 0 to {len(cells) - 1}, got {index}")
    return cells[int(index)]


def looked_up(table: Table, columns: Sequence[str]) -> list[list[float]]:
    """For every cell in the order of :func:`choices`: its index, and its numbers in ``columns``.

    Raises:
        ValueError: a cell is missing.
    """
    index = {cell: place for place, cell in enumerate(table)}
    cells = [name(choice) for choice in choices()]
    missing = [cell for cell in cells if cell not in index]
    if missing:
        raise ValueError(f"the table lacks {len(missing)} of {CELLS} cells, the first is {missing[0]}")
    return [[float(index[cell]), *(table[cell][column] for column in columns)] for cell in cells]
