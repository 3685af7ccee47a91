"""How large data and network are, and what a step costs. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.tasks.gdas.cells import EDGES, OPERATIONS
from benchmarks.tasks.info import Split
from estimators.info import Value

Values = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A data set to search on.

    Attributes:
        title: what pages show.
        colours: of an image.
        classes: of the labels.
        train, valid: most images for the weights, and for the architecture.
    """

    title: str
    colours: int
    classes: int
    train: int
    valid: int


SOURCES = {
    "cifar10": Source(title="CIFAR-10", colours=3, classes=10, train=25_000, valid=25_000),
    "cifar100": Source(title="CIFAR-100", colours=3, classes=100, train=50_000, valid=5_000),
    "fashion_mnist": Source(
        title="Fashion-MNIST (stand-in)", colours=1, classes=10, train=30_000, valid=30_000
    ),
}
"""By name. Fashion-MNIST stands in for CIFAR where that is not at hand: no cell was trained on it alone."""
SIDES = {"32x32": 32, "16x16": 16}


def side_of(v: Values) -> int:
    """Pixels of an image in either direction."""
    return SIDES[str(v["size"])]


def source(v: Values) -> Source:
    """The data set that the parameters name."""
    return SOURCES[str(v["dataset"])]


def split_sizes(v: Values) -> Mapping[Split, int]:
    """Images for the weights (``train``) and for the architecture (``valid``)."""
    data, count = source(v), int(v["images"])
    return {
        "train": min(count, data.train) if count else data.train,
        "valid": min(count, data.valid) if count else data.valid,
    }


def multiply_adds(v: Values, *, per_pixel: float) -> float:
    """Of a forward pass of one image.

    Args:
        v: parameters of the task.
        per_pixel: multiplications of an edge for a pixel, in units of the square of its channels: 9 for a 3x3
            convolution, 2 for an edge that is drawn uniformly, 10 where all operations are computed.
    """
    side, width, data = side_of(v), int(v["channels"]), source(v)
    total = 9.0 * data.colours * width * side**2
    for stage in range(3):
        total += int(v["cells"]) * len(EDGES) * per_pixel * (width * side) ** 2
        if stage < 2:
            side, width = side // 2, 2 * width
            total += (9 * (width // 2) + 9 * width + width // 2) * width * side**2
    return total + width * data.classes


ALL, UNIFORM = 10.0, 10.0 / len(OPERATIONS)
"""For :func:`multiply_adds`: 1 + 9 of both convolutions; of an operation that is drawn."""


def flop(v: Values) -> float:
    """Of a step with one evaluation of the architecture's loss, multiply and add counted apart.

    Forward and backward are three forward passes. The weights are trained in the drawn cell alone.
    """
    searched = ALL if v["network"] == "full" else UNIFORM
    passes = multiply_adds(v, per_pixel=UNIFORM) + multiply_adds(v, per_pixel=searched)
    return 2 * 3.0 * passes * int(v["batch_size"])
