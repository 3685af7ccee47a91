"""The Bernoulli VAE against a plain PyTorch model, its three protocols and its two kinds of binarisation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import estimators
from benchmarks.datasets import loading
from benchmarks.datasets.loading import random_images
from benchmarks.engine.evaluation import evaluated
from benchmarks.engine.noise import ExampleNoise, LaneNoise, Purpose, seed_keys
from benchmarks.tasks import battery, registry
from benchmarks.tasks.bernoulli_vae.binarisation import binarised_once
from benchmarks.tasks.bernoulli_vae.network import PIXELS
from benchmarks.tasks.bernoulli_vae.task import BernoulliVAE
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, Variables
from benchmarks.tasks.info import Split
from estimators.info import Value
from tests.support.draws import Sampled, certain, training
from tests.support.statistics import assert_z
from tests.support.trials import MADE_UP, run, trial

INFO = registry.get("bernoulli_vae")
PROTOCOLS = ("rodeo", "released", "fixed")
FIXED_IMAGES = ("released", "fixed")
LATENTS = 5


def vae(protocol: str, **given: Value) -> BernoulliVAE:
    """On made-up images."""
    values = INFO.values({"protocol": protocol, "latents": LATENTS, "batch_size": 20, **given})
    return BernoulliVAE(values, device=torch.device("cpu"), made_up=MADE_UP)


def start(task: BernoulliVAE, *seeds: int) -> Variables:
    """Parameters that require a gradient; prior logits, where there are any, away from 0."""
    variables = task.init(LaneNoise(seed_keys(seeds), Purpose.INITIALISATION, step=0), len(seeds))
    model = {name: value.clone().requires_grad_() for name, value in variables.groups["model"].items()}
    if "prior" in model:
        spread = torch.linspace(-2, 1, model["prior"].shape[1]).expand_as(model["prior"])
        model["prior"] = spread.clone().requires_grad_()
    return Variables(groups={"model": model}, buffers=variables.buffers)


def batch(task: BernoulliVAE, index: Tensor, split: Split = "train", step: int = 1) -> Batch:
    noise = LaneNoise(seed_keys(range(len(index))), Purpose.DATA, step=step)
    return task.batch(split, index, noise, length=None)


def seen(task: BernoulliVAE, variables: Variables, images: Batch) -> Tensor:
    """The pixels that a step trains on, read off its loss.

    With no parameters but the biases of the last layer, the gradient of a lane's loss by these is the mean of
    1/2 - x; minibatches of one image show x.
    """
    model = {name: torch.zeros_like(value) for name, value in variables.groups["model"].items()}
    model["decoder.2.bias"].requires_grad_()
    zero = Variables(groups={"model": model}, buffers=variables.buffers)
    code = torch.eye(2)[torch.zeros(task._latents, dtype=torch.long)]
    loss = step(task, zero, images, certain(code))
    (gradient,) = torch.autograd.grad(loss.loss.sum(), model["decoder.2.bias"])
    return 0.5 - gradient


def step(task: BernoulliVAE, variables: Variables, images: Batch, draw: Draw) -> Loss:
    return task.loss(Phase(), variables, images, draw)


# The loss.


def plain_half(model: Parameters, half: str, sizes: Sequence[int], lane: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layer = nn.Linear(inputs, outputs)
        layer.load_state_dict({k: model[f"{half}.{i}.{k}"][lane].detach() for k in ("weight", "bias")})
        layers += [layer, nn.LeakyReLU(0.3)]
    return nn.Sequential(*layers[:-1])


class Plain(nn.Module):
    """The same model of one lane as its specification writes it, latent by latent."""

    def __init__(self, model: Parameters, lane: int, protocol: str) -> None:
        super().__init__()
        latents = model["encoder.2.bias"].shape[1]
        self.encoder = plain_half(model, "encoder", (784, 200, 200, latents), lane)
        self.decoder = plain_half(model, "decoder", (latents, 200, 200, 784), lane)
        self.protocol = protocol
        if protocol != "rodeo":
            self.prior = nn.Parameter(model["prior"][lane].detach().clone())

    def on(self, x: Tensor) -> Tensor:
        """Probability of every bit, ``(B, L)``."""
        a = self.encoder(x)
        q: Tensor = (a if self.protocol == "rodeo" else 2 * a - 1).sigmoid()
        return q

    def misfit(self, x: Tensor, bits: Tensor) -> Tensor:
        """-ln p(x|b) of every image, ``(B,)``."""
        pixels = self.decoder(bits).sigmoid()
        return functional.binary_cross_entropy(pixels, x, reduction="none").sum(-1)

    def kl(self, x: Tensor) -> Tensor:
        """Of every image, as the protocol pairs posterior and prior."""
        q, latents = self.on(x), self.on(x).shape[1]
        posterior = [p for i in range(latents) for p in (q[:, i], 1 - q[:, i])]
        if self.protocol == "rodeo":
            prior = [torch.tensor(0.5)] * (2 * latents)
        else:
            s = self.prior.sigmoid()
            prior = [s[i] for i in range(latents)] + [1 - s[i] for i in range(latents)]
        if self.protocol == "fixed":
            prior = [p for i in range(latents) for p in (prior[i], prior[latents + i])]
        terms = [p * ((p + 1e-10).log() - (r + 1e-10).log()) for p, r in zip(posterior, prior, strict=True)]
        return torch.stack(terms).sum(0)

    def sampled(self, x: Tensor, bits: Tensor) -> Tensor:
        """-ln p(x|b) - ln p(b) + ln q(b|x), the prior being 1/2."""
        q = self.on(x)
        log_q = (bits * q.log() + (1 - bits) * (1 - q).log()).sum(-1)
        return self.misfit(x, bits) + len(bits.T) * math.log(2) + log_q


def pairs(bits: Tensor) -> Tensor:
    """One-hot codes ``(..., L, 2)``; the first category is "on"."""
    return torch.stack([bits, 1 - bits], -1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("lanes", [1, 3])
def test_loss_and_gradients_equal_a_plain_model(protocol: str, lanes: int) -> None:
    """float32 rounding apart. With a code that has no gradient, the encoder has that of the analytic KL."""
    task = vae(protocol, samples=1)
    variables, bits = start(task, *range(lanes)), torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    images = batch(task, torch.arange(20 * lanes).view(lanes, 20) % 50)
    result = step(task, variables, images, certain(pairs(bits)))
    model = variables.groups["model"]
    found = torch.autograd.grad(
        result.loss.sum(), tuple(model.values()), allow_unused=True, materialize_grads=True
    )
    gradients = dict(zip(model, found, strict=True))
    for lane in range(lanes):
        plain = Plain(model, lane, protocol)
        x = pixels_of(task, variables, images)[lane]
        codes = bits.expand(20, -1)
        loss = plain.misfit(x, codes) + plain.kl(x)
        if protocol == "rodeo":
            with torch.no_grad():
                constant = plain.sampled(x, codes) - plain.misfit(x, codes)
            loss = plain.misfit(x, codes) + constant
        loss.mean().backward()
        assert result.loss[lane].item() == pytest.approx(loss.mean().item(), rel=1e-5)
        assert result.metrics["train_kl"][lane].item() == pytest.approx(plain.kl(x).mean().item(), rel=1e-5)
        check_gradients(plain, {name: g[lane] for name, g in gradients.items()})


def check_gradients(plain: Plain, gradients: Parameters) -> None:
    for half in ("encoder", "decoder"):
        for i in range(3):
            for kind in ("weight", "bias"):
                want = getattr(plain, half)[2 * i].get_parameter(kind).grad
                got = gradients[f"{half}.{i}.{kind}"]
                want = torch.zeros_like(got) if want is None else want
                assert (got - want).abs().max() <= 1e-4 * want.abs().max()
    if "prior" in gradients:
        torch.testing.assert_close(gradients["prior"], plain.prior.grad)


def pixels_of(task: BernoulliVAE, variables: Variables, images: Batch) -> Tensor:
    """Zeros and ones ``(lanes, B, 784)``, image by image."""
    assert isinstance(images, dict)
    count = next(iter(images.values())).shape[1]
    single = [{name: value[:, i : i + 1] for name, value in images.items()} for i in range(count)]
    return torch.stack([seen(task, variables, one) for one in single], 1)


def enumerated(plain: Plain, x: Tensor) -> Tensor:
    """E_q of -ln p(x|b) plus the KL, over all 2^L codes, ``(B,)``."""
    q = plain.on(x)
    total = plain.kl(x)
    for code in itertools.product((0.0, 1.0), repeat=q.shape[1]):
        bits = torch.tensor(code).expand_as(q)
        weight = (bits * q + (1 - bits) * (1 - q)).prod(-1)
        total = total + weight * plain.misfit(x, bits)
    return total


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_exact_gradients_are_those_of_the_enumerated_bound(protocol: str) -> None:
    """In rodeo, too, where the KL is sampled: its expectation is the analytic one, with its gradient."""
    task = vae(protocol, latents=3)
    variables, index = start(task, 4), torch.arange(6).view(1, 6)
    images = batch(task, index)
    result = step(task, variables, images, training("exact", seeds=[4]))
    model = variables.groups["model"]
    gradients = dict(zip(model, torch.autograd.grad(result.loss.sum(), tuple(model.values())), strict=True))
    plain = Plain(model, 0, protocol)
    loss = enumerated(plain, pixels_of(task, variables, images)[0]).mean()
    loss.backward()
    assert result.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    check_gradients(plain, {name: g[0] for name, g in gradients.items()})


@pytest.mark.parametrize(("estimator", "expected"), [("reinmax", 3), ("rloo", 2)])
def test_k_is_passes_of_path_estimators_and_samples_of_others(estimator: str, expected: int) -> None:
    task = vae("released", samples=3)
    temperatures = [1.0] if estimator == "reinmax" else None
    static = {} if estimator == "reinmax" else {"num_samples": 2}
    draw = training(estimator, seeds=[0], temperatures=temperatures, static=static)
    step(task, start(task, 0), batch(task, torch.arange(20).view(1, 20)), draw)
    assert draw.evaluations == {"code": expected}


def test_metrics_of_a_step_are_its_loss_where_that_is_what_is_reported() -> None:
    for protocol in PROTOCOLS:
        task = vae(protocol)
        draw = training("reinmax", seeds=[0], temperatures=[1.0])
        result = step(task, start(task, 0), batch(task, torch.arange(20).view(1, 20)), draw)
        assert result.weight == 20
        assert set(result.metrics) == {"train_kl"} | ({"train_neg_elbo"} if protocol != "rodeo" else set())
        if protocol != "rodeo":
            torch.testing.assert_close(result.metrics["train_neg_elbo"], result.loss.detach())


# The pairing error.


def test_released_pairs_a_latent_with_two_unrelated_numbers_of_the_prior() -> None:
    """Two latents, by hand: (0.9, 0.2, 0.1, 0.8) is the flat prior, each latent takes two neighbours."""
    model = {"prior": torch.tensor([[math.log(9), -math.log(4)]])}
    released, fixed = (vae(protocol, latents=2)._prior(model)[0] for protocol in ("released", "fixed"))
    torch.testing.assert_close(released, torch.tensor([[0.9, 0.2], [0.1, 0.8]]))
    torch.testing.assert_close(fixed, torch.tensor([[0.9, 0.1], [0.2, 0.8]]))


def test_latents_half_the_way_apart_share_the_mass_of_the_released_prior() -> None:
    """a and 2 - a, whose product is at most 1: codes have a total mass of at most 1."""
    model = {"prior": torch.linspace(-3, 2, 8).view(1, 8)}
    mass = vae("released", latents=8)._prior(model)[0].sum(-1)
    torch.testing.assert_close(mass[:4] + mass[4:], torch.full((4,), 2.0))
    assert mass.prod() < 1
    torch.testing.assert_close(vae("fixed", latents=8)._prior(model)[0].sum(-1), torch.ones(8))


def test_both_pairings_agree_where_training_starts() -> None:
    for lanes in (1, 2):
        losses = []
        for protocol in FIXED_IMAGES:
            task = vae(protocol)
            noise = LaneNoise(seed_keys(range(lanes)), Purpose.INITIALISATION, step=0)
            draw = training("st", seeds=range(lanes), temperatures=[1.0] * lanes)
            images = batch(task, torch.arange(20).expand(lanes, -1))
            losses.append(step(task, task.init(noise, lanes), images, draw).loss)
        torch.testing.assert_close(*losses)


# Where training starts.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_initialisation(protocol: str) -> None:
    """Uniform: mean square is bound^2 / 3, within five standard errors."""
    task = vae(protocol, latents=200)
    model = task.init(LaneNoise(seed_keys([1, 2]), Purpose.INITIALISATION, step=0), 2).groups["model"]
    for name, value in model.items():
        if name.endswith("weight"):
            outputs, inputs = value.shape[1:]
            bound = math.sqrt(6 / (inputs + outputs)) if protocol == "rodeo" else inputs**-0.5
            spread = 5 * bound**2 * math.sqrt(4 / 45 / value.numel())
            assert value.abs().max() <= bound
            assert abs(value.square().mean().item() - bound**2 / 3) < spread
        elif name == "prior":
            assert not value.any()
        else:
            inputs = model[name.replace("bias", "weight")].shape[2]
            assert value.any() == (protocol != "rodeo")
            assert value.abs().max() <= inputs**-0.5
    assert ("prior" in model) == (protocol != "rodeo")
    assert not torch.equal(model["encoder.0.weight"][0], model["encoder.0.weight"][1])


# Pixels.


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("protocol", FIXED_IMAGES)
def test_an_image_is_binarised_once(protocol: str, split: Split) -> None:
    """Whatever step asks for it, alone or beside others, in any order."""
    task = vae(protocol)
    variables = start(task, 0, 1)
    first = pixels_of(task, variables, batch(task, torch.tensor([[3, 5], [3, 5]]), split, step=1))
    again = pixels_of(task, variables, batch(task, torch.tensor([[5, 0, 3], [2, 3, 5]]), split, step=9))
    torch.testing.assert_close(again[0, [2, 0]], first[0], rtol=0, atol=0)
    torch.testing.assert_close(again[1, [1, 2]], first[1], rtol=0, atol=0)
    assert not torch.equal(first[0], first[1])  # another trial, another drawing


def test_fresh_pixels_are_drawn_at_every_use() -> None:
    task = vae("rodeo")
    variables, index = start(task, 0), torch.tensor([[3]])
    one, other = (pixels_of(task, variables, batch(task, index, step=step)) for step in (1, 2))
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(one, other)


def test_a_pixel_is_on_as_often_as_its_grey_value_says() -> None:
    """Drawn once in each of 2,000 trials. Black is never on, white always; the others within 4.5 sigma."""
    grey = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).expand(2000, 3, 5)
    image = torch.tensor([0, 1, 2]).expand(2000, -1)
    noise = LaneNoise(seed_keys([7]), Purpose.DATA, step=0)
    u = noise.uniform((1, 4000), dtype=torch.float64, device=torch.device("cpu"))
    on = binarised_once(grey, image, (u * 2**32).long().view(2000, 2))
    rates = on.mean((0, 1))
    assert rates[0] == 0
    assert rates[4] == 1
    for rate, p in zip(rates[1:4], (0.1, 0.5, 0.9), strict=True):
        assert_z((rate - p) / math.sqrt(p * (1 - p) / 6000), f"share of ones at {p}")
    both = (on[:, 0, 2] * on[:, 1, 2]).mean()  # of two images of a trial: independent
    assert_z((both - 0.25) / math.sqrt(0.25 * 0.75 / 2000), "share of both")


def test_images_of_different_splits_have_numbers_of_their_own() -> None:
    """White noise would be equal for image 0 of all splits if they shared a number."""
    task = vae("released")
    index = torch.arange(5).view(1, 5)
    numbers = []
    for split in ("train", "valid", "test"):
        images = batch(task, index, split)
        assert isinstance(images, dict)
        numbers += images["image"].flatten().tolist()
    assert numbers == [*range(5), *range(50, 55), *range(70, 75)]


def test_the_last_images_of_the_training_file_are_for_validation() -> None:
    task = vae("released")
    images = random_images(train=MADE_UP["train"] + MADE_UP["valid"], test=MADE_UP["test"], pixels=PIXELS)
    found = {split: batch(task, torch.arange(20).view(1, 20), split) for split in ("train", "valid", "test")}
    expected = {"train": images.train[:20], "valid": images.train[50:70], "test": images.test[:20]}
    for split, part in found.items():
        assert isinstance(part, dict)
        torch.testing.assert_close(part["grey"][0], expected[split].float() / 255, rtol=0, atol=0)


@pytest.mark.data
@pytest.mark.usefixtures("real_data_dir")
@pytest.mark.parametrize(
    ("dataset", "sizes"),
    [
        ("mnist", (50_000, 10_000, 10_000)),
        ("fashion_mnist", (50_000, 10_000, 10_000)),
        ("omniglot_rebuilt", (23_000, 1_345, 8_070)),
    ],
)
def test_splits_of_the_real_data(dataset: str, sizes: tuple[int, int, int]) -> None:
    if not loading.is_available(dataset):
        pytest.skip(f"{dataset} is not here")
    values = INFO.values({"dataset": dataset, "protocol": "released"})
    task = BernoulliVAE(values, device=torch.device("cpu"))
    assert tuple(task.splits[split] for split in ("train", "valid", "test")) == sizes
    assert dict(task.splits) == INFO.splits(values)
    last = batch(task, torch.tensor([[sizes[1] - 1]]), "valid")
    assert isinstance(last, dict)
    assert torch.equal(last["grey"][0, 0] * 255, loading.load(dataset).train[-1].float())


# Evaluation.


def at_evaluation(task: BernoulliVAE, variables: Variables, *, number: int = 1) -> dict[str, float]:
    """The metrics of one lane."""
    found = evaluated(task, variables, estimators.get("st").properties, seed_keys([0]), number=number)
    return {name: value.item() for name, value in found.items()}


def with_decoder(variables: Variables, change: Callable[[Tensor], Tensor]) -> Variables:
    """The same with other weights where the decoder reads its code."""
    model = {name: value.detach().clone() for name, value in variables.groups["model"].items()}
    model["decoder.0.weight"] = change(model["decoder.0.weight"])
    return Variables(groups={"model": model}, buffers=variables.buffers)


@pytest.mark.parametrize("protocol", FIXED_IMAGES)
def test_fixed_images_are_evaluated_as_they_are_and_training_images_anew(protocol: str) -> None:
    """With a decoder that ignores its code, -ELBO depends on the pixels alone."""
    task = vae(protocol)
    variables = with_decoder(start(task, 0), torch.zeros_like)
    first, second = (at_evaluation(task, variables, number=number) for number in (1, 2))
    assert set(first) == {"train_neg_elbo_fresh", "valid_neg_elbo", "test_neg_elbo"}
    assert [name for name in first if first[name] != second[name]] == ["train_neg_elbo_fresh"]
    plain = Plain(variables.groups["model"], 0, protocol)
    x = pixels_of(task, variables, batch(task, torch.arange(20).view(1, 20), "valid"))[0]
    want = (plain.misfit(x, torch.zeros(20, LATENTS)) + plain.kl(x)).mean().item()
    assert first["valid_neg_elbo"] == pytest.approx(want, rel=1e-5)


def test_rodeo_binarises_at_every_evaluation_and_reports_the_training_split_as_a_whole() -> None:
    task = vae("rodeo")
    variables = start(task, 0)
    first, second = (at_evaluation(task, variables, number=number) for number in (1, 2))
    assert all(first[name] != second[name] for name in first)
    assert first["train_neg_elbo"] == first["train_neg_elbo_fresh"]


def test_rodeo_evaluates_the_mean_of_k_codes_in_training_and_their_importance_bound_elsewhere() -> None:
    """Of three codes that are known, against a plain model."""
    task = vae("rodeo", samples=3)
    variables = start(task, 0)
    codes = torch.tensor([[1.0, 0, 0, 1, 1], [0, 0, 1, 1, 0], [1, 1, 1, 1, 1]])
    draw = Sampled(lambda logits: pairs(codes).expand_as(logits))  # (lanes, B, K, L, 2)
    plain, index = Plain(variables.groups["model"], 0, "rodeo"), torch.arange(4).view(1, 4)
    for split in ("train", "valid", "test"):
        images = batch(task, index, split)
        x = pixels_of(task, variables, images)[0]
        losses = torch.stack([plain.sampled(x, code.expand(4, -1)) for code in codes]).detach()
        found = task.evaluate(split, variables, images, draw)
        if split == "train":
            torch.testing.assert_close(found["train_neg_elbo"][0].detach(), losses.mean(0))
        else:
            want = -torch.stack([(-each).exp().mean().log() for each in (losses - 540).double().T]) + 540
            torch.testing.assert_close(found[f"{split}_neg_elbo"][0].detach(), want.float())


def test_the_importance_bound_tends_to_the_likelihood() -> None:
    """-ln p(x) by enumeration of four codes, against 4,000 draws of them."""
    task = vae("rodeo", samples=4000, latents=2)
    variables = start(task, 3)
    model = {name: value.detach() for name, value in variables.groups["model"].items()}
    keys = seed_keys([3])
    noise = ExampleNoise(keys, step=1, examples=20, first=0, count=2)
    images = task.batch("valid", torch.tensor([[0, 1]]), noise, length=None)
    draw = training("st", seeds=[3])
    found = task.evaluate("valid", Variables(groups={"model": model}), images, draw)["valid_neg_elbo"][0]
    plain, x = Plain(model, 0, "rodeo"), images["pixels"][0]
    codes = itertools.product((0.0, 1.0), repeat=2)
    losses = torch.stack([plain.misfit(x, torch.tensor(code).expand(2, -1)) for code in codes])
    likelihood = math.log(4) - (-losses.detach()).logsumexp(0)
    torch.testing.assert_close(found, likelihood, rtol=0, atol=0.2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_trial_reports_every_metric(protocol: str) -> None:
    spec = trial("bernoulli_vae", "reinmax", protocol=protocol, lr=1e-3, epochs=1)
    _, ends = run(spec)
    assert set(ends[0].metrics) == {metric.name for metric in INFO.metrics}


@pytest.mark.parametrize("protocol", FIXED_IMAGES)
@pytest.mark.parametrize("name", ["lanes", "wide", "nan", "resume", "evaluation", "noise", "synchronisation"])
def test_other_protocols_than_the_default_pass_the_battery(protocol: str, name: str) -> None:
    battery.check(name)(battery.subject(INFO, {"protocol": protocol}))
