"""The wider field of the speed benchmark: plain loops compute what the tasks do; counts; the command.

Whole trials beside the plain loops are in ``test_plain_trials.py``.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import estimators
from benchmarks.commands.speed import rates
from benchmarks.commands.speed.__main__ import main
from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.setups import Setup
from benchmarks.commands.speed.wider import search, tree_lstm
from benchmarks.commands.speed.wider.bernoulli_vae import BernoulliVAETraining
from benchmarks.commands.speed.wider.cases import CASES
from benchmarks.commands.speed.wider.setups import ReleasedVAE, Search, TreeLSTM
from benchmarks.datasets.listops import Sentence
from benchmarks.engine.evaluation import evaluated
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.tasks.contract import Draw, Phase, Task, Variables
from benchmarks.tasks.gdas import images
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops.sentences import random_sentences
from benchmarks.tasks.listops.task import Sentences
from tests.support.trials import made_up_images

BY_NAME = {case.name: case for case in CASES}
KEYS = seed_keys([7])


def small(name: str, setup: Setup, **values: Any) -> Case:
    """A case of little work."""
    case = BY_NAME[name]
    return Case(
        name=f"tiny-{name}",
        task=case.task | {"batch_size": 5} | values,
        estimator=case.estimator,
        lr=1e-2,
        lanes=1,
        setup=setup,
        warm_up=1,
        compiled=False,
    )


def few_sentences() -> Sentences:
    return random_sentences({"train": 60, "valid": 10, "test": 10}, 9)


def few_images() -> Mapping[Split, Tensor]:
    """Dark ones, of which there is something to learn."""
    images = made_up_images(train=70)
    return {"train": images.train[:50] // 4, "valid": images.train[50:] // 4, "test": images.test // 4}


def black_and_white() -> Mapping[Split, Tensor]:
    return {split: (part > 31) * 255 for split, part in few_images().items()}


VAE = small("bernoulli-vae-released", ReleasedVAE(images=few_images), latents=4, batch_size=20)
BLACK_AND_WHITE = small("bernoulli-vae-released", ReleasedVAE(images=black_and_white), latents=4)
TREE = small("listops-token", TreeLSTM(sentences=few_sentences, dropout=0.0), hidden=6, max_tokens=9)
CELL = small("gdas-small-full", Search(made_up=23))


# Plain loops beside tasks


def likeliest(logits: Tensor) -> Tensor:
    """The most probable value with the gradient of the softmax: an estimator without noise."""
    soft = logits.softmax(-1)
    return functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(soft) + soft - soft.detach()


class Likeliest:
    """The same as a task asks for it; dropout drops nothing."""

    training = True
    properties = estimators.get("st").properties

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """One-hot."""
        return likeliest(logits)

    def expect(self, name: str, logits: Tensor, f: estimators.Objective, *, passes: int = 1) -> Tensor:
        """f at the most probable value."""
        return f(likeliest(logits).unsqueeze(1)).squeeze(1)

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Above every rate of dropout."""
        return torch.full(shape, 0.999, dtype=dtype)


def our_task(case: Case) -> Task:
    trial = case.trials(1)[0]
    task = case.setup.task(trial, torch.device("cpu"))
    assert task is not None
    return task


def started(task: Task) -> Variables:
    return task.init(LaneNoise(KEYS, Purpose.INITIALISATION, step=0), 1)


def as_torchs(name: str, tensor: Tensor) -> Tensor:
    """Of lane 0; rows of a leaf's gates i, f, g, o of those of g, i, f, o."""
    own = tensor.detach()[0]
    return own.unflatten(0, (4, -1))[[1, 2, 0, 3]].flatten(0, 1) if name.startswith("leaf") else own


def test_the_plain_tree_has_the_task_s_loss_and_gradients() -> None:
    task = our_task(TREE)
    group = started(task).groups["model"]
    for tensor in group.values():
        tensor.requires_grad_()
    noise = LaneNoise(KEYS, Purpose.DATA, step=1)
    batch: Any = task.batch("train", torch.arange(5).unsqueeze(0), noise, length=9)
    assert len(set(batch["length"][0].tolist())) > 2
    draw: Draw = Likeliest()
    loss = task.loss(Phase(), Variables(groups={"model": group}), batch, draw).loss
    gradients = torch.autograd.grad(loss.sum(), tuple(group.values()), materialize_grads=True)

    model = tree_lstm.TreeLSTM(18, 6, 0.0, likeliest)
    places = {"classifier.1": "classifier.0", "classifier.4": "classifier.1"}
    names = {f"{one}.{kind}": f"{two}.{kind}" for one, two in places.items() for kind in ("weight", "bias")}
    parameters = {names.get(name, name): parameter for name, parameter in model.named_parameters()}
    assert parameters.keys() == group.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(as_torchs(name, group[name]))
    found = functional.cross_entropy(model(batch["symbols"][0].long(), batch["length"][0]), batch["label"][0])
    found.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    for name, gradient in zip(group, gradients, strict=True):
        torch.testing.assert_close(parameters[name].grad, as_torchs(name, gradient), rtol=1e-4, atol=1e-6)


