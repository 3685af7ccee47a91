"""Named calls of the estimator: whose noise they have, what they keep, and how they nest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

import estimators
from benchmarks.engine.draw import TrainingDraw
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from estimators import SeparableObjective
from estimators.info import Value
from tests.support.draws import training
from tests.support.statistics import assert_mean

CPU = torch.device("cpu")
SEEDS = [2, 3, 2**33]
MANY = 10_000


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quadratic(samples: Tensor) -> Tensor:
    """f of samples ``(..., V, n)``."""
    weights = torch.linspace(-1, 2, samples.shape[-2:].numel()).view(samples.shape[-2:])
    return (samples * weights).sum((-1, -2)).square()


def next_numbers(draw: TrainingDraw, name: str) -> list[float]:
    flat: list[float] = draw.uniform(name, (len(SEEDS), 4), dtype=torch.float32).flatten().tolist()
    return flat


class TestNoise:
    @pytest.mark.parametrize("name", ["first", "second"])
    def test_a_name_has_the_stream_of_its_place(self, name: str) -> None:
        draw = training("st", seeds=SEEDS, step=7)
        place = ["first", "second"].index(name)
        got = [draw.uniform(n, (3, 4), dtype=torch.float32) for n in ("first", "second")][place]
        source = LaneNoise(seed_keys(SEEDS), Purpose.TRAINING, step=7, first_draw=place * 2**16)
        assert torch.equal(got, source.uniform((3, 4), dtype=torch.float32, device=CPU))

    def test_it_does_not_depend_on_how_many_numbers_another_call_needs(self) -> None:
        """`exact` draws none, `gumbel_rao` many; the second name's numbers are the same."""
        seen = []
        greedy: dict[str, dict[str, Value]] = {"gumbel_rao": {"num_draws": 9}, "rloo": {"num_samples": 5}}
        for estimator, static in [("exact", {}), ("st", {}), ("stgs", {}), *greedy.items()]:
            draw = training(estimator, seeds=SEEDS, static=static)
            draw.expect("first", numbers(3, 4, 2, 3), quadratic)
            seen.append(next_numbers(draw, "second"))
        assert all(other == seen[0] for other in seen)
        assert len(set(seen[0])) == len(seen[0])

    def test_a_name_that_is_used_again_goes_on_in_its_stream(self) -> None:
        draw = training("st", seeds=SEEDS)
        first, other, again = (next_numbers(draw, name) for name in ("a", "b", "a"))
        assert len({*first, *other, *again}) == 36
        plain = training("st", seeds=SEEDS)
        assert [next_numbers(plain, "a") for _ in range(2)] == [first, again]

    def test_names_of_phases_are_their_own(self) -> None:
        draw = training("st", seeds=SEEDS)
        first = next_numbers(draw.of_phase("weights"), "code")
        second = next_numbers(draw.of_phase("choices"), "code")
        assert set(first).isdisjoint(second)

    def test_steps_and_seeds_have_their_own(self) -> None:
        one = next_numbers(training("st", seeds=SEEDS, step=1), "a")
        two = next_numbers(training("st", seeds=SEEDS, step=2), "a")
        assert len({*one, *two}) == 24

    @pytest.mark.parametrize("lane", range(3))
    def test_a_lane_draws_alone_what_it_draws_beside_others(self, lane: int) -> None:
        logits = numbers(3, 5, 2, 4)
        together = training("gumbel_softmax", seeds=SEEDS).sample("z", logits)
        alone = training("gumbel_softmax", seeds=[SEEDS[lane]]).sample("z", logits[lane : lane + 1])
        assert torch.equal(together[lane : lane + 1], alone)


KINDS: list[tuple[str, dict[str, Value], int]] = [
    ("st", {}, 2),
    ("reinmax", {}, 2),
    ("gumbel_rao", {"num_draws": 3}, 2),
    ("rloo", {"num_samples": 2}, 1),
    ("disarm", {}, 1),
    ("reinforce_ema", {"num_samples": 2}, 1),
]
"""Estimators with two samples, one way or the other; `disarm` has a pair."""


def nested(draw: TrainingDraw, outer: Tensor, inner: Tensor, passes: int) -> Tensor:
    """An expectation within an expectation: the inner one's logits depend on the outer one's samples."""

    def within(samples: Tensor) -> Tensor:
        assert samples.dim() == outer.dim() + 1
        assert samples.shape[0] == len(outer), "lanes first"
        codes = samples.flatten(-2)
        logits = torch.einsum("lkbi,livn->lkbvn", codes, inner)
        value = draw.expect("inner", logits, quadratic, passes=passes)
        assert value.shape == samples.shape[:-2]
        return value + quadratic(samples)

    return draw.expect("outer", outer, within, passes=passes)


def value_and_gradients(draw: TrainingDraw, outer: Tensor, inner: Tensor, passes: int) -> tuple[Tensor, ...]:
    leaves = [tensor.clone().requires_grad_() for tensor in (outer, inner)]
    value = nested(draw, leaves[0], leaves[1], passes)
    return (value.detach(), *torch.autograd.grad(value.sum(), leaves))


