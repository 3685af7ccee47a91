"""The registry entry of the Bernoulli VAE. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.datasets.catalogue import DATA_SETS, ImageSet
from benchmarks.tasks.info import Facts, Metric, Space, Split, TaskInfo, choice, epochs, whole
from estimators.citations import REINMAX, STEIN
from estimators.info import Parameter, Value

HIDDEN = 200
"""Units of every hidden layer."""
VALIDATION = {"mnist": 10_000, "fashion_mnist": 10_000, "omniglot_rebuilt": 1_345}
"""Images for validation, by data set: the last ones of its training file."""


def _data_set(v: Mapping[str, Value]) -> ImageSet:
    return DATA_SETS[str(v["dataset"])]


def _describe(v: Mapping[str, Value]) -> str:
    epochs = "1 epoch" if v["epochs"] == 1 else f"{v['epochs']} epochs"
    model = f"Bernoulli VAE 2×{v['latents']} ({v['protocol']}, K = {v['samples']})"
    return f"{model} on {_data_set(v).title}, {epochs}"


def _splits(v: Mapping[str, Value]) -> Mapping[Split, int]:
    data, valid = _data_set(v), VALIDATION[str(v["dataset"])]
    return {"train": data.train.examples - valid, "valid": valid, "test": data.test.examples}


def _steps_per_epoch(v: Mapping[str, Value]) -> int:
    return -(-_splits(v)["train"] // int(v["batch_size"]))


def _facts(v: Mapping[str, Value]) -> Facts:
    latents, batch = int(v["latents"]), int(v["batch_size"])
    weights = 2 * HIDDEN * (_data_set(v).pixels + HIDDEN + latents)
    return Facts(
        spaces={"code": Space(variables=latents, categories=2, rows=batch)},
        flop=6.0 * weights * batch,  # multiply and add, three passes
        passes=int(v["samples"]),
    )


INFO = TaskInfo(
    id="bernoulli_vae",
    title="Bernoulli VAE",
    citations=(STEIN, REINMAX),
    parameters=(
        choice("dataset", "mnist", DATA_SETS, "Grey values are probabilities of pixels that are 0 or 1."),
        choice(
            "protocol",
            "rodeo",
            ("rodeo", "released", "fixed"),
            (
                "rodeo: pixels drawn at every use, prior 1/2, sampled KL; released: drawn once, learned "
                "prior, its KL with the pairing error of the released code; fixed: the same, KL corrected."
            ),
        ),
        Parameter(
            name="samples",
            type=int,
            default=2,
            minimum=1,
            maximum=1000,
            description=(
                "K: forward passes per update of an estimator that draws one code a pass (others take their "
                "num_samples), and codes per image in the bounds that rodeo evaluates."
            ),
        ),
        whole("latents", 200, "Bernoulli latents L.", maximum=1024),
        whole("batch_size", 100, "Images per update."),
        epochs(default=2000, description="Passes over the training images; 2000 of MNIST are 1e6 updates."),
    ),
    metrics=(
        Metric(
            name="train_neg_elbo",
            title="Train −ELBO",
            unit="nats",
            goal="minimize",
            split="train",
            description=(
                "As the protocol reports it. rodeo: what follows, with K codes per image; released, fixed: "
                "image-weighted mean of the epoch's minibatch losses, mean of K passes each."
            ),
        ),
        Metric(
            name="train_neg_elbo_fresh",
            title="Train −ELBO, fresh images",
            unit="nats",
            goal="minimize",
            split="train",
            description=(
                "Mean over all training images after the epoch, binarised anew in every protocol; K codes an "
                "image in rodeo, one otherwise."
            ),
        ),
        Metric(
            name="train_kl",
            title="Train KL",
            unit="nats",
            goal="minimize",
            split="train",
            description=(
                "Mean over the epoch's minibatches of the Kullback-Leibler part, as the protocol has it; "
                "in rodeo the expectation of the sampled one."
            ),
        ),
        Metric(
            name="valid_neg_elbo",
            title="Validation −ELBO",
            unit="nats",
            goal="minimize",
            split="valid",
            description=(
                "Mean over the validation images after the epoch. rodeo: importance bound of K codes; "
                "released, fixed: −ELBO of one code."
            ),
        ),
        Metric(
            name="test_neg_elbo",
            title="Test −ELBO",
            unit="nats",
            goal="minimize",
            split="test",
            description="The same over the test images.",
        ),
    ),
    select="train_neg_elbo",
    report=("train_neg_elbo", "train_neg_elbo_fresh", "test_neg_elbo"),
    optimizers=("adam", "radam", "sgd", "rmsprop"),
    default_lr=1e-3,
    version=1,
    describe=_describe,
    facts=_facts,
    splits=_splits,
    steps_per_epoch=_steps_per_epoch,
    target="benchmarks.tasks.bernoulli_vae.task:BernoulliVAE",
    small={"latents": 4, "batch_size": 20},
    reads_data=True,
    data=lambda v: (_data_set(v),),
)
