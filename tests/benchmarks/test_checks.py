"""Every row of ``data/checks.csv`` that speaks of the tasks here; rows that wait are listed by number.

A row is matched by its text. The patterns below are tried in turn; each stands for a function that computes
the quantity with the package's own code.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import estimators
from benchmarks.datasets import loading
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.tasks import registry
from benchmarks.tasks.bernoulli_vae.task import BernoulliVAE
from benchmarks.tasks.categorical_vae.task import CategoricalVAE, kl_to_uniform
from benchmarks.tasks.contract import Parameters, Phase, Variables
from benchmarks.tasks.polynomial.task import Polynomial, targets
from estimators import SeparableObjective
from estimators.info import Value
from tests.benchmarks.test_categorical_vae import images, step
from tests.support.draws import training
from tests.support.statistics import assert_z
from tests.support.trials import MADE_UP, made_up_images

CPU = torch.device("cpu")
POLYNOMIAL: dict[str, Value] = {"setting": "A", "target": 0.45, "batch_size": 4096, "steps_per_epoch": 200}


@dataclass(frozen=True)
class Row:
    """A line of the file; ``values`` are the numbers of its value column."""

    number: int
    task: str
    quantity: str
    values: tuple[float, ...]
    tolerance: float


def read_rows() -> list[Row]:
    with (Path(__file__).parent / "data" / "checks.csv").open(encoding="utf-8") as file:
        return [
            Row(
                int(line["id"]),
                line["task"],
                line["quantity"],
                tuple(float(part) for part in line["value"].split(" / ")),
                float(line["tolerance"]),
            )
            for line in csv.DictReader(file)
            if line["task"] in ("poly", "vae", "data", "bvae", "estimators")
        ]


ROWS = read_rows()

# Polynomial task: closed forms.


def polynomial(p: float, setting: str = "A", latents: int = 1) -> Polynomial:
    values = POLYNOMIAL | {"p": p, "setting": setting, "latents": latents}
    return Polynomial(values, device=CPU, dtype=torch.float64)


def logits_of(q: float | Tensor, latents: int = 1) -> Tensor:
    """Logits ``(1, 2, L)`` with P(component 0) = q."""
    pair = torch.zeros(1, 2, latents, dtype=torch.float64)
    pair[:, 0] = torch.as_tensor(q, dtype=torch.float64).logit()
    return pair


def loss_at(p: float, q: float | Tensor, setting: str = "A", latents: int = 1) -> float:
    return polynomial(p, setting, latents).expected_loss(logits_of(q, latents)).item()


def lowest_b(p: float, latents: int) -> float:
    best = torch.where(targets("B", latents) < 0.5, 0.0, 1.0)
    return loss_at(p, best, "B", latents)


def gradients(name: str, p: float, q: float, draws: int = 4096, **given: Any) -> tuple[Tensor, Tensor]:
    """Gradient for the logit of component 0, one per copy, and what each copy drew."""
    logits = logits_of(q).mT.unsqueeze(1).repeat(1, draws, 1, 1).requires_grad_()
    c = targets("A", 1)
    objective = SeparableObjective(terms=lambda z: (z[..., 0] - c).abs().pow(p))
    noise = LaneNoise(seed_keys([0]), Purpose.TRAINING, step=0)
    estimate = estimators.surrogate(name, logits, objective, generator=noise, **given)
    (gradient,) = torch.autograd.grad(estimate.surrogate.sum(), logits)
    samples = torch.ones(draws) if estimate.samples is None else estimate.samples[0, 0, :, 0, 0]
    return gradient[0, :, 0, 0], samples


def mean_gradient(name: str, p: float, q: float, **given: Any) -> float:
    """Mean over both outcomes, weighted exactly, of an estimator that is a function of the outcome alone."""
    gradient, samples = gradients(name, p, q, **given)
    one, zero = gradient[samples == 1], gradient[samples == 0]
    assert one.unique().numel() == zero.unique().numel() == 1
    return q * one[0].item() + (1 - q) * zero[0].item()


def exact_gradient(p: float, q: float) -> float:
    return gradients("exact", p, q, draws=1)[0].item()


def stall(p: float) -> float:
    """P(X = 1) where the mean ST gradient changes sign, by bisection on the estimator itself."""
    low, high = 0.3, 0.6
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_gradient("st", p, middle) < 0 else (low, middle)
    return (low + high) / 2


def check_stgs(row: Row, p: float) -> None:
    """A million draws, weighted exactly by outcome; false alarm 1e-6, and 8 % off would be seen (0.999)."""
    gradient, samples = gradients("stgs", p, 0.5, draws=1_000_000)
    parts = [gradient[samples == outcome] for outcome in (0, 1)]
    mean = sum(part.mean() for part in parts) / 2
    stderr = sum(part.var() / len(part) for part in parts) ** 0.5 / 2
    assert 8 * stderr < 0.08 * row.values[0]
    assert_z(torch.as_tensor([(mean - row.values[0]) / stderr]), "stgs")


def check_reinmax_ratio(row: Row, p: float) -> None:
    for q in (0.1, 0.5, 0.8):
        ratio = mean_gradient("reinmax", p, q) / exact_gradient(p, q)
        assert ratio == pytest.approx(row.values[0], abs=1e-8)


# Polynomial task: 8000 steps of Adam with exact gradients, six problems as lanes.

PROBLEMS = [(p, setting) for p in (1.5, 2.0, 3.0) for setting in "AB"]


@functools.cache
def exact_adam() -> dict[tuple[float, str, int], float]:
    """Expected loss after 200, 1000, 4000, 8000 steps from theta = 0, in float64
    but for the optimizer's coefficients.

    The gradient is q (1 - q) ((1 - c)^p - c^p) / L; that the estimator ``exact`` gives the same is tested
    with the task.
    """
    lanes = len(PROBLEMS)
    parameters = {"theta": torch.zeros(lanes, 2, 128, dtype=torch.float64)}
    adam = GroupOptimizer([("adam", {})] * lanes, rates=[1e-3] * lanes, total_steps=[8000] * lanes)
    slots = adam.initial(parameters)
    c = [targets(setting, 128) for _, setting in PROBLEMS]
    rise = torch.stack([(1 - x).pow(p) - x.pow(p) for x, (p, _) in zip(c, PROBLEMS, strict=True)]) / 128
    moving = torch.ones(lanes, dtype=torch.bool)
    losses = {}
    for done, row in enumerate(adam.coefficients(1, 8000), start=1):
        theta = parameters["theta"]
        q = (theta[:, 0] - theta[:, 1]).sigmoid()
        slope = q * (1 - q) * rise
        gradient = {"theta": torch.stack([slope, -slope], 1)}
        parameters, slots = adam.step(parameters, slots, gradient, row, moving)
        if done in (200, 1000, 4000, 8000):
            for lane, (p, setting) in enumerate(PROBLEMS):
                loss = polynomial(p, setting, 128).expected_loss(parameters["theta"][lane : lane + 1])
                losses[p, setting, done] = loss.item()
    return losses


# Categorical VAE.


@functools.cache
def vae(categories: int, latents: int) -> CategoricalVAE:
    given: dict[str, Value] = {"categories": categories, "latents": latents, "batch_size": 10}
    values = registry.get("categorical_vae").values(given)
    return CategoricalVAE(values, device=CPU, images=made_up_images())


def start_of(task: CategoricalVAE | BernoulliVAE) -> Parameters:
    return task.init(LaneNoise(seed_keys([0]), Purpose.INITIALISATION, step=0), 1).groups["model"]


def parameter_counts(categories: int, latents: int) -> tuple[float, ...]:
    start = start_of(vae(categories, latents))
    halves = [
        sum(v.numel() for k, v in start.items() if k.startswith(half)) for half in ("encoder", "decoder")
    ]
    return (*halves, sum(halves))


def largest_kl(categories: int, latents: int) -> float:
    certain = torch.zeros(latents, categories, dtype=torch.float64)
    certain[:, 0] = 1000.0
    return kl_to_uniform(certain).item()


def log_2_of_codes(categories: int, latents: int) -> float:
    """From the width of the encoder's output and the number of categories."""
    width = start_of(vae(categories, latents))["encoder.2.bias"].numel()
    return width / categories * math.log2(categories)


