"""The registry of tasks: plain data, importable without torch."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tasks import references
from benchmarks.tasks.info import Metric, TaskInfo
from estimators.info import Parameter, Value


def _epochs(*, default: int, description: str) -> Parameter:
    return Parameter(
        name="epochs",
        type=int,
        default=default,
        minimum=1,
        maximum=10_000,
        lane=True,
        description=description,
    )


def _describe_polynomial(v: Mapping[str, Value]) -> str:
    target = "c = 0.45" if v["setting"] == "A" else "c spread over (0, 1)"
    steps = int(v["epochs"]) * int(v["steps_per_epoch"])
    return (
        f"Polynomial p = {v['p']:g}, {target}, L = {v['latents']}, batch {v['batch_size']}, {steps:,} steps"
    )


def _describe_vae(v: Mapping[str, Value]) -> str:
    data = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}[str(v["dataset"])]
    epochs = "1 epoch" if v["epochs"] == 1 else f"{v['epochs']} epochs"
    return f"Categorical VAE {v['categories']}×{v['latents']} on {data}, {epochs}"


_ENTRIES = (
    TaskInfo(
        id="polynomial",
        title="Polynomial programming",
        parameters=(
            Parameter(name="p", type=float, default=2.0, minimum=1.0, maximum=10.0, description="Exponent."),
            Parameter(
                name="setting",
                type=str,
                default="A",
                choices=("A", "B"),
                description="A: every target is 0.45; B: targets (i - 1/2)/L.",
            ),
            Parameter(
                name="latents",
                type=int,
                default=128,
                minimum=1,
                maximum=4096,
                description="Binary variables L.",
            ),
            Parameter(
                name="batch_size",
                type=int,
                default=256,
                minimum=1,
                maximum=65_536,
                description="Independent copies of the variables per step.",
            ),
            _epochs(default=40, description="Epochs."),
            Parameter(
                name="steps_per_epoch",
                type=int,
                default=200,
                minimum=1,
                maximum=100_000,
                description="Updates per epoch.",
            ),
        ),
        metrics=(
            Metric(
                name="expected_loss",
                title="Expected loss",
                unit="",
                goal="minimize",
                split="train",
                description="Exact expectation of the loss at the end of the epoch.",
            ),
            Metric(
                name="train_loss",
                title="Sampled loss",
                unit="",
                goal="minimize",
                split="train",
                description="Mean of the sampled minibatch losses of the epoch, each before its update.",
            ),
        ),
        select="expected_loss",
        report=("expected_loss", "train_loss"),
        optimizers=("adam", "radam"),
        default_lr=1e-3,
        version=1,
        describe=_describe_polynomial,
        categories=lambda v: 2,
        steps_per_epoch=lambda v: int(v["steps_per_epoch"]),
        references=references.polynomial,
        target="benchmarks.tasks.polynomial:Polynomial",
    ),
    TaskInfo(
        id="categorical_vae",
        title="Categorical VAE",
        parameters=(
            Parameter(
                name="dataset",
                type=str,
                default="mnist",
                choices=("mnist", "fashion_mnist"),
                description="Grey values in [0, 1] as inputs and targets.",
            ),
            Parameter(
                name="categories",
                type=int,
                default=8,
                minimum=2,
                maximum=1024,
                description="Categories C of a latent.",
            ),
            Parameter(name="latents", type=int, default=4, minimum=1, maximum=1024, description="Latents L."),
            Parameter(
                name="batch_size",
                type=int,
                default=100,
                minimum=1,
                maximum=10_000,
                description="Images per update.",
            ),
            _epochs(default=160, description="Passes over the 60,000 training images."),
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
        optimizers=("adam", "radam"),
        default_lr=5e-4,
        version=2,
        describe=_describe_vae,
        categories=lambda v: int(v["categories"]),
        steps_per_epoch=lambda v: -(-60_000 // int(v["batch_size"])),
        references=references.categorical_vae,
        target="benchmarks.tasks.categorical_vae:CategoricalVAE",
    ),
)

_BY_ID = {info.id: info for info in _ENTRIES}


def available() -> tuple[str, ...]:
    """Ids of all registered tasks."""
    return tuple(_BY_ID)


def get(id: str) -> TaskInfo:
    """The registry entry of a task.

    Raises:
        KeyError: no task has this id; the message lists those there are.
    """
    try:
        return _BY_ID[id]
    except KeyError:
        raise KeyError(f"no task {id!r}; there are {', '.join(_BY_ID)}") from None
