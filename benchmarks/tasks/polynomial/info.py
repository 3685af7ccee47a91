"""The registry entry of polynomial programming. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tasks.info import Facts, Metric, Space, TaskInfo, choice, epochs, whole
from benchmarks.tasks.polynomial.references import TARGET, references
from estimators.citations import REINMAX
from estimators.info import Parameter, Value


def _describe(v: Mapping[str, Value]) -> str:
    target = f"c = {v['target']:g}" if v["setting"] == "A" else "c spread over (0, 1)"
    steps = int(v["epochs"]) * int(v["steps_per_epoch"])
    return (
        f"Polynomial p = {v['p']:g}, {target}, L = {v['latents']}, batch {v['batch_size']}, {steps:,} steps"
    )


def _contradiction(v: Mapping[str, Value]) -> str:
    if v["setting"] == "A" or v["target"] == TARGET:
        return ""
    return f"target {v['target']:g} is for setting A, setting {v['setting']} has targets of its own"


def _facts(v: Mapping[str, Value]) -> Facts:
    latents, copies = int(v["latents"]), int(v["batch_size"])
    space = Space(variables=latents, categories=2, separable=True, rows=copies, copies=True)
    return Facts(spaces={"x": space}, flop=50.0 * latents * copies)


INFO = TaskInfo(
    id="polynomial",
    title="Polynomial programming",
    citations=(REINMAX,),
    parameters=(
        Parameter(name="p", type=float, default=2.0, minimum=1.0, maximum=10.0, description="Exponent."),
        choice("setting", "A", ("A", "B"), "A: every c_i is `target`; B: c_i = (i - 1/2)/L."),
        Parameter(
            name="target",
            type=float,
            default=TARGET,
            neutral=TARGET,
            minimum=0.0,
            maximum=1.0,
            advice="0.45 is the ReinMax paper's, 0.49 and 0.499 those of bit flips.",
            description="c of setting A.",
        ),
        Parameter(
            name="latents",
            type=int,
            default=128,
            minimum=1,
            maximum=4096,
            description="Binary variables L.",
        ),
        whole("batch_size", 256, "Independent copies of the variables per step.", maximum=65_536),
        epochs(default=40, description="Epochs."),
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
    optimizers=("adam", "radam", "sgd", "rmsprop"),
    default_lr=1e-3,
    version=1,
    describe=_describe,
    facts=_facts,
    splits=lambda v: {},
    steps_per_epoch=lambda v: int(v["steps_per_epoch"]),
    references=references,
    target="benchmarks.tasks.polynomial.task:Polynomial",
    small={"latents": 8, "batch_size": 16, "steps_per_epoch": 4},
    contradiction=_contradiction,
)