def test_the_plain_vae_evaluates_as_the_task_does() -> None:
    """Black and white pixels are what they are, and a decoder that ignores its code makes draws equal."""
    task, training = (
        our_task(BLACK_AND_WHITE),
        BLACK_AND_WHITE.setup.training(BLACK_AND_WHITE.trials(1)[0], "cpu"),
    )
    assert isinstance(training, BernoulliVAETraining)
    variables = started(task)
    model = variables.groups["model"]
    model["decoder.0.weight"].zero_()
    model["prior"].copy_(torch.linspace(-1, 1, 4))
    with torch.no_grad():
        for half in ("encoder", "decoder"):
            for layer in range(3):
                for kind in ("weight", "bias"):
                    own = getattr(training.model, half)[2 * layer].get_parameter(kind)
                    own.copy_(model[f"{half}.{layer}.{kind}"][0])
        training.model.prior.copy_(model["prior"][0])
    found = evaluated(task, variables, estimators.get("st").properties, KEYS, number=1)
    wanted = [found[f"{name}"].item() for name in ("train_neg_elbo_fresh", "valid_neg_elbo", "test_neg_elbo")]
    assert training.evaluations() == pytest.approx(wanted, rel=1e-5)


def test_images_of_the_plain_search_are_varied_as_the_task_varies_them() -> None:
    """Of an image, each of the 50 that there are: mirrored or not, moved by up to two pixels either way."""
    values = CELL.trials(1)[0].task.values
    data = images.random(values, {"train": 3, "valid": 1})["train"]
    change = images.Augmentation(data.images)
    ways = list(itertools.product((False, True), range(-2, 3), range(-2, 3)))
    mirrored, down, right = (torch.tensor([way]) for way in zip(*ways, strict=True))
    wanted = change.varied(data.images[1].expand(1, 50, -1, -1, -1), mirrored, down, right)[0]
    varied = search.loaders({"train": data}, 1)["train"].dataset
    torch.manual_seed(0)
    found = [varied[1] for _ in range(2000)]
    assert {int(label) for _, label in found} == {int(data.labels[1])}
    seen = Counter(int((wanted - image).abs().amax((1, 2, 3)).argmin()) for image, _ in found)
    assert all((wanted - image).abs().amax((1, 2, 3)).min() < 1e-5 for image, _ in found)
    # Counts are binomial with mean 40 and deviation 6.3; a right program fails with probability 1e-5.
    assert len(seen) == 50
    assert all(10 < count < 75 for count in seen.values())