class TestNesting:
    @pytest.mark.parametrize(("estimator", "static", "passes"), KINDS)
    def test_lanes_have_the_bits_that_they_have_alone(
        self, estimator: str, static: dict[str, Value], passes: int
    ) -> None:
        """Three lanes, two samples, a minibatch of four."""
        outer, inner = numbers(3, 4, 3, 2), numbers(3, 6, 2, 2, seed=1)
        draw = training(estimator, seeds=SEEDS, static=static)
        together = value_and_gradients(draw, outer, inner, passes)
        assert together[0].shape == (3, 4)
        assert all((part != 0).any() for part in together)
        for lane in range(3):
            alone = value_and_gradients(
                training(estimator, seeds=[SEEDS[lane]], static=static),
                outer[lane : lane + 1],
                inner[lane : lane + 1],
                passes,
            )
            for all_lanes, one in zip(together, alone, strict=True):
                assert torch.equal(all_lanes[lane : lane + 1], one)

    def test_exact_within_exact_is_the_sum_over_pairs(self) -> None:
        outer, inner = numbers(3, 4, 1, 2).double(), numbers(3, 2, 1, 2, seed=1).double()
        value = nested(training("exact", seeds=SEEDS), outer, inner, 1)
        p = outer.softmax(-1).squeeze(2)
        expected = torch.zeros(3, 4, dtype=torch.float64)
        for i, code in enumerate(torch.eye(2, dtype=torch.float64)):
            q = inner[:, i].softmax(-1).squeeze(1)
            for j, other in enumerate(torch.eye(2, dtype=torch.float64)):
                expected += p[..., i] * q[:, None, j] * (quadratic(code[None]) + quadratic(other[None]))
        torch.testing.assert_close(value, expected)

    @pytest.mark.parametrize("estimator", ["rloo", "relax", "disarm"])
    def test_unbiased_estimators_have_the_gradient_of_both(self, estimator: str) -> None:
        """Ten thousand lanes that differ in their noise; false alarm 1e-6 a tensor."""
        outer, inner = numbers(1, 1, 3, 2).double(), numbers(1, 6, 2, 2, seed=1).double()
        truth = value_and_gradients(training("exact", seeds=[0]), outer, inner, 1)
        outer, inner = (tensor.expand(MANY, *tensor.shape[1:]) for tensor in (outer, inner))
        found = value_and_gradients(training(estimator, seeds=range(MANY)), outer, inner, 1)
        for part, expected in zip(found, truth, strict=True):
            assert_mean(part, expected[0], detects=0.5)

    @pytest.mark.parametrize("estimator", [id for id in estimators.available() if id != "rebar"])
    def test_every_estimator_works_within_itself(self, estimator: str) -> None:
        """`rebar` differentiates the gradient of f again, which an estimate inside f does not have."""
        found = value_and_gradients(
            training(estimator, seeds=SEEDS), numbers(3, 4, 3, 2), numbers(3, 6, 2, 2, seed=1), 1
        )
        for part in found:
            assert part.isfinite().all()
            assert part.any()

    def test_evaluations_count_outer_calls_once(self) -> None:
        draw = training("rloo", seeds=SEEDS, static={"num_samples": 3})
        nested(draw, numbers(3, 4, 3, 2), numbers(3, 6, 2, 2), 1)
        assert draw.evaluations == {"outer": 3, "inner": 3}
        assert draw.spent == 3
        draw.expect("another", numbers(3, 4, 3, 2), quadratic)
        assert draw.spent == 6

    def test_passes_are_evaluations_of_a_path_estimator(self) -> None:
        draw = training("st", seeds=SEEDS)
        draw.expect("x", numbers(3, 4, 3, 2), quadratic, passes=5)
        assert (draw.evaluations, draw.spent) == ({"x": 5}, 5)


class TestExpect:
    def test_passes_are_averaged(self) -> None:
        """Of the values at the samples that one call with so many passes draws."""
        logits = numbers(3, 4, 2, 3)
        got = training("st", seeds=SEEDS).expect("x", logits, quadratic, passes=6)
        several = logits.unsqueeze(1).expand(-1, 6, -1, -1, -1)
        samples = training("st", seeds=SEEDS).sample("x", several)
        torch.testing.assert_close(got, quadratic(samples).mean(1))

    @pytest.mark.parametrize("estimator", ["st", "rloo", "exact"])
    def test_temperatures_and_lanes_keep_their_places(self, estimator: str) -> None:
        """f may use what belongs to a lane: its axis is the first."""
        scale = torch.tensor([1.0, 10.0, 100.0])
        logits, draw = numbers(3, 4, 2, 3), training(estimator, seeds=[5, 5, 5])
        same = logits[:1].expand(3, -1, -1, -1)
        value = draw.expect("x", same, lambda z: quadratic(z) * scale.view(3, 1, 1))
        torch.testing.assert_close(value / scale.view(3, 1), value[:1].expand(3, -1))

    def test_a_temperature_is_the_lane_s(self) -> None:
        logits = numbers(1, 4, 2, 3).expand(3, -1, -1, -1)
        gradients = []
        for temperatures in ([1.0, 1.0, 1.0], [1.0, 0.5, 2.0]):
            leaf = logits.clone().requires_grad_()
            draw = training("st", seeds=[5, 5, 5], temperatures=temperatures)
            value = draw.expect("x", leaf, quadratic, passes=2).sum()
            gradients.append(torch.autograd.grad(value, leaf)[0])
        assert torch.equal(gradients[0][0], gradients[1][0])
        assert not torch.allclose(gradients[0][1], gradients[1][1])
        assert not torch.allclose(gradients[1][1], gradients[1][2])

    def test_exact_makes_use_of_separable_terms(self) -> None:
        """2^40 outcomes."""
        objective = SeparableObjective(terms=lambda z: z[..., 0] * torch.arange(40.0))
        logits = numbers(3, 4, 40, 2)
        value = training("exact", seeds=SEEDS).expect("x", logits, objective)
        torch.testing.assert_close(value, (logits.softmax(-1)[..., 0] * torch.arange(40.0)).sum(-1))