def check_flat_elbo(row: Row) -> None:
    """-ELBO of a step with all parameters 0, up to the rounding of a sum of 784 float32 terms."""
    task = vae(8, 4)
    zeros = {name: torch.zeros_like(value) for name, value in start_of(task).items()}
    batch = images(task, torch.arange(10).view(1, 10))
    loss = step(task, zeros, batch, training("st", seeds=[0])).loss
    assert loss.item() == pytest.approx(row.values[0], rel=1e-6)


def total_steps(task: str, **given: Value) -> int:
    info = registry.get(task)
    return info.total_steps({p.name: p.default for p in info.parameters if p.default is not None} | given)


def check_steps_of_both_sizes(row: Row) -> None:
    """Of the two protocols that 64 x 32 has been trained with."""
    steps = [
        total_steps("categorical_vae", protocol=protocol, batch_size=200, epochs=1)
        for protocol in ("grey_leaky", "rebinarised")
    ]
    assert steps == list(row.values)
    assert total_steps("categorical_vae", protocol="grey_leaky", batch_size=200, epochs=1667) == 500_100
    assert total_steps("categorical_vae", protocol="rebinarised", batch_size=200, epochs=2000) == 500_000


# Bernoulli VAE.


def bernoulli_vae() -> BernoulliVAE:
    values = registry.get("bernoulli_vae").values({"protocol": "released"})
    return BernoulliVAE(values, device=CPU, made_up=MADE_UP)


