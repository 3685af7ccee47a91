"""Evaluations: through whole splits, the same whatever the chunks, with the noise of old results."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import estimators
from benchmarks.engine.evaluation import evaluated
from benchmarks.engine.noise import ExampleNoise, LaneNoise, Purpose, seed_keys
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource
from estimators._ops import draw as plain_draw
from tests.support.trials import run, trial

CPU = torch.device("cpu")
SEEDS = [3, 2**35 + 1]
PROPERTIES = estimators.get("rloo").properties
CHUNKS = [1000, 7, 400, 999, 2499, 10_000]
"""Some divide a split, some leave one example for the last chunk."""


class Choices(TaskBase):
    """Everything that an evaluation may draw, example by example.

    Args:
        splits: examples of each.
        lengths: of the examples of splits.
    """

    batch_size = 20
    steps_per_epoch = 1

    def __init__(
        self,
        splits: Mapping[Split, int],
        *,
        evaluated: tuple[Split, ...] = ("test",),
        lengths: Mapping[Split, Tensor] | None = None,
    ) -> None:
        self.splits, self.evaluated, self.lengths = splits, evaluated, lengths or {}
        self.asked: list[tuple[str, int, int | None]] = []

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Logits of three variables of two categories, and of two shared choices."""
        numbers = noise.uniform((lanes, 5, 2), dtype=torch.float32, device=CPU)
        return Variables(groups={"model": {"code": numbers[:, :3], "shared": numbers[:, 3:]}})

    def batch(
        self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None
    ) -> dict[str, Tensor]:
        """The indices themselves, and inputs that are drawn."""
        self.asked.append((split, index.shape[1], length))
        pixels = noise.uniform((*index.shape, 2), dtype=torch.float64, device=CPU)
        return {"index": index, "pixels": pixels}

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Not asked."""
        raise NotImplementedError

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> dict[str, Tensor]:
        """Numbers that tell one draw from another."""
        assert isinstance(batch, dict)
        index, parameters = batch["index"], variables.groups["model"]
        assert not draw.training
        logits = parameters["code"].unsqueeze(1).expand(-1, index.shape[1], -1, -1)
        shared = draw.sample("shared", parameters["shared"])

        def f(samples: Tensor) -> Tensor:
            inner = draw.sample("inner", samples[..., :1, :] * 0.5)
            return (samples * torch.arange(6.0).view(3, 2)).sum((-1, -2)) + 100 * inner[..., 0, 0]

        value = draw.expect("code", logits, f)
        dropped = draw.uniform("dropout", tuple(index.shape), dtype=torch.float64)
        return {
            f"{split}_index": index.double().square(),
            f"{split}_value": value.double() * (1 + index),
            f"{split}_dropout": dropped * (1 + index),
            f"{split}_pixels": batch["pixels"].sum(-1) * (1 + index),
            f"{split}_shared": shared[:, :1, 0].double() + 0 * index,
        }

    def measure(self, variables: Variables) -> dict[str, Tensor]:
        """A number without data."""
        return {"first": variables.groups["model"]["code"][:, 0, 0]}


def variables(task: Choices, seeds: list[int]) -> Variables:
    return task.init(LaneNoise(seed_keys(seeds), Purpose.INITIALISATION, step=0), len(seeds))


def results(task: Choices, *, seeds: list[int] = SEEDS, number: int = 4, **options: Any) -> dict[str, Tensor]:
    return evaluated(task, variables(task, seeds), PROPERTIES, seed_keys(seeds), number=number, **options)


@pytest.mark.parametrize("examples", [2500, 2001, 400, 1])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_results_do_not_depend_on_chunks(examples: int, chunk: int) -> None:
    """All sums are float64 of exact numbers or of at most 2500 products: rounding is below 1e-12."""
    task = Choices({"test": examples})
    expected = results(task, chunk=1000)
    found = results(task, chunk=chunk)
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=0, msg=name)


@pytest.mark.parametrize("chunk", [7, 29, 30])
def test_trials_report_the_same_whatever_the_chunks(chunk: int) -> None:
    """30 images; float32 products of few rows round differently."""
    trials = [trial("categorical_vae", seed=seed) for seed in (0, 1)]
    expected, _ = run(*trials)
    curves, _ = run(*trials, evaluation_chunk=chunk)
    for lane in (0, 1):
        for (metric, epoch, value), (*same, wanted) in zip(curves[lane], expected[lane], strict=True):
            assert [metric, epoch] == same
            assert value == (pytest.approx(wanted, rel=1e-6) if metric == "test_neg_elbo" else wanted)


class Drawing(Choices):
    """Four variables of ``n`` categories, drawn for every example."""

    n = 2

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> dict[str, Tensor]:
        """What was drawn, weighted by the example."""
        assert isinstance(batch, dict)
        index = batch["index"]
        logits = torch.linspace(-1, 1, self.n).expand(*index.shape, 4, -1)
        chosen = draw.sample("code", logits).argmax(-1)
        return {"chosen": (chosen * (1 + index.unsqueeze(-1))).sum(-1).double()}


@pytest.mark.parametrize("n", [2, 3])
def test_choices_are_those_that_blocks_of_a_thousand_always_had(n: int) -> None:
    task = Drawing({"test": 2500})
    task.n = n
    source = LaneNoise(seed_keys(SEEDS), Purpose.EVALUATION, step=4)
    p = torch.linspace(-1, 1, n).softmax(-1)
    blocks = [plain_draw(p.expand(2, size, 4, n), source).argmax(-1) for size in (1000, 1000, 500)]
    total = (torch.cat(blocks, 1) * (1 + torch.arange(2500)).view(-1, 1)).sum((1, 2))
    assert torch.equal(results(task, chunk=400)["chosen"], total.double() / 2500)


def test_lanes_and_numbers_of_evaluations_have_noise_of_their_own() -> None:
    task = Choices({"test": 900})
    both, another = results(task), results(task, number=5)
    for name in ("test_value", "test_dropout", "test_pixels"):
        assert both[name][0] != both[name][1]
        assert (both[name] != another[name]).all()
    for lane, seed in enumerate(SEEDS):
        for name, value in results(task, seeds=[seed]).items():
            torch.testing.assert_close(value[0], both[name][lane], rtol=1e-12, atol=0)


def test_means_are_over_the_examples_of_a_split_and_each_has_its_own() -> None:
    task = Choices({"train": 50, "valid": 30, "test": 7}, evaluated=("valid", "test"))
    found = results(task, chunk=20)
    for split, examples in (("valid", 30), ("test", 7)):
        squares = sum(i * i for i in range(examples)) / examples
        assert found[f"{split}_index"].tolist() == [squares] * 2
    assert task.asked == [("valid", 20, None), ("valid", 10, None), ("test", 7, None)]
    assert not any(name.startswith("train") for name in found)
    assert torch.equal(found["first"], variables(task, SEEDS).groups["model"]["code"][:, 0, 0])


def test_splits_have_noise_of_their_own() -> None:
    task = Choices({"train": 1, "valid": 30, "test": 30}, evaluated=("valid", "test"))
    found = results(task)
    for name in ("value", "dropout", "pixels"):
        assert (found[f"valid_{name}"] != found[f"test_{name}"]).all()


def test_chunks_are_cut_to_their_longest_example() -> None:
    lengths = torch.tensor([3, 9, 4, 1, 2, 12, 5])
    task = Choices({"test": 7}, lengths={"test": lengths})
    results(task, chunk=3)
    assert task.asked == [("test", 3, 9), ("test", 3, 12), ("test", 1, 5)]


def test_no_gradient_is_kept() -> None:
    task = Choices({"test": 5})
    start = variables(task, SEEDS)
    code: Parameters = {name: value.clone().requires_grad_() for name, value in start.groups["model"].items()}
    found = evaluated(task, Variables(groups={"model": code}), PROPERTIES, seed_keys(SEEDS), number=1)
    assert not any(value.requires_grad for name, value in found.items() if name.startswith("test"))


class TestExampleNoise:
    @staticmethod
    def chunks(examples: int, chunk: int, stream: int = 0) -> list[ExampleNoise]:
        return [
            ExampleNoise(
                seed_keys(SEEDS),
                step=6,
                examples=examples,
                first=first,
                count=min(chunk, examples - first),
                stream=stream,
            )
            for first in range(0, examples, chunk)
        ]

    @pytest.mark.parametrize("kind", ["uniform", "centred"])
    @pytest.mark.parametrize("chunk", CHUNKS)
    def test_a_block_of_a_thousand_examples_has_the_numbers_that_it_always_had(
        self, chunk: int, kind: str
    ) -> None:
        """Draw b of the stream for evaluations is that of block b: stored results were made so."""
        source = LaneNoise(seed_keys(SEEDS), Purpose.EVALUATION, step=6)
        blocks = [
            getattr(source, kind)((2, size, 5), dtype=torch.float32, device=CPU) for size in (1000, 1000, 500)
        ]
        parts = [
            getattr(noise, kind)((2, min(chunk, 2500 - chunk * k), 5), dtype=torch.float32, device=CPU)
            for k, noise in enumerate(self.chunks(2500, chunk))
        ]
        assert torch.equal(torch.cat(parts, 1), torch.cat(blocks, 1))

    @pytest.mark.parametrize("kind", ["uniform", "centred"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("chunk", [1, 7, 50])
    def test_axes_of_one_before_the_examples_do_not_matter(
        self, kind: str, dtype: torch.dtype, chunk: int
    ) -> None:
        """As where f has drawn one sample, and draws again within."""
        found = []
        for ones in ((), (1,), (1, 1)):
            parts = []
            for k, noise in enumerate(self.chunks(50, chunk)):
                shape = (2, *ones, min(chunk, 50 - chunk * k), 5)
                numbers: Tensor = getattr(noise, kind)(shape, dtype=dtype, device=CPU)
                assert numbers.shape == shape
                parts.append(numbers.reshape(2, -1, 5))
            found.append(torch.cat(parts, 1))
        assert all(torch.equal(found[0], other) for other in found)
        assert found[0].unique().numel() == found[0].numel()

    def test_calls_and_streams_and_blocks_have_numbers_of_their_own(self) -> None:
        numbers = [
            noise.uniform((2, 900, 1), dtype=torch.float64, device=CPU)
            for stream in (0, 1, 255, 256)
            for noise in itertools.chain.from_iterable(
                (chunk, chunk) for chunk in self.chunks(1800, 900, stream)
            )
        ]
        assert torch.cat(numbers).unique().numel() == 4 * 2 * 2 * 2 * 900

    def test_what_all_examples_share_is_the_same_in_every_chunk(self) -> None:
        drawn = [
            noise.uniform((2, 3, 4), dtype=torch.float32, device=CPU) for noise in self.chunks(2500, 400)
        ]
        assert all(torch.equal(drawn[0], other) for other in drawn)

    def test_a_split_that_is_too_large_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at most 1,024,000 examples, got 1,024,001"):
            self.chunks(1_024_001, 1_024_001)
