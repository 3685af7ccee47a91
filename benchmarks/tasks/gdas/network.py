r"""The super-network: a stem, three stages of cells at C, 2C and 4C channels, a classifier.

    stem        3x3 convolution to C channels, BN
    stage       N cells; before the second and the third a residual block of stride 2:
                BN(conv(relu(BN(conv(relu(x)))))) + conv_1x1(mean of 2x2 pixels of x)
    end         BN without affine part, ReLU, mean over pixels, linear

All cells of a network have the same operations on their edges and weights of their own. Batch norms use the
statistics of the minibatch, always; those of stem and residual blocks have an affine part, those of cells
have none.

Source: the search space of NATS-Bench, see :mod:`benchmarks.tasks.gdas.cells`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks.contract import Parameters, linear
from benchmarks.tasks.gdas.cells import EDGES, NODES
from benchmarks.tasks.gdas.drawn import Weights, convolved, drawn, mixed, normalised, one_hot
from estimators import NoiseSource

STAGES = (1, 2, 4)
"""Multiples of C."""

Evaluated = Literal["all", "drawn", "drawn only"]
"""Which operations of an edge are computed: all five, weighted by the draw; the one that is drawn, and the
weights of the others added as bare numbers; the one that is drawn, whose weight is known to be 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperNetwork:
    """The network of given sizes.

    Attributes:
        colours: of an image.
        channels: C.
        cells: N, of a stage.
        classes: of the data.
    """

    colours: int
    channels: int
    cells: int
    classes: int

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of all weights, without the lane; a weight stands before its bias."""
        yield "stem.weight", (self.channels, self.colours, 3, 3)
        yield from _affine("stem", self.channels)
        for stage, multiple in enumerate(STAGES):
            width = multiple * self.channels
            if stage:
                yield from _shapes_of_block(stage, width)
            for cell in range(self.cells):
                for kind, side in _KERNELS.items():
                    yield f"cell.{stage}.{cell}.{kind}.weight", (len(EDGES), width, width, side, side)
                    yield f"cell.{stage}.{cell}.{kind}.bias", (len(EDGES), width)
        yield "head.weight", (self.classes, STAGES[-1] * self.channels)
        yield "head.bias", (self.classes,)

    def initial(self, noise: NoiseSource, lanes: int, device: torch.device) -> Parameters:
        """Weights and biases uniform in +-1/sqrt(fan-in), PyTorch's default; affine parts 1 and 0."""
        parameters: Parameters = {}
        bound = 1.0
        for name, shape in self.shapes():
            if name.endswith((".gain", ".shift")):
                parameters[name] = torch.full(
                    (lanes, *shape), float(name.endswith(".gain")), dtype=torch.float32, device=device
                )
                continue
            if name.endswith(".weight"):
                bound = 1 / math.sqrt(math.prod(shape[2 if name.startswith("cell") else 1 :]))
            u = noise.uniform((lanes, *shape), dtype=torch.float32, device=device)
            parameters[name] = (2 * u - 1) * bound
        return parameters

    def scores(self, parameters: Parameters, x: Tensor, places: Tensor, evaluated: Evaluated) -> Tensor:
        """Scores of classes ``(lanes, K, B, classes)``.

        Args:
            parameters: of the network, lanes first.
            x: images ``(lanes, B, colours, H, W)``.
            places: weights of the operations in each of K networks of a lane, ``(lanes, K, 6, 5)``.
            evaluated: which operations are computed. The one drawn is the largest of an edge's weights.
        """
        lanes, samples = places.shape[:2]
        node = normalised(
            convolved(x.transpose(0, 1), parameters["stem.weight"]), *_affine_of(parameters, "stem")
        )
        node = node.repeat_interleave(samples, 1) if samples > 1 else node
        weights = {name: _by_network(tensor, samples) for name, tensor in parameters.items()}
        edges = _Edges(places.flatten(0, 1), evaluated)
        for stage in range(len(STAGES)):
            node = _block(weights, f"block.{stage}", node) if stage else node
            for cell in range(self.cells):
                node = _cell(weights, f"cell.{stage}.{cell}", node, edges)
        features = normalised(node).relu().mean((-2, -1))
        rows = features.transpose(0, 1).unflatten(0, (lanes, samples))
        return linear(rows, parameters["head.weight"], parameters["head.bias"])