def bernoulli_counts() -> tuple[float, ...]:
    start = start_of(bernoulli_vae())
    parts = [
        sum(v.numel() for k, v in start.items() if k.startswith(part))
        for part in ("encoder", "decoder", "prior")
    ]
    return (*parts, sum(parts))


def probability_of_on() -> float:
    """Where the encoder puts out 0."""
    task = bernoulli_vae()
    zeros = {name: torch.zeros_like(value) for name, value in start_of(task).items()}
    logits = task._logits(zeros, torch.zeros(1, 1, 784))
    return logits.double().softmax(-1)[0, 0, 0, 0].item()


def check_first_kl(row: Row) -> None:
    """That of a step with all parameters 0."""
    task = bernoulli_vae()
    start = task.init(LaneNoise(seed_keys([0]), Purpose.INITIALISATION, step=0), 1)
    zeros = {name: torch.zeros_like(value) for name, value in start.groups["model"].items()}
    noise = LaneNoise(seed_keys([0]), Purpose.DATA, step=1)
    images = task.batch("train", torch.arange(10).view(1, 10), noise, length=None)
    variables = Variables(groups={"model": zeros}, buffers=start.buffers)
    loss = task.loss(Phase(), variables, images, training("st", seeds=[0], temperatures=[1.0]))
    assert loss.metrics["train_kl"].item() == pytest.approx(row.values[0], abs=row.tolerance)
    # All pixels are 1/2: what is left of the loss.
    assert loss.loss.item() - row.values[0] == pytest.approx(784 * math.log(2), rel=1e-6)


def bernoulli_steps() -> tuple[float, ...]:
    steps = [
        total_steps("bernoulli_vae", dataset=dataset, epochs=1)
        for dataset in ("mnist", "fashion_mnist", "omniglot_rebuilt")
    ]
    assert steps[0] == steps[1]
    return tuple(map(float, steps[1:]))


