"""Images with labels, for tasks that classify."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets import files, loading
from benchmarks.datasets.catalogue import CATALOGUE, CIFAR10, CIFAR100, DATA_SETS

_CIFAR_PIXELS = 3 * 32 * 32
_MEMBERS: Mapping[str, tuple[tuple[str, ...], str, int]] = {
    CIFAR10.id: (
        tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
        "cifar-10-batches-bin/test_batch.bin",
        1,
    ),
    CIFAR100.id: (("cifar-100-binary/train.bin",), "cifar-100-binary/test.bin", 2),
}
"""Members of the archives with training and test images, and the bytes of labels before an image's pixels."""


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Values 0 to 255 as bytes ``(N, channels * rows * columns)``, channel by channel, and classes ``(N,)``.

    Attributes:
        train, test: images.
        train_labels, test_labels: classes, int64.
        channels: of an image.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    channels: int


def load(name: str, *, data_dir: Path | None = None) -> LabelledImages:
    """A data set with labels: ``mnist``, ``fashion_mnist``, ``cifar10`` or ``cifar100`` (fine labels).

    Raises:
        DatasetUnavailable, WrongChecksum: see :func:`benchmarks.datasets.files.content`.
        ValueError: it has no labels.
    """
    if name in DATA_SETS:
        images, (train, test) = loading.load(name, data_dir=data_dir), loading.labels(name, data_dir=data_dir)
        return LabelledImages(
            train=images.train, train_labels=train, test=images.test, test_labels=test, channels=1
        )
    if name not in _MEMBERS:
        raise ValueError(f"{name} has no labelled images; there are {', '.join([*DATA_SETS, *_MEMBERS])}")
    data_set = CATALOGUE[name]
    return from_archive(name, files.content(data_set, data_set.files[0], data_dir=data_dir))


def from_archive(name: str, archive: bytes) -> LabelledImages:
    """CIFAR's binary archive: records of one or two labels (the last is the fine one) and 3,072 pixels."""
    train, test, labels = _MEMBERS[name]
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        parts = [_records(tar, members, labels) for members in (train, (test,))]
    (train_images, train_labels), (test_images, test_labels) = parts
    return LabelledImages(
        train=train_images,
        train_labels=train_labels,
        test=test_images,
        test_labels=test_labels,
        channels=3,
    )


def _records(tar: tarfile.TarFile, members: tuple[str, ...], labels: int) -> tuple[Tensor, Tensor]:
    content = bytearray()
    for member in members:
        file = tar.extractfile(member)
        content += file.read() if file else b""
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, labels + _CIFAR_PIXELS)
    images = torch.from_numpy(records[:, labels:].copy())
    return images, torch.from_numpy(records[:, labels - 1].copy()).long()