_KERNELS = {"one": 1, "three": 3}
_LEAVING = tuple(range(NODES - 1, 0, -1))
"""How many edges leave each node."""
_BY_SOURCE = sorted(range(len(EDGES)), key=lambda number: EDGES[number])
"""The edges in the order of the weights: by the node that they leave, then by the one they reach."""


def _affine(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.gain", (width,)
    yield f"{name}.shift", (width,)


def _shapes_of_block(stage: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Of a residual block, from half of ``width`` channels."""
    for name, inputs, side in (("first", width // 2, 3), ("second", width, 3), ("residual", width // 2, 1)):
        yield f"block.{stage}.{name}.weight", (width, inputs, side, side)
        if name != "residual":
            yield from _affine(f"block.{stage}.{name}", width)


def _affine_of(parameters: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return parameters[f"{name}.gain"], parameters[f"{name}.shift"]


def _by_network(tensor: Tensor, samples: int) -> Tensor:
    """A lane's weights for each of its networks: ``(lanes, ...)`` to ``(lanes K, ...)``."""
    return tensor.repeat_interleave(samples, 0) if samples > 1 else tensor


def _block(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """The residual block between two stages: half as high and wide, twice as many channels."""
    y = x
    for layer, stride in (("first", 2), ("second", 1)):
        y = convolved(y.relu(), weights[f"{name}.{layer}.weight"], stride=stride)
        y = normalised(y, *_affine_of(weights, f"{name}.{layer}"))
    halved = functional.avg_pool2d(x.flatten(1, 2), 2).unflatten(1, x.shape[1:3])
    return y + convolved(halved, weights[f"{name}.residual.weight"])


class _Edges:
    """How the edges of all cells weight their operations.

    Args:
        places: ``(G, 6, 5)``.
        evaluated: which operations are computed.
    """

    def __init__(self, places: Tensor, evaluated: Evaluated) -> None:
        self._evaluated = evaluated
        places = torch.stack([places[:, number] for number in _BY_SOURCE], 1)
        self._places = places.split(_LEAVING, 1)
        if evaluated != "all":
            choice = places.detach().argmax(-1)
            chosen = one_hot(choice, like=places)
            self._choice = choice.split(_LEAVING, 1)
            self._weight = _of_edges(places * chosen)
            self._others = _of_edges(places * (1 - chosen))

    def __call__(self, x: Tensor, weights: Weights, source: int) -> Tensor:
        """Of all edges that leave the node x, the number ``source``: ``(B, G, E, C, H, W)``."""
        if self._evaluated == "all":
            return mixed(x, weights, self._places[source])
        y = drawn(x, weights, self._choice[source])
        if self._evaluated == "drawn only":
            return y
        return self._weight[source] * y + self._others[source]


def _of_edges(places: Tensor) -> tuple[Tensor, ...]:
    """Sums over the operations, by source of an edge, beside ``(B, G, E, C, H, W)``."""
    each: tuple[Tensor, ...] = places.sum(-1)[..., None, None, None].split(_LEAVING, 1)
    return each


def _cell(weights: Mapping[str, Tensor], name: str, x: Tensor, edges: _Edges) -> Tensor:
    """The last node of a cell that begins with the node x."""
    own = Weights(
        *(weights[f"{name}.{kind}.{part}"] for kind in _KERNELS for part in ("weight", "bias")),
    )
    nodes = [x]
    begun: list[Tensor | None] = [None] * (NODES - 1)  # nodes 1 to 3, as far as their edges are known
    for source, weights_of in enumerate(zip(*(tensor.split(_LEAVING, 1) for tensor in own), strict=True)):
        ends = edges(nodes[source], Weights(*weights_of), source).unbind(2)
        begun = [end if before is None else before + end for before, end in zip(begun, ends, strict=True)]
        first = begun.pop(0)
        assert first is not None
        nodes.append(first)
    return nodes[-1]
