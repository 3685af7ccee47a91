"""The registry entry of the categorical VAE. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.datasets.catalogue import DATA_SETS, ImageSet
from benchmarks.tasks.categorical_vae.protocols import GREY, PROTOCOLS
from benchmarks.tasks.info import Facts, Metric, Space, Split, TaskInfo, choice, epochs, whole
from estimators.citations import REINMAX
from estimators.info import Parameter, Value


def _data_set(v: Mapping[str, Value]) -> ImageSet:
    return DATA_SETS[str(v["dataset"])]


def _describe(v: Mapping[str, Value]) -> str:
    epochs = "1 epoch" if v["epochs"] == 1 else f"{v['epochs']} epochs"
    protocol = PROTOCOLS[str(v["protocol"])].title
    images = f"{protocol} {_data_set(v).title}" if protocol else _data_set(v).title
    return f"Categorical VAE {v['categories']}×{v['latents']} on {images}, {epochs}"


def _splits(v: Mapping[str, Value]) -> Mapping[Split, int]:
    data = _data_set(v)
    first = PROTOCOLS[str(v["protocol"])].first
    return {"train": min(first or data.train.examples, data.train.examples), "test": data.test.examples}


def _steps_per_epoch(v: Mapping[str, Value]) -> int:
    return -(-_splits(v)["train"] // int(v["batch_size"]))


def _facts(v: Mapping[str, Value]) -> Facts:
    categories, latents, batch = int(v["categories"]), int(v["latents"]), int(v["batch_size"])
    weights = 2 * (_data_set(v).pixels * 512 + 512 * 256 + 256 * categories * latents)
    return Facts(
        spaces={"code": Space(variables=latents, categories=categories, rows=batch)},
        flop=6.0 * weights * batch,  # multiply and add, three passes
    )


INFO = TaskInfo(
    id="categorical_vae",
    title="Categorical VAE",
    citations=(REINMAX,),
    parameters=(
        choice("dataset", "mnist", DATA_SETS, "Images; what becomes of their grey values is the protocol's."),
        Parameter(
            name="protocol",
            type=str,
            default=GREY,
            neutral=GREY,
            choices=tuple(PROTOCOLS),
            description="; ".join(f"{name}: {each.description}" for name, each in PROTOCOLS.items()) + ".",
        ),
        whole("categories", 8, "Categories C of a latent.", minimum=2, maximum=1024),
        whole("latents", 4, "Latents L.", maximum=1024),
        whole("batch_size", 100, "Images per update."),
        epochs(default=160, description="Passes over the training images."),
    ),
    metrics=(
        Metric(
            name="train_neg_elbo",
            title="Train −ELBO",
            unit="nats",
            goal="minimize",
            split="train",
            description="Image-weighted mean of the epoch's minibatch losses, one draw per image.",
        ),
        Metric(
            name="test_neg_elbo",
            title="Test −ELBO",
            unit="nats",
            goal="minimize",
            split="test",
            description="Mean over the test images after the epoch, one draw per image.",
        ),
        Metric(
            name="train_bce",
            title="Train reconstruction",
            unit="nats",
            goal="minimize",
            split="train",
            description="The binary cross-entropy part of the train −ELBO.",
        ),
        Metric(
            name="train_kl",
            title="Train KL",
            unit="nats",
            goal="minimize",
            split="train",
            description="The Kullback-Leibler part of the train −ELBO.",
        ),
    ),
    select="train_neg_elbo",
    report=("train_neg_elbo", "test_neg_elbo"),
    optimizers=("adam", "radam", "sgd", "rmsprop"),
    default_lr=5e-4,
    version=2,
    describe=_describe,
    facts=_facts,
    splits=_splits,
    steps_per_epoch=_steps_per_epoch,
    target="benchmarks.tasks.categorical_vae.task:CategoricalVAE",
    small={"categories": 3, "latents": 2, "batch_size": 20},
    reads_data=True,
    data=lambda v: (_data_set(v),),
)