@pytest.mark.parametrize("case", [VAE, TREE], ids=lambda case: case.name)
def test_plain_loops_learn(case: Case) -> None:
    """Forty epochs of three to thirty steps: losses of the last epochs are below those of the first."""
    training: Any = case.setup.training(case.trials(1)[0], "cpu")
    steps, losses = training.steps(), []
    for _ in range(40 * our_task(case).steps_per_epoch // (5 if case is TREE else 1)):
        assert next(steps) == 1
        losses.append(training.train_loss)
    part = len(losses) // 5
    assert sum(losses[-part:]) < 0.95 * sum(losses[:part])
    assert len(training.losses if case is VAE else training.accuracies) == (3 if case is VAE else 2)


def test_an_epoch_of_the_plain_search_has_the_task_s_steps() -> None:
    training: Any = CELL.setup.training(CELL.trials(1)[0], "cpu")
    steps = training.steps()
    before = [parameter.clone() for parameter in (training.logits, training.model.head.weight)]
    assert [next(steps) for _ in range(our_task(CELL).steps_per_epoch)] == [1] * 5
    assert not hasattr(training, "cell")
    next(steps)
    assert len(training.cell) == 6
    for old, new in zip(before, (training.logits, training.model.head.weight), strict=True):
        assert not torch.equal(old, new)


def test_buckets_hold_every_sequence_once_beside_its_like() -> None:
    lengths = torch.tensor([9, 2, 5, 2, 9, 5, 2])
    torch.manual_seed(0)
    batches = list(tree_lstm.Buckets(lengths, 3))
    assert sorted(itertools.chain(*batches)) == list(range(7))
    sizes = Counter(tuple(sorted(lengths[batch].tolist())) for batch in batches)
    assert sizes == {(2, 2, 2): 1, (5, 5, 9): 1, (9,): 1}


# Counts


def test_counts_of_the_bernoulli_vae() -> None:
    """100 images through 784 to 200, 200 to 200, 200 to 200; 200 codes through the mirror image."""
    counts = BY_NAME["bernoulli-vae-released"].counts
    weights = 784 * 200 + 200 * 200 + 200 * 200
    assert counts.updates == 2 * weights + 5 * 200 + 784 + 200
    assert sum(m * k * n for m, k, n in counts.matmuls) == 100 * (3 * weights - 784 * 200) + 200 * 3 * weights
    assert counts.noise == 200 * 200
    assert (counts.log, counts.exp) == (200 * 784 + 2 * 100 * 200, 200 * 784 + 100 * 200)


def two_sentences() -> Sentences:
    parts = random_sentences({"train": 2, "valid": 1, "test": 1}, 9)
    return parts | {"train": [Sentence(9, "[MAX 9 2 ]"), Sentence(7, "7")]}


def test_counts_of_the_tree() -> None:
    """Sentences of 5 leaves and of 1: on average 3 leaves, 4 nodes below others, 2 merges, 1.5 choices.

    A sentence of 5 has 4 pairs of leaves, and two more after each of three merges: ten.
    """
    case = small("listops-token", TreeLSTM(sentences=two_sentences), hidden=8)
    counts = case.counts
    leaves, nodes, pairs, parents, choices = 15, 20, 25, 10, 8  # of 5 sentences; 7.5 is rounded to even
    leaf, merge, hidden, classes = 8 * 32, 16 * 40, 8 * 8, 8 * 11
    assert counts.updates == 8 + 18 * 8 + 2 * (leaf + 32) + (merge + 40) + (hidden + 8) + (classes + 11)
    assert sum(m * k * n for m, k, n in counts.matmuls) == (
        3 * 2 * leaves * leaf + (nodes + 2 * pairs + parents) * merge + 3 * 5 * (hidden + classes)
    )
    relaxed = choices * 3  # of 9 pairs in three choices
    assert (counts.noise, counts.log) == (relaxed + 8 * (leaves + 10), 2 * relaxed)
    assert counts.exp == relaxed + 5 * 8 * leaves + 6 * 8 * pairs


@pytest.mark.parametrize(("network", "searched", "numbers"), [("full", 1, 6), ("sparse", 1 / 5, 30)])
def test_counts_of_the_search(network: str, searched: float, numbers: int) -> None:
    """64 images of 16 x 16; stages of 4, 8 and 16 channels, each of six edges with 1 + 9 parts of weights."""
    counts = BY_NAME[f"gdas-small-{network}"].counts
    places = [64 * 256, 64 * 64, 64 * 16]
    edge = [10 * 4**2, 10 * 8**2, 10 * 16**2]
    blocks = [9 * 4 * 8 + 9 * 8 * 8 + 4 * 8, 9 * 8 * 16 + 9 * 16 * 16 + 8 * 16]
    stem, head = 9 * 4, 16 * 10
    biases = 2 * 4 + 2 * 2 * (8 + 16) + 2 * 6 * (4 + 8 + 16) + 10
    assert counts.updates == stem + sum(blocks) + 6 * sum(edge) + head + biases + 30
    fixed = sum(rows * block for rows, block in zip(places[1:], blocks, strict=True)) + 64 * head
    drawn = sum(6 * rows * size for rows, size in zip(places, edge, strict=True))
    of_weights = 2 * places[0] * stem + 3 * fixed + 3 * drawn / 5
    of_architecture = places[0] * stem + 2 * fixed + searched * (2 * drawn - 3 * places[0] * edge[0])
    # Rows of what is drawn are rounded down, by less than 1 in 200.
    total = sum(m * k * n for m, k, n in counts.matmuls)
    assert total == pytest.approx(of_weights + of_architecture, rel=5e-3)
    assert counts.noise == 6 + numbers + 6 * 64
    assert counts.exp == 2 * 64 * 10 + (0 if network == "full" else 30)


# The command


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(rates, "SECONDS", 0.001)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("short")
def test_a_case_without_a_must_has_a_table_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--quick", "--rounds", "1", "--seconds", "0.05", "--processes", "1"]
    assert main([*arguments, "--json", str(tmp_path / "speed.json")], cases=[CELL]) == 0
    (case,) = json.loads((tmp_path / "speed.json").read_text())["cases"]
    assert (case["name"], case["must"], case["goal"], case["verdict"]) == (CELL.name, None, None, None)
    assert case["ours"]["forms"] == ["eager"]
    assert case["ratio"] > 0
    assert case["ours"]["trials_per_hour"] is None
    out = capsys.readouterr().out
    header, line = out.partition("The wider field (no must)\n")[2].splitlines()[:2]
    assert header.split()[:3] == ["case", "lanes", "steps"]
    assert line.split()[:3] == [CELL.name, "1", "eager"]
    assert "verdict" not in out


def test_the_command_knows_the_wider_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "tree"])
    err = capsys.readouterr().err
    assert "invalid choice: 'tree'" in err
    assert all(name in err for name in ("vae-8x4-reinmax", *BY_NAME))