# Data sets.


@functools.cache
def pixels(dataset: str, split: str) -> Tensor:
    """Grey values in float64: ``train 60000``, ``first 50000`` or ``test 10000``."""
    images = loading.load({"MNIST": "mnist", "Fashion-MNIST": "fashion_mnist"}[dataset])
    chosen = {"train 60000": images.train, "first 50000": images.train[:50_000], "test 10000": images.test}
    return chosen[split].double() / 255


def entropy(x: Tensor) -> float:
    """Mean over images of the summed entropies of their pixels, nats."""
    per_image: Tensor = (torch.special.entr(x) + torch.special.entr(1 - x)).sum(-1)
    return per_image.mean().item()


def best_constant(dataset: str, split: str) -> float:
    """Binary cross-entropy of the split's own mean image."""
    mean = pixels(dataset, split).mean(0)
    return entropy(mean.view(1, -1))


def training_mean_on_test(dataset: str, split: str) -> float:
    mean = pixels(dataset, "train 60000").mean(0).clamp(1e-4, 1 - 1e-4)
    x = pixels(dataset, split)
    return -(x * mean.log() + (1 - x) * (1 - mean).log()).sum(-1).mean().item()


# Estimators.


def outcomes(name: str, logits: Tensor, quadratic: Tensor) -> dict[int, Tensor]:
    """Gradient by drawn category, for f(D) = D' A D, of an estimator that is a function of the draw."""
    batch = logits.expand(1, 4096, 1, -1).clone().requires_grad_()
    noise = LaneNoise(seed_keys([0]), Purpose.TRAINING, step=0)
    value = estimators.surrogate(
        name, batch, lambda z: torch.einsum("...vi,ij,...vj->...", z, quadratic, z), generator=noise
    )
    (gradient,) = torch.autograd.grad(value.surrogate.sum(), batch)
    assert value.samples is not None
    drawn = value.samples[0, 0, :, 0].argmax(-1)
    return {k: gradient[0, drawn == k, 0][0] for k in range(logits.numel())}


def check_quadratic(row: Row, name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, dtype=torch.float64, generator=generator)
    quadratic = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    by_outcome = outcomes(name, logits, quadratic)
    p = logits.softmax(-1)
    mean = torch.stack([p[k] * by_outcome[k] for k in range(4)]).sum(0)
    f = quadratic.diagonal()
    exact = p * (f - (p * f).sum())
    assert (mean - exact).abs().max() <= row.tolerance


def check_second_order(row: Row) -> None:
    for q in (0.2, 0.5):
        assert mean_gradient("reinmax", 2.0, q) / exact_gradient(2.0, q) == pytest.approx(1, abs=1e-12)


# Which function belongs to which row.

Computed = Callable[..., float | tuple[float, ...]]
A = r"p=(?P<p>[\d.]+) c=0\.45(?: tau=1)?: "
B = r"p=(?P<p>[\d.]+) setting B L=(?P<latents>\d+): "
V = r"(?P<categories>\d+)x(?P<latents>\d+): "
D = r"(?P<dataset>MNIST|Fashion-MNIST) (?P<split>train 60000|test 10000|first 50000): "

