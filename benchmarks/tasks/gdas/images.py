"""Images for architecture search: which train weights and which the architecture; how they are varied.

The weights' images come first in the training file. The architecture's are those behind them, as many; on
CIFAR-100 the first half of the test file, as in NATS-Bench. That divides CIFAR-10's images in two by a list
of its own instead; the order of the file is a random one, too.

Every image is mirrored with probability 1/2 and moved by up to 4 pixels (2 of 16) in both directions, black
coming in; then each colour is brought to mean 0 and variance 1 over the weights' images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.datasets import labelled
from benchmarks.tasks.gdas.sizes import side_of, source, split_sizes
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Value

_LARGEST_SIDE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Images ``(N, colours, side, side)`` as bytes, and int64 labels ``(N,)``."""

    images: Tensor
    labels: Tensor


def load(values: Mapping[str, Value], data_dir: Path | None) -> dict[Split, Labelled]:
    """The images that ``dataset, images, size`` name, by split.

    Raises:
        DatasetUnavailable: the data set can be neither found nor fetched.
    """
    name, counts = str(values["dataset"]), split_sizes(values)
    found = labelled.load(name, data_dir=data_dir)
    train, valid = counts["train"], counts["valid"]
    if name == "cifar100":
        others, other_labels = found.test[:valid], found.test_labels[:valid]
    else:
        rows = slice(train, train + valid)
        others, other_labels = found.train[rows], found.train_labels[rows]

    def sized(pixels: Tensor, labels: Tensor) -> Labelled:
        return Labelled(images=_sized(pixels, found.channels, side_of(values)), labels=labels)

    return {
        "train": sized(found.train[:train], found.train_labels[:train]),
        "valid": sized(others, other_labels),
    }


def random(values: Mapping[str, Value], counts: Mapping[Split, int]) -> dict[Split, Labelled]:
    """So many images of random bytes, always the same."""
    generator = torch.Generator().manual_seed(0)
    data, side = source(values), side_of(values)
    return {
        split: Labelled(
            images=torch.randint(
                256, (count, data.colours, side, side), dtype=torch.uint8, generator=generator
            ),
            labels=torch.randint(data.classes, (count,), generator=generator),
        )
        for split, count in counts.items()
    }


def _sized(pixels: Tensor, colours: int, side: int) -> Tensor:
    """Rows of bytes as images: framed in black to 32x32; of 16x16, means of 2x2 pixels of these."""
    given = round((pixels[0].numel() / colours) ** 0.5)
    frame = (_LARGEST_SIDE - given) // 2
    images = functional.pad(pixels.view(-1, colours, given, given), (frame,) * 4)
    if side == _LARGEST_SIDE:
        return images
    return functional.avg_pool2d(images.float(), _LARGEST_SIDE // side).round().to(torch.uint8)


class Augmentation:
    """Images of minibatches, mirrored, moved and normalised.

    Args:
        images: ``(N, colours, side, side)``, by whose statistics they are normalised.
    """

    def __init__(self, images: Tensor) -> None:
        grey = images.double().transpose(0, 1).flatten(1)
        self._mean = grey.mean(1).float()[:, None, None]
        self._deviation = grey.std(1, correction=0).float()[:, None, None]
        self._reach = images.shape[-1] // 8

    def __call__(self, images: Tensor, noise: NoiseSource) -> Tensor:
        """Of images ``(lanes, B, colours, side, side)`` as bytes.

        Args:
            images: as they are.
            noise: three numbers for every image.
        """
        u = noise.uniform((images.shape[0], 3, images.shape[1]), dtype=torch.float32, device=images.device)
        mirrored, *offsets = u.unbind(1)
        moves = [((2 * self._reach + 1) * offset).floor().long() - self._reach for offset in offsets]
        return self.varied(images, mirrored < 0.5, *moves)

    def varied(self, images: Tensor, mirrored: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Each image mirrored or not, and the pixel (r, c) of the result that at (r + down, c + right).

        Args:
            images: ``(lanes, B, colours, side, side)``.
            mirrored: ``(lanes, B)`` booleans.
            down, right: whole numbers ``(lanes, B)``.
        """
        side = images.shape[-1]
        place = torch.arange(side, device=images.device)
        rows, columns = place + down.unsqueeze(-1), place + right.unsqueeze(-1)
        inside = (_within(rows, side).unsqueeze(-1) & _within(columns, side).unsqueeze(-2)).unsqueeze(2)
        rows, columns = rows.clamp(0, side - 1), columns.clamp(0, side - 1)
        columns = torch.where(mirrored.unsqueeze(-1), side - 1 - columns, columns)
        source = (rows.unsqueeze(-1) * side + columns.unsqueeze(-2)).flatten(2).unsqueeze(2)
        flat = images.flatten(3).gather(3, source.expand(-1, -1, images.shape[2], -1))
        return (flat.view(images.shape) * inside - self._mean) / self._deviation


def _within(place: Tensor, side: int) -> Tensor:
    return (place >= 0) & (place < side)
