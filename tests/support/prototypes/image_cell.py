"""The search cell on made-up images: what is linear there is a convolution here.

That before the ReLU is of 3x3 pixels, the other of 1x1. Registered under the search cell's id and trained as
it is. Only the speed benchmark builds it, since its shapes are those of architecture search on images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks.contract import Parameters, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Value
from tests.support.prototypes.infos import CLASSES, EDGES, OPERATIONS
from tests.support.prototypes.layers import affine, seeded
from tests.support.prototypes.search_cell import EPS, LINEAR, RELU, SKIP, SearchCell, Statistics, names

COLOURS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large and how many images are.

    Attributes:
        side: pixels of an image, in either direction.
        train, valid, test: images of each split.
    """

    side: int = 4
    train: int = 44
    valid: int = 30
    test: int = 25

    @property
    def splits(self) -> dict[Split, int]:
        """Images of each split."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


class ImageCell(SearchCell):
    """The task for given parameters.

    Args:
        values: ``batch_size, width`` as the registry declares them; the width is the number of channels.
        device: where images and parameters lie.
        data_dir: not read.
        dtype: of images and parameters.
        sizes: of the data.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        dtype: torch.dtype = torch.float32,
        sizes: Sizes = Sizes(),
    ) -> None:
        super().__init__(values, device=device, dtype=dtype)
        self.splits = sizes.splits
        self.steps_per_epoch = -(-sizes.train // self.batch_size)
        self._data = {
            split: (x.to(device, dtype), y.to(device)) for split, (x, y) in coloured_images(sizes).items()
        }

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Weights uniform in +-1/sqrt(fan-in), architecture in +-0.001, running means 0 and variances 1."""
        like, channels = self._data["train"][0], self._width

        def uniform(*shape: int) -> Tensor:
            u = noise.uniform((lanes, *shape), dtype=like.dtype, device=like.device)
            return (2 * u - 1) / math.sqrt(math.prod(shape[1:]))

        weights: Parameters = {"stem.weight": uniform(channels, COLOURS, 3, 3)}
        buffers: Parameters = {}
        for edge in range(EDGES):
            for name, kernel in zip(names(edge), (1, 3), strict=True):
                weights[f"{name}.weight"] = uniform(channels, channels, kernel, kernel)
                buffers[f"{name}.mean"] = like.new_zeros(lanes, channels)
                buffers[f"{name}.var"] = like.new_ones(lanes, channels)
        weights |= {"head.weight": uniform(CLASSES, channels), "head.bias": like.new_zeros(lanes, CLASSES)}
        architecture = {"logits": 1e-3 * uniform(EDGES, OPERATIONS) * math.sqrt(OPERATIONS)}
        return Variables(groups={"weights": weights, "architecture": architecture}, buffers=buffers)

    def scores(
        self, variables: Variables, x: Tensor, cells: Tensor, seen: Statistics | None = None
    ) -> Tensor:
        """Scores of classes ``(lanes, K, B, classes)`` of the images ``(lanes, B, 3, side, side)``."""
        weights = variables.groups["weights"]
        stem = _convolved(x.unsqueeze(1), weights["stem.weight"])
        node_0 = stem.expand(-1, cells.shape[1], *stem.shape[2:])
        node_1 = _edge(variables, 0, node_0, cells, seen)
        node_2 = _edge(variables, 1, node_0, cells, seen) + _edge(variables, 2, node_1, cells, seen)
        return affine(weights, "head", node_2.mean((-2, -1)))


def _edge(variables: Variables, edge: int, x: Tensor, cells: Tensor, seen: Statistics | None) -> Tensor:
    """All operations of an edge on x ``(lanes, K, B, channels, H, W)``, weighted as the cells have them."""
    d = cells[:, :, edge, :, None, None, None, None]
    of_linear, of_relu = (
        _normalised(variables, name, _convolved(x, variables.groups["weights"][f"{name}.weight"]), seen)
        for name in names(edge)
    )
    return d[:, :, SKIP] * x + d[:, :, LINEAR] * of_linear + d[:, :, RELU] * of_relu.relu()


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    """x ``(lanes, K, B, i, H, W)`` by each lane's weight ``(lanes, o, i, k, k)``, as high and wide as x."""
    lanes, draws, examples, _, *place = x.shape
    side_by_side = x.permute(1, 2, 0, 3, 4, 5).reshape(draws * examples, -1, *place)
    y = functional.conv2d(side_by_side, weight.flatten(0, 1), padding=weight.shape[-1] // 2, groups=lanes)
    return y.view(draws, examples, lanes, -1, *place).permute(2, 0, 1, 3, 4, 5)


def _normalised(variables: Variables, name: str, x: Tensor, seen: Statistics | None) -> Tensor:
    """Batch norm of x ``(lanes, K, B, channels, H, W)``, statistics ``(lanes, K, channels)``."""
    if seen is None:
        mean, variance = (variables.buffers[f"{name}.{kind}"].unsqueeze(1) for kind in ("mean", "var"))
    else:
        mean, variance = x.mean((2, 4, 5)), x.var((2, 4, 5), unbiased=False)
        seen.update({f"{name}.mean": mean.detach(), f"{name}.var": variance.detach()})
    return (x - _over_places(mean)) / (_over_places(variance) + EPS).sqrt()


def _over_places(statistic: Tensor) -> Tensor:
    return statistic[:, :, None, :, None, None]


def coloured_images(sizes: Sizes) -> dict[Split, tuple[Tensor, Tensor]]:
    """Normal images of every split, and their classes: which of three colours is strongest."""
    generator = seeded(0)
    found: dict[Split, tuple[Tensor, Tensor]] = {}
    for split, count in sizes.splits.items():
        x = torch.randn(count, COLOURS, sizes.side, sizes.side, generator=generator)
        found[split] = (x, x.mean((2, 3)).argmax(-1))
    return found
