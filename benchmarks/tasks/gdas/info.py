"""The registry entry of GDAS. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.datasets.catalogue import CATALOGUE, NATS_BENCH
from benchmarks.tasks.citations import GDAS
from benchmarks.tasks.gdas.cells import COLUMNS, EDGES, OPERATIONS
from benchmarks.tasks.gdas.references import references
from benchmarks.tasks.gdas.sizes import SIDES, SOURCES, flop, source, split_sizes
from benchmarks.tasks.info import Facts, Metric, Space, Split, TaskInfo, choice, epochs, whole
from estimators.info import Parameter, Value

LOOKED_UP = tuple(column.replace("_val", "_valid") + "_accuracy" for column in COLUMNS)
"""Metrics that stand in the table, in the order of its columns."""
FIXED: Mapping[str, Value] = {"beta1": 0.5}
"""What the protocol fixes of the sweep's optimizer, the architecture's."""
_DATA_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16_120": "ImageNet16-120"}


def _describe(v: Mapping[str, Value]) -> str:
    epochs = "1 epoch" if v["epochs"] == 1 else f"{v['epochs']} epochs"
    size = f"C = {v['channels']}, N = {v['cells']}, {str(v['size']).replace('x', '×')}"
    return f"GDAS on {source(v).title}, {v['network']} network, {size}, {epochs}"


def _steps_per_epoch(v: Mapping[str, Value]) -> int:
    return -(-split_sizes(v)["train"] // int(v["batch_size"]))


def _facts(v: Mapping[str, Value]) -> Facts:
    return Facts(
        spaces={"cell": Space(variables=len(EDGES), categories=len(OPERATIONS))},
        flop=flop(v),
    )


def _looked_up() -> Iterator[Metric]:
    for name in LOOKED_UP:
        data, split, _ = name.rsplit("_", 2)
        shown: Split = "valid" if split == "valid" else "test"
        training = (
            "half of the training images" if name == "cifar10_valid_accuracy" else "all training images"
        )
        yield Metric(
            name=name,
            title=f"{_DATA_TITLES[data]} {split}",
            unit="%",
            goal="maximize",
            split=shown,
            description=f"Looked up for the likeliest cell: its {split} accuracy on {_DATA_TITLES[data]} "
            f"when it is trained alone for 200 epochs on {training}.",
        )


INFO = TaskInfo(
    id="gdas",
    title="GDAS on NATS-Bench",
    citations=(GDAS,),
    parameters=(
        choice(
            "dataset",
            "cifar10",
            SOURCES,
            "Images that are searched on; fashion_mnist is a stand-in for them.",
        ),
        choice(
            "network",
            "full",
            ("full", "sparse"),
            "Whether all operations of an edge are evaluated, or the drawn one alone.",
        ),
        choice("size", "32x32", SIDES, "Pixels of an image; 16x16 are means of 2x2 pixels."),
        whole(
            "images",
            0,
            "Images for the weights, and as many for the architecture, as far as there are; 0: all.",
            minimum=0,
            maximum=50_000,
        ),
        whole("channels", 16, "Channels C of the first stage.", maximum=256),
        whole("cells", 5, "Cells N of a stage.", maximum=20),
        whole("batch_size", 64, "Images per update, of either kind.", maximum=10_000),
        Parameter(
            name="final_temperature",
            type=float,
            default=1.0,
            minimum=0.0,
            open_minimum=True,
            maximum=1.0,
            description="Share of the estimator's temperature in the last epoch, reached linearly by epoch; "
            "1: constant. GDAS: 0.01, with temperature 10.",
        ),
        epochs(default=100, description="Passes over the images that train the weights."),
    ),
    metrics=(
        *_looked_up(),
        Metric(
            name="cell",
            title="Cell",
            unit="",
            goal="minimize",
            split="valid",
            description="Index in NATS-Bench of the likeliest cell; neither direction is better.",
        ),
        Metric(
            name="train_loss",
            title="Train loss",
            unit="nats",
            goal="minimize",
            split="train",
            description="Mean of the epoch's cross-entropies when weights were updated, in drawn cells.",
        ),
        Metric(
            name="train_accuracy",
            title="Train accuracy",
            unit="%",
            goal="maximize",
            split="train",
            description="The same of the super-network's accuracy.",
        ),
        Metric(
            name="search_loss",
            title="Search loss",
            unit="nats",
            goal="minimize",
            split="valid",
            description="Mean of the epoch's estimates of the expected cross-entropy when the architecture "
            "was updated.",
        ),
    ),
    select="cifar10_valid_accuracy",
    report=("cifar10_valid_accuracy", "cifar10_test_accuracy", "cell"),
    optimizers=("adam",),
    fixed=FIXED,
    default_lr=3e-4,
    version=1,
    describe=_describe,
    facts=_facts,
    splits=split_sizes,
    steps_per_epoch=_steps_per_epoch,
    references=references,
    target="benchmarks.tasks.gdas.task:Gdas",
    small={"size": "16x16", "channels": 2, "cells": 1, "batch_size": 20},
    reads_data=True,
    data=lambda v: (CATALOGUE[str(v["dataset"])], NATS_BENCH),
)
