"""The categorical VAE against a plain PyTorch model, and its evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import estimators
from benchmarks.datasets.loading import Images
from benchmarks.engine.evaluation import evaluated
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.tasks.categorical_vae.task import CategoricalVAE, kl_to_uniform
from benchmarks.tasks.contract import Draw, Loss, Parameters, Phase, Variables
from benchmarks.tasks.pixels import cross_entropy
from tests.support.draws import certain, training
from tests.support.trials import made_up_images, run, small_vae, trial

SPEC = trial("categorical_vae")
LATENTS, CATEGORIES = 5, 3


def parameters(vae: CategoricalVAE, *seeds: int) -> Parameters:
    start = vae.init(LaneNoise(seed_keys(seeds), Purpose.INITIALISATION, step=0), len(seeds))
    return {name: value.requires_grad_() for name, value in start.groups["model"].items()}


def images(vae: CategoricalVAE, index: Tensor) -> Tensor:
    """A minibatch of training images."""
    noise = LaneNoise(seed_keys(range(len(index))), Purpose.DATA, step=0)
    return vae.batch("train", index, noise, length=None)


def step(vae: CategoricalVAE, values: Parameters, batch: Tensor, draw: Draw) -> Loss:
    return vae.loss(Phase(), Variables(groups={"model": values}), batch, draw)


def negative_elbo(vae: CategoricalVAE, values: Parameters, *seeds: int) -> Tensor:
    """Of the test images at the first evaluation, by lane."""
    properties = estimators.get("st").properties
    variables = Variables(groups={"model": values})
    return evaluated(vae, variables, properties, seed_keys(seeds), number=1)["test_neg_elbo"]


def plain_model(values: Parameters, lane: int, *, slope: float = 0.0) -> tuple[nn.Sequential, nn.Sequential]:
    """The same network out of torch.nn.Linear, with the weights of a lane."""
    halves = []
    for half, sizes in (("encoder", (784, 512, 256, 15)), ("decoder", (15, 256, 512, 784))):
        layers: list[nn.Module] = []
        for i in range(3):
            layer = nn.Linear(sizes[i], sizes[i + 1])
            layer.load_state_dict({k: values[f"{half}.{i}.{k}"][lane].detach() for k in ("weight", "bias")})
            layers += [layer, nn.LeakyReLU(slope) if slope else nn.ReLU()]
        halves.append(nn.Sequential(*layers[:-1]))
    return halves[0], halves[1]


def plain_loss(model: tuple[nn.Sequential, nn.Sequential], x: Tensor, code: Tensor) -> Tensor:
    """-ELBO as the task's specification writes it: sigmoid, binary cross-entropy, released KL."""
    encoder, decoder = model
    q = encoder(x).view(len(x), LATENTS, CATEGORIES).softmax(-1)
    pixels = decoder(code.expand(len(x), -1, -1).flatten(1)).sigmoid()
    bce = functional.binary_cross_entropy(pixels, x, reduction="none").sum(-1)
    kl = (q * (q + 1e-10).log()).sum((-1, -2)) + LATENTS * math.log(CATEGORIES)
    loss: Tensor = (bce + kl).mean()
    return loss


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(("protocol", "slope"), [("grey", 0.0), ("grey_leaky", 0.01), ("rebinarised", 0.2)])
def test_loss_and_gradients_equal_a_plain_model(lanes: int, protocol: str, slope: float) -> None:
    """float32 rounding apart: relative 1e-5 in the loss, 1e-4 of the largest entry in the gradients."""
    vae = small_vae(trial("categorical_vae", protocol=protocol))
    values = parameters(vae, *range(lanes))
    index = torch.arange(20 * lanes).view(lanes, 20) % 50
    code = torch.eye(CATEGORIES)[torch.tensor([0, 2, 1, 1, 0])]
    batch = images(vae, index)
    result = step(vae, values, batch, certain(code))
    gradients = dict(zip(values, torch.autograd.grad(result.loss.sum(), tuple(values.values())), strict=True))
    for lane in range(lanes):
        model = plain_model(values, lane, slope=slope)
        loss = plain_loss(model, batch[lane], code)
        loss.backward()
        assert result.loss[lane].item() == pytest.approx(loss.item(), rel=1e-5)
        for half, name in zip(model, ("encoder", "decoder"), strict=True):
            for i in range(3):
                want = half[2 * i].weight.grad
                assert isinstance(want, Tensor)
                got = gradients[f"{name}.{i}.weight"][lane]
                assert (got - want).abs().max() <= 1e-4 * want.abs().max()