class TestStates:
    def stepped(self, order: Sequence[str], logits: dict[str, Tensor]) -> TrainingDraw:
        """Three steps with calls of these names."""
        draw = training("reinforce_ema", seeds=SEEDS)
        for step in range(3):
            states = draw.states if step else {}
            draw = training("reinforce_ema", seeds=SEEDS, step=step, states=states)
            for name in order:
                draw.expect(name, logits[name], lambda z: quadratic(z) + 1)
        return draw

    def test_they_are_kept_by_name(self) -> None:
        logits = {"a": numbers(3, 4, 2, 3), "b": numbers(3, 4, 5, 2, seed=1)}
        both = self.stepped(["a", "b"], logits).states
        alone = self.stepped(["a"], logits).states
        assert set(both) == {"a", "b"}
        assert set(alone) == {"a"}
        for name, tensor in alone["a"].items():
            assert torch.equal(tensor, both["a"][name])
            assert len(tensor) == 3
        assert any(not torch.equal(both["a"][name], both["b"][name]) for name in both["a"])

    def test_what_was_given_is_not_changed(self) -> None:
        states = self.stepped(["a"], {"a": numbers(3, 4, 2, 3)}).states
        before = {name: tensor.clone() for name, tensor in states["a"].items()}
        draw = training("reinforce_ema", seeds=SEEDS, step=3, states=states)
        draw.expect("a", numbers(3, 4, 2, 3), quadratic)
        assert all(torch.equal(states["a"][name], tensor) for name, tensor in before.items())
        assert any(not torch.equal(draw.states["a"][name], tensor) for name, tensor in before.items())

    def test_phases_have_their_own(self) -> None:
        draw = training("reinforce_ema", seeds=SEEDS)
        for phase in ("weights", "choices"):
            draw.of_phase(phase).expect("code", numbers(3, 4, 2, 3), quadratic)
        assert set(draw.states) == {"weights.code", "choices.code"}


class TestSample:
    @pytest.mark.parametrize("estimator", ["rloo", "exact", "reinforce"])
    def test_an_estimator_without_samples_refuses_logits_that_need_a_gradient(self, estimator: str) -> None:
        message = f"the call 'parse' needs samples that carry a gradient, {estimator} gives none"
        with pytest.raises(ValueError, match=message):
            training(estimator, seeds=SEEDS).sample("parse", numbers(3, 2, 4).requires_grad_())

    @pytest.mark.parametrize("estimator", ["rloo", "exact"])
    def test_without_a_gradient_it_is_a_plain_draw(self, estimator: str) -> None:
        logits = numbers(3, 5000, 1, 2)[:, :1].expand(-1, 5000, -1, -1)
        samples = training(estimator, seeds=SEEDS).sample("parse", logits)
        assert torch.equal(samples.sum(-1), torch.ones(3, 5000, 1))
        p = logits.softmax(-1)[:, 0, 0, 0]
        deviation = (samples[..., 0].mean((1, 2)) - p) / (p * (1 - p) / 5000).sqrt()
        assert deviation.abs().max() < 4.9, "false alarm 1e-6 a lane"

    def test_a_path_estimator_s_sample_has_its_gradient(self) -> None:
        logits, weights = numbers(3, 4, 2, 3), numbers(3, 4, 2, 3, seed=1)
        one, other = (logits.clone().requires_grad_() for _ in range(2))
        sample: Callable[..., Tensor] = estimators.reinmax
        noise = LaneNoise(seed_keys(SEEDS), Purpose.TRAINING, step=0)
        tau = torch.tensor([0.5, 1.0, 2.0])
        ours = training("reinmax", seeds=SEEDS, temperatures=tau.tolist()).sample("z", one)
        theirs = sample(other, temperature=tau.view(3, 1, 1, 1), generator=noise)
        assert torch.equal(ours, theirs)
        gradients = [
            torch.autograd.grad((z * weights).sum(), leaf)[0] for z, leaf in ((ours, one), (theirs, other))
        ]
        assert torch.equal(*gradients)