COMPUTED: list[tuple[str, Computed]] = [
    (A + "lowest expected loss", lambda p: loss_at(p, 0.0)),
    (A + "expected loss at theta=0", lambda p: loss_at(p, 0.5)),
    (A + "highest expected loss", lambda p: loss_at(p, 1.0)),
    (A + r"exact d\(loss\)/d\(logit of component 0\)", lambda p: exact_gradient(p, 0.5)),
    (A + "mean of (?P<name>st|reinmax|gst) gradient", lambda p, name: mean_gradient(name, p, 0.5)),
    (A + "mean of gumbel_rao gradient", lambda p: mean_gradient("gumbel_rao", p, 0.5, expectation="exact")),
    (A + r"P\(X=1\) where mean ST gradient vanishes", stall),
    (A + "expected loss where ST stalls", lambda p: loss_at(p, stall(p))),
    (
        r"p=(?P<p>[\d.]+) setting (?P<setting>[AB]) .* after (?P<steps>\d+) exact-gradient Adam",
        lambda p, setting, steps: exact_adam()[p, setting, steps],
    ),
    (B + "lowest expected loss", lowest_b),
    (B + "expected loss at theta=0", lambda p, latents: loss_at(p, 0.5, "B", latents)),
    ("updates per run$", lambda: total_steps("polynomial")),
    (V + "parameters", parameter_counts),
    (V + "largest possible KL", largest_kl),
    (V + "size of latent space", log_2_of_codes),
    ("updates per run, 160 epochs batch 100", lambda: total_steps("categorical_vae")),
    (r"parameters \(encoder / decoder / prior / total\)", bernoulli_counts),
    (r"released ReinMax encoder: P\(component 0\)", probability_of_on),
    (r"updates per epoch \(MNIST, Fashion / Omniglot\)", bernoulli_steps),
    (D + "BCE of (the best constant image|own mean image)", best_constant),
    (D + "BCE of the training-mean image", training_mean_on_test),
    (
        D + "(floor of BCE for grey targets|grey floor)",
        lambda dataset, split: entropy(pixels(dataset, split)),
    ),
]
CHECKED: list[tuple[str, Callable[..., None]]] = [
    (A + "mean of stgs gradient", check_stgs),
    (A + "ratio of mean ReinMax gradient to exact gradient", check_reinmax_ratio),
    ("-ELBO with all outputs 1/2 and uniform posterior", check_flat_elbo),
    ("updates per epoch, batch 200", check_steps_of_both_sizes),
    ("released ReinMax model: KL over 200 latents", check_first_kl),
    (
        r"quadratic f, any number of categories: \|E\[ReinMax\]-exact\|",
        functools.partial(check_quadratic, name="reinmax"),
    ),
    (
        r"quadratic f: \|E\[mean-baseline variant as derived\]-exact\|",
        functools.partial(check_quadratic, name="reinmax_mean_baseline"),
    ),
    (r"polynomial task, p=2: E\[ReinMax\] / exact", check_second_order),
]


def arguments(match: re.Match[str]) -> dict[str, float | int | str]:
    types: dict[str, Callable[[str], float | int | str]] = {
        "p": float, "latents": int, "categories": int, "steps": int,
    }  # fmt: skip
    return {name: types.get(name, str)(text) for name, text in match.groupdict().items()}


def find_check(row: Row) -> Callable[[], None] | None:
    for pattern, check in CHECKED:
        if match := re.match(pattern, row.quantity):
            return functools.partial(check, row, **arguments(match))
    for pattern, compute in COMPUTED:
        if match := re.match(pattern, row.quantity):
            return functools.partial(check_value, row, functools.partial(compute, **arguments(match)))
    return None


def check_value(row: Row, compute: Computed) -> None:
    computed = compute()
    values = computed if isinstance(computed, tuple) else (computed,)
    assert values == pytest.approx(row.values, abs=max(row.tolerance, 1e-12), rel=0)


def test_every_row_is_checked() -> None:
    assert [row.number for row in ROWS if find_check(row) is None] == []


@pytest.mark.parametrize("row", [r for r in ROWS if r.task != "data"], ids=lambda row: str(row.number))
def test_row(row: Row) -> None:
    if (check := find_check(row)) is not None:
        check()


@pytest.mark.data
@pytest.mark.usefixtures("real_data_dir")
@pytest.mark.parametrize("row", [r for r in ROWS if r.task == "data"], ids=lambda row: str(row.number))
def test_row_on_real_images(row: Row) -> None:
    check = find_check(row)
    assert check is not None
    check()
