"""The reference of the speed benchmark computes what the tasks and estimators here compute."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import estimators
from benchmarks.commands.speed import reference_estimators as written_out
from benchmarks.commands.speed.reference import PolynomialTraining, VAETraining
from benchmarks.commands.speed.reinmax_package import Replay
from benchmarks.datasets.loading import Images
from benchmarks.tasks.contract import Phase, Variables
from tests.benchmarks.test_categorical_vae import images, parameters, step
from tests.support.draws import Sampled, certain
from tests.support.statistics import assert_z
from tests.support.trials import made_up_images, small_polynomial, small_vae, trial

POLYNOMIAL = trial(latents=6, batch_size=32)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_vae_loss_and_gradients_are_those_of_the_task() -> None:
    """Equal weights, images and codes; float32 rounding: 1e-5 of the loss, 1e-4 of the largest entry."""
    spec = trial("categorical_vae")
    task = small_vae(spec)
    values = parameters(task, 0)
    code = torch.eye(3)[torch.tensor([0, 2, 1, 1, 0])]
    index = torch.arange(20).view(1, 20)
    result = step(task, values, images(task, index), certain(code))
    wanted = torch.autograd.grad(result.loss.sum(), tuple(values.values()))

    training = VAETraining(
        spec.task.values, made_up_images(), lambda logits: code.expand_as(logits), lr=1e-3, seed=0
    )
    with torch.no_grad():
        for own, value in zip(training.model.parameters(), values.values(), strict=True):
            own.copy_(value[0])
    bce, kl = training.model(made_up_images().train[index[0]].float() / 255)
    loss = bce + kl
    loss.backward()

    assert loss.item() == pytest.approx(result.loss.item(), rel=1e-5)
    for own, gradient in zip(training.model.parameters(), wanted, strict=True):
        assert own.grad is not None
        assert (own.grad - gradient[0]).abs().max() <= 1e-4 * gradient.abs().max()


def test_vae_epochs_have_the_task_s_steps_and_losses_fall() -> None:
    spec = trial("categorical_vae")
    greys = Images(train=torch.full((50, 784), 40, dtype=torch.uint8), test=torch.zeros(30, 784).byte())
    draw = written_out.sampler("st", {"temperature": 1.0})
    training = VAETraining(spec.task.values, greys, draw, lr=1e-3, seed=0)
    steps, losses = training.steps(), []
    for _ in range(4):
        assert [next(steps) for _ in range(small_vae(spec).steps_per_epoch)] == [1, 1, 1]
        losses.append(training.evaluate())
    next(steps)
    assert losses[-1] < losses[0] < 784 * math.log(2) + 1
    assert losses[-1] < training.train_loss < 784 * math.log(2) + 1
    assert training.test_loss == pytest.approx(losses[-1], rel=0.1)  # other draws


def test_polynomial_loss_and_gradient_are_those_of_the_task() -> None:
    values = POLYNOMIAL.task.values
    draw = written_out.sampler("st", {"temperature": 1.0})
    training = PolynomialTraining(values, draw, lr=1e-3, seed=0)
    with torch.no_grad():
        training.theta.copy_(torch.randn(6, 2, generator=seeded()))
    logits = training.theta.detach().expand(32, -1, -1)
    torch.manual_seed(1)
    sample = written_out.one_hot_draw(logits)
    torch.manual_seed(1)
    loss = training.loss()
    (gradient,) = torch.autograd.grad(loss, training.theta)

    theta = training.theta.detach().mT.unsqueeze(0).contiguous().requires_grad_()
    replay = Replay(sample.unsqueeze(0), logits.softmax(-1).unsqueeze(0))
    replayed = Sampled(lambda logits: estimators.st(logits, generator=replay))
    task, variables = small_polynomial(POLYNOMIAL), Variables(groups={"model": {"theta": theta}})
    result = task.loss(Phase(), variables, None, replayed)
    (wanted,) = torch.autograd.grad(result.loss.sum(), theta)
    assert loss.item() == pytest.approx(result.loss.item(), rel=1e-6)
    torch.testing.assert_close(gradient, wanted[0].mT, rtol=1e-5, atol=1e-8)


def test_polynomial_evaluation_is_the_task_s() -> None:
    training = PolynomialTraining(
        POLYNOMIAL.task.values, written_out.sampler("st", {"temperature": 1.0}), lr=1e-2, seed=3
    )
    steps = training.steps()
    for _ in range(int(POLYNOMIAL.task.values["steps_per_epoch"]) + 1):
        next(steps)
    task = small_polynomial(POLYNOMIAL)
    wanted = task.expected_loss(training.theta.detach().mT.unsqueeze(0)).item()
    assert training.evaluate() == pytest.approx(wanted, rel=1e-12)
    assert training.expected_loss == pytest.approx(wanted, abs=0.01)


PACKAGE = pytest.param(
    written_out.packaged_reinmax,
    "reinmax",
    marks=pytest.mark.skipif(not importlib.util.find_spec("reinmax"), reason="needs the package reinmax"),
)


@pytest.mark.parametrize(
    ("function", "id"), [(written_out.straight_through, "st"), (written_out.reinmax, "reinmax"), PACKAGE]
)
def test_estimators_without_further_noise_have_our_gradient(function: Callable[..., Tensor], id: str) -> None:
    logits = torch.randn(50, 4, 3, generator=seeded()).requires_grad_()
    g = torch.randn(50, 4, 3, generator=seeded(1))
    theirs = function(logits, tau=1.3)
    torch.testing.assert_close(theirs.sum(-1), torch.ones(50, 4))
    replay = Replay(theirs.detach().round(), logits.detach().softmax(-1))
    ours = getattr(estimators, id)(logits, temperature=1.3, generator=replay)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
    gradients = [torch.autograd.grad((z * g).sum(), logits)[0] for z in (theirs, ours)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-6)


def test_hard_draws_have_the_probabilities_of_the_logits() -> None:
    torch.manual_seed(0)
    p = torch.tensor([0.5, 0.3, 0.2])
    rows = 100_000
    frequencies = written_out.one_hot_draw(p.log().expand(rows, 1, 3)).mean(0)[0]
    assert_z((frequencies - p) / (p * (1 - p) / rows).sqrt(), "frequencies")


@pytest.mark.parametrize("n", [2, 3])
def test_gumbel_rao_has_our_mean_gradient_and_variance(n: int) -> None:
    """Both sides draw 50,000 gradients; a right program fails with probability about 1e-6 a statistic."""
    logits, g = torch.tensor([0.4, -0.7, 0.2])[:n], torch.tensor([1.0, -0.5, 2.0])[:n]
    torch.manual_seed(0)
    theirs = row_gradients(functools.partial(written_out.gumbel_rao, tau=0.5, draws=5), logits, g)
    ours = row_gradients(
        lambda x: estimators.gumbel_rao(x, temperature=0.5, num_draws=5, generator=seeded()), logits, g
    )
    a, b = theirs.double(), ours.double()
    mean_stderr = ((a.var(0) + b.var(0)) / len(a)).sqrt()
    assert mean_stderr.max() < 0.01 * b.std(0).min() + 0.01
    assert_z((a.mean(0) - b.mean(0)) / mean_stderr, "mean")
    squares = [(x - x.mean(0)).square() for x in (a, b)]
    stderr = ((squares[0].var(0) + squares[1].var(0)) / len(a)).sqrt()
    assert_z((squares[0].mean(0) - squares[1].mean(0)) / stderr, "variance")


def row_gradients(sample: written_out.Sampler, logits: Tensor, g: Tensor, rows: int = 50_000) -> Tensor:
    """Independent gradient estimates of a linear f, ``(rows, n)``."""
    leaf = logits.expand(rows, 1, -1).clone().requires_grad_()
    (gradient,) = torch.autograd.grad((sample(leaf) * g).sum(), leaf)
    return gradient[:, 0]
