"""Registry entries of the prototypes. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tasks.info import Facts, Metric, Reduction, Space, Split, TaskInfo, epochs
from estimators.info import Parameter, Value

VAE_SPLITS: Mapping[Split, int] = {"train": 23, "valid": 9, "test": 7}
PIXELS, UPPER, LOWER = 12, 3, 4

CELL_SPLITS: Mapping[Split, int] = {"train": 44, "valid": 30, "test": 25}
EDGES, OPERATIONS, INPUTS, CLASSES = 3, 4, 6, 3


def _whole(name: str, default: int, description: str) -> Parameter:
    return Parameter(name=name, type=int, default=default, minimum=1, maximum=10_000, description=description)


def _steps(splits: Mapping[Split, int], v: Mapping[str, Value]) -> int:
    return -(-splits["train"] // int(v["batch_size"]))


def _neg_elbo(split: Split) -> Metric:
    return Metric(
        name=f"{split}_neg_elbo",
        title=f"{split.capitalize()} −ELBO",
        unit="nats",
        goal="minimize",
        split=split,
        description=f"Mean over the {split} images, binarised anew.",
    )


def _accuracy(name: str, split: Split, description: str, reduction: Reduction | None = None) -> Metric:
    title = name.replace("_", " ").capitalize()
    return Metric(
        name=name,
        title=title,
        unit="",
        goal="maximize",
        split=split,
        description=description,
        reduction=reduction,
    )


def _loss(name: str, split: Split, description: str) -> Metric:
    title = name.replace("_", " ").capitalize()
    return Metric(name=name, title=title, unit="nats", goal="minimize", split=split, description=description)


BERNOULLI_VAE = TaskInfo(
    id="prototype_bernoulli_vae",
    title="Hierarchical Bernoulli VAE (prototype)",
    parameters=(
        _whole("batch_size", 5, "Images per update."),
        _whole("samples", 2, "Samples per image of an estimator that draws one a pass."),
        epochs(default=3, description="Passes over the training images."),
    ),
    metrics=(_neg_elbo("train"), _neg_elbo("valid"), _neg_elbo("test")),
    select="valid_neg_elbo",
    report=("train_neg_elbo", "test_neg_elbo"),
    optimizers=("adam", "radam"),
    default_lr=1e-2,
    version=1,
    describe=lambda v: f"Bernoulli VAE {UPPER} + {LOWER}, K = {v['samples']}",
    facts=lambda v: Facts(
        spaces={
            "upper": Space(variables=UPPER, categories=2, rows=int(v["batch_size"])),
            "lower": Space(variables=LOWER, categories=2, rows=int(v["batch_size"])),
        },
        flop=6.0 * 16 * (2 * PIXELS + 2 * LOWER + 2 * UPPER) * int(v["batch_size"]),
        nested=True,
    ),
    splits=lambda v: VAE_SPLITS,
    steps_per_epoch=lambda v: _steps(VAE_SPLITS, v),
    references=lambda v: (),
    target="tests.support.prototypes.bernoulli_vae:BernoulliVAE",
)

SEARCH_CELL = TaskInfo(
    id="prototype_search_cell",
    title="Architecture search in one cell (prototype)",
    parameters=(
        _whole("batch_size", 8, "Vectors per update."),
        _whole("width", 6, "Width of a node of the cell."),
        epochs(default=3, description="Passes over the vectors that train the weights."),
    ),
    metrics=(
        _loss("train_loss", "train", "Mean of the epoch's cross-entropies when the weights were updated."),
        _loss("search_loss", "valid", "The same when the architecture was updated."),
        _accuracy("valid_accuracy", "valid", "Of the likeliest cell with the weights of the search."),
        _accuracy("test_accuracy", "test", "Of the likeliest cell with the weights of the search."),
        _accuracy("accuracy", "test", "Looked up: that of the likeliest cell when it is trained alone."),
    ),
    select="valid_accuracy",
    report=("accuracy", "test_accuracy"),
    optimizers=("adam", "radam"),
    fixed={"beta1": 0.5, "eps": 1e-4},
    default_lr=1e-2,
    version=1,
    describe=lambda v: f"Search cell of {EDGES} edges",
    facts=lambda v: Facts(
        spaces={"cell": Space(variables=EDGES, categories=OPERATIONS)},
        flop=2 * 6.0 * 2 * EDGES * int(v["width"]) ** 2 * int(v["batch_size"]),
    ),
    splits=lambda v: CELL_SPLITS,
    steps_per_epoch=lambda v: _steps(CELL_SPLITS, v),
    references=lambda v: (),
    target="tests.support.prototypes.search_cell:SearchCell",
)