def test_initialisation_is_uniform_within_one_over_root_fan_in() -> None:
    values = parameters(small_vae(SPEC), 1, 2)
    for half, fan_ins in (("encoder", (784, 512, 256)), ("decoder", (15, 256, 512))):
        for i, fan_in in enumerate(fan_ins):
            for kind in ("weight", "bias"):
                value, bound = values[f"{half}.{i}.{kind}"], fan_in**-0.5
                assert value.abs().max() <= bound
                # Uniform: mean square is bound^2 / 3; the bias has few entries, hence five standard errors.
                spread = 5 * bound**2 * math.sqrt(4 / 45 / value.numel())
                assert abs(value.square().mean().item() - bound**2 / 3) < spread
    assert not torch.equal(values["encoder.0.weight"][0], values["encoder.0.weight"][1])


def test_metrics_split_the_loss() -> None:
    vae = small_vae(SPEC)
    batch = images(vae, torch.arange(20).view(1, 20))
    result = step(vae, parameters(vae, 0), batch, training("reinmax", seeds=[0], temperatures=[1.0]))
    parts = result.metrics["train_bce"] + result.metrics["train_kl"]
    torch.testing.assert_close(result.metrics["train_neg_elbo"], parts)
    torch.testing.assert_close(result.loss.detach(), parts)
    assert result.weight == 20


def test_grey_values_are_the_bytes_over_255() -> None:
    vae = small_vae(SPEC)
    index = torch.tensor([[3, 1], [0, 49]])
    torch.testing.assert_close(
        images(vae, index), made_up_images().train[index].float() / 255, rtol=0, atol=0
    )


def test_binarised_pixels_are_drawn_anew_with_their_grey_values_as_probabilities() -> None:
    """Frequencies of 400 draws are x/255: Hoeffding's bound, false alarm 1e-6 for 784 pixels at once."""
    vae = small_vae(trial("categorical_vae", protocol="rebinarised"))
    index = torch.zeros(400, 1, dtype=torch.int64)  # the same image, 400 seeds
    drawn = images(vae, index)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    p = made_up_images().train[0].double() / 255
    assert (drawn[:, 0].double().mean(0) - p).abs().max() <= math.sqrt(math.log(2 * 784 / 1e-6) / (2 * 400))
    keys = seed_keys([7])
    one, other = (
        vae.batch("train", index[:1], LaneNoise(keys, Purpose.DATA, step=step), length=None)
        for step in (1, 2)
    )
    assert not torch.equal(one, other)


def test_black_stays_black_and_white_stays_white() -> None:
    extremes = torch.tensor([0, 255], dtype=torch.uint8).repeat(2, 392)
    values = trial("categorical_vae", protocol="rebinarised").task.values
    vae = CategoricalVAE(
        values, device=torch.device("cpu"), images=Images(train=extremes.repeat(20, 1), test=extremes)
    )
    assert torch.equal(images(vae, torch.arange(40).view(1, 40))[0], extremes.repeat(20, 1).float() / 255)


def test_binarised_test_images_are_drawn_anew_at_every_evaluation() -> None:
    """A decoder that ignores its code, so that nothing but the pixels is drawn."""
    vae = small_vae(trial("categorical_vae", protocol="rebinarised"))
    values = parameters(vae, 0)
    with torch.no_grad():
        values["decoder.0.weight"].zero_()
    variables, properties = Variables(groups={"model": values}), estimators.get("st").properties
    first, again, second = (
        evaluated(vae, variables, properties, seed_keys([0]), number=number)["test_neg_elbo"].item()
        for number in (1, 1, 2)
    )
    assert first == again
    assert first != second


def test_the_binarised_protocol_has_the_first_50_000_images() -> None:
    """One pixel tells which image it is."""
    count = 50_003
    train = torch.zeros(count, 784, dtype=torch.uint8)
    train[50_000:] = 255
    pictures = Images(train=train, test=train[:2])
    sizes = {}
    for protocol in ("grey", "grey_leaky", "rebinarised"):
        values = trial("categorical_vae", protocol=protocol, batch_size=200).task.values
        vae = CategoricalVAE(values, device=torch.device("cpu"), images=pictures)
        sizes[protocol] = (vae.splits["train"], vae.steps_per_epoch)
        if protocol == "rebinarised":
            assert images(vae, torch.arange(49_990, 50_000).view(1, -1)).max() == 0
    assert sizes == {"grey": (count, 251), "grey_leaky": (count, 251), "rebinarised": (50_000, 250)}


def test_kl_of_hand_made_posteriors() -> None:
    certain = torch.tensor([[100.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert kl_to_uniform(certain).item() == pytest.approx(math.log(3), rel=1e-6)
    half = torch.tensor([[[0.0, 0.0, -math.inf]]])
    assert kl_to_uniform(half).item() == pytest.approx(math.log(3) - math.log(2), rel=1e-6)


def test_evaluation_draws_once_per_image_and_averages_over_the_test_set() -> None:
    """A decoder that ignores its code: the mean is then free of noise and equal to a plain computation."""
    vae = small_vae(SPEC)
    values = parameters(vae, 0, 1)
    with torch.no_grad():
        values["decoder.0.weight"].zero_()
        got = negative_elbo(vae, values, 0, 1)
        x = made_up_images().test.float() / 255
        want = [plain_loss(plain_model(values, i), x, torch.eye(3)[[0] * 5]).item() for i in range(2)]
    assert got.tolist() == pytest.approx(want, rel=1e-5)


def test_evaluation_noise_is_the_lane_s_own() -> None:
    vae = small_vae(SPEC)
    both = negative_elbo(vae, parameters(vae, 0, 1), 0, 1)
    alone = negative_elbo(vae, parameters(vae, 1), 1)
    assert both[1].item() == pytest.approx(alone[0].item(), rel=1e-6)


def test_a_short_last_minibatch_counts_by_its_images() -> None:
    """50 images in minibatches of 20: the epoch's mean is over images, checked at a learning rate near 0."""
    by_20, by_50 = (
        run(trial("categorical_vae", lr=1e-12, epochs=1, batch_size=size))[1][0].metrics["train_kl"]
        for size in (20, 50)
    )
    assert by_20 == pytest.approx(by_50, abs=2e-6)  # a KL near 0.01, the difference of numbers near 5


def test_cross_entropy_of_logits_is_that_of_torch() -> None:
    """At zero, too, where |y| has a kink, but for the second derivative; and where exponentials overflow."""
    y = torch.tensor([-200.0, -20.0, -1.0, 0.0, 0.5, 30.0, 200.0]).view(1, 1, 1, -1)
    *ours, our_second = _derivatives(cross_entropy, y)
    *theirs, their_second = _derivatives(_plain_bce, y)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(our_second[y != 0], their_second[y != 0])


def _plain_bce(y: Tensor, x: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(y, x.expand_as(y), reduction="none").sum(-1)


def _derivatives(loss: Callable[[Tensor, Tensor], Tensor], y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of every logit as a picture of its own, and its first two derivatives."""
    y = y.clone().requires_grad_()
    value = loss(y.unsqueeze(-1), torch.linspace(0, 1, y.numel()).view(1, 1, -1, 1))
    (first,) = torch.autograd.grad(value.sum(), y, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), y)
    return value, first, second
