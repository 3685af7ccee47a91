"""The wider field of the speed benchmark: plain loops compute what the prototypes do; counts; the command."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import estimators
from benchmarks.commands.speed import rates
from benchmarks.commands.speed.__main__ import main
from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.setups import Setup
from benchmarks.datasets.listops import Sentence
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.tasks import registry
from benchmarks.tasks.contract import Draw, Phase, Task, Variables
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops.sentences import random_sentences
from benchmarks.tasks.listops.task import Sentences
from tests.support.plugins import registered
from tests.support.prototypes import bernoulli_vae, image_cell, plain_loops, speed_cases

MODULE = speed_cases.__name__
ANNOUNCED = Path(speed_cases.__file__).parent / "announced"
BY_NAME = {case.name: case for case in speed_cases.CASES}
KEYS = seed_keys([7])


def announced() -> metadata.EntryPoints:
    (found,) = metadata.distributions(path=[str(ANNOUNCED)])
    return found.entry_points


@pytest.fixture(scope="module", autouse=True)
def prototypes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    entries = {entry.name: entry.value for entry in announced()}
    with registered(tmp_path_factory.mktemp("tasks"), entries):
        yield


def test_all_tasks_of_the_cases_are_announced() -> None:
    needed = {case.task["id"] for case in speed_cases.CASES} - {"listops"}
    assert registry.plugins(announced()).keys() == needed


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


VAE = small("bernoulli-vae-200", speed_cases.BernoulliVAE(sizes=bernoulli_vae.Sizes()))


def few_sentences() -> Sentences:
    return random_sentences({"train": 60, "valid": 10, "test": 10}, 9)


TREE = small(
    "listops-token", speed_cases.TreeLSTM(sentences=few_sentences, dropout=0.0), hidden=6, max_tokens=9
)
CELL = small("search-cell-16", speed_cases.SearchCell(sizes=image_cell.Sizes()), width=4)


def our_task(case: Case) -> Task:
    task = case.setup.task(case.trials(1)[0], torch.device("cpu"))
    assert task is not None
    return task


def ours(
    task: Task, phase: Phase, split: Split, length: int | None = None
) -> tuple[Variables, Mapping[str, Tensor], Any, Tensor]:
    """Parameters, gradients, minibatch and loss of one lane."""
    variables = task.init(LaneNoise(KEYS, Purpose.INITIALISATION, step=0), 1)
    leaves = variables.groups[phase.group]
    for tensor in leaves.values():
        tensor.requires_grad_()
    batch = task.batch(
        split, torch.arange(5).unsqueeze(0), LaneNoise(KEYS, Purpose.DATA, step=1), length=length
    )
    draw: Draw = Likeliest()
    loss = task.loss(phase, variables, batch, draw).loss
    gradients = torch.autograd.grad(loss.sum(), tuple(leaves.values()), allow_unused=True)
    found = {
        name: torch.zeros_like(tensor[0]) if g is None else g[0]
        for (name, tensor), g in zip(leaves.items(), gradients, strict=True)
    }
    return variables, found, batch, loss.detach()


def assert_close(found: Mapping[str, nn.Parameter], gradients: Mapping[str, Tensor]) -> None:
    for name, parameter in found.items():
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(grad, gradients[name], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def filled(
    model: nn.Module, names: Mapping[str, str], group: Mapping[str, Tensor]
) -> dict[str, nn.Parameter]:
    """The parameters of a plain model by the task's names, set to the task's values."""
    found = {names.get(name, name): parameter for name, parameter in model.named_parameters()}
    for name, parameter in found.items():
        parameter.copy_(group[name][0])
    return found


def test_the_plain_vae_has_the_task_s_loss_and_gradients() -> None:
    task = our_task(VAE)
    variables, gradients, x, loss = ours(task, task.phases[0], "train")
    model = plain_loops.BernoulliVAE(bernoulli_vae.Sizes(), likeliest)
    parameters = filled(model, {"prior_upper": "prior.upper"}, variables.groups["model"])
    assert parameters.keys() == gradients.keys()
    found = model(x[0])
    found.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    assert_close(parameters, gradients)


def torchs_order(tensor: Tensor) -> Tensor:
    """Rows of the gates i, f, g, o of those of g, i, f, o."""
    ordered: Tensor = tensor.unflatten(1, (4, -1))[:, [1, 2, 0, 3]].flatten(1, 2)
    return ordered


def test_the_plain_tree_has_the_task_s_loss_and_gradients() -> None:
    task = our_task(TREE)
    variables, gradients, batch, loss = ours(task, task.phases[0], "train", length=9)
    assert len(set(batch["length"][0].tolist())) > 2
    model = plain_loops.TreeLSTM(18, 6, 0.0, likeliest)
    places = {"classifier.1": "classifier.0", "classifier.4": "classifier.1"}
    names = {f"{one}.{kind}": f"{two}.{kind}" for one, two in places.items() for kind in ("weight", "bias")}
    group = {
        name: torchs_order(tensor.detach()) if name.startswith("leaf") else tensor.detach()
        for name, tensor in variables.groups["model"].items()
    }
    parameters = filled(model, names, group)
    assert parameters.keys() == gradients.keys()
    found = functional.cross_entropy(model(batch["symbols"][0].long(), batch["length"][0]), batch["label"][0])
    found.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    expected = {
        name: torchs_order(g.unsqueeze(0))[0] if name.startswith("leaf") else g
        for name, g in gradients.items()
    }
    assert_close(parameters, expected)


@pytest.mark.parametrize("phase", [0, 1], ids=["weights", "architecture"])
def test_the_plain_search_has_the_task_s_losses_and_gradients(phase: int) -> None:
    task = our_task(CELL)
    of = task.phases[phase]
    training = CELL.setup.training(CELL.trials(1)[0], "cpu")
    assert isinstance(training, plain_loops.SearchTraining)
    variables, gradients, batch, loss = ours(task, of, of.split)
    names = {
        f"edges.{edge}.{kind}.0.weight": f"edge.{edge}.{kind}.weight"
        for edge, kind in itertools.product(range(3), ("linear", "relu"))
    }
    parameters = filled(training.model, names, variables.groups["weights"])
    with torch.no_grad():
        training.architecture.copy_(variables.groups["architecture"]["logits"][0])
    cell = likeliest(training.architecture)
    found = training.weights_loss(batch["x"][0], batch["y"][0], cell.detach() if phase == 0 else cell)
    found.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    assert_close(parameters if phase == 0 else {"logits": training.architecture}, gradients)


def test_lanes_of_the_image_cell_are_apart() -> None:
    """The convolution of three lanes at once is that of each."""
    task = our_task(CELL)
    keys = seed_keys([1, 2, 3])
    variables = task.init(LaneNoise(keys, Purpose.INITIALISATION, step=0), 3)
    index = torch.arange(15).view(3, 5)
    draw: Draw = Likeliest()

    def loss(lanes: slice) -> Tensor:
        part = Variables(
            groups={
                name: {key: tensor[lanes] for key, tensor in group.items()}
                for name, group in variables.groups.items()
            },
            buffers={key: tensor[lanes] for key, tensor in variables.buffers.items()},
        )
        noise = LaneNoise(keys[lanes], Purpose.DATA, step=1)
        return task.loss(
            task.phases[1], part, task.batch("valid", index[lanes], noise, length=None), draw
        ).loss.detach()

    alone = torch.cat([loss(slice(lane, lane + 1)) for lane in range(3)])
    torch.testing.assert_close(loss(slice(None)), alone, rtol=1e-5, atol=0)
    assert len(set(alone.tolist())) == 3


@pytest.mark.parametrize("case", [VAE, TREE, CELL], ids=lambda case: case.name)
def test_plain_loops_learn(case: Case) -> None:
    """Forty epochs of three to thirty steps: losses of the last epochs are below those of the first."""
    training: Any = case.setup.training(case.trials(1)[0], "cpu")
    steps, losses = training.steps(), []
    for _ in range(40 * our_task(case).steps_per_epoch // (5 if case is TREE else 1)):
        assert next(steps) == 1
        losses.append(training.train_loss)
    part = len(losses) // 5
    assert sum(losses[-part:]) < 0.95 * sum(losses[:part])
    evaluated = training.losses if case is VAE else training.accuracies
    assert len(evaluated) == 2


def test_buckets_hold_every_sequence_once_beside_its_like() -> None:
    lengths = torch.tensor([9, 2, 5, 2, 9, 5, 2])
    torch.manual_seed(0)
    batches = list(plain_loops.Buckets(lengths, 3))
    assert sorted(itertools.chain(*batches)) == list(range(7))
    sizes = Counter(tuple(sorted(lengths[batch].tolist())) for batch in batches)
    assert sizes == {(2, 2, 2): 1, (5, 5, 9): 1, (9,): 1}


# Counts


def test_counts_of_the_bernoulli_vae() -> None:
    """784 to 200, 200 to 200, 400 to 200, 200 to 200, 200 to 200, 200 to 784; 100 images."""
    counts = BY_NAME["bernoulli-vae-200"].counts
    weights = 784 * 200 + 200 * 200 + 400 * 200 + 200 * 200 + 200 * 200 + 200 * 784
    assert counts.updates == weights + 5 * 200 + 784 + 200
    assert sum(m * k * n for m, k, n in counts.matmuls) == 100 * (3 * weights - 784 * 200)
    assert (counts.noise, counts.log, counts.exp) == (
        100 * (784 + 400),
        100 * (784 + 600),
        100 * (784 + 600),
    )


def two_sentences() -> Sentences:
    parts = random_sentences({"train": 2, "valid": 1, "test": 1}, 9)
    return parts | {"train": [Sentence(9, "[MAX 9 2 ]"), Sentence(7, "7")]}


def test_counts_of_the_tree() -> None:
    """Sentences of 5 leaves and of 1: on average 3 leaves, 4 nodes below others, 2 merges, 1.5 choices.

    A sentence of 5 has 4 pairs of leaves, and two more after each of three merges: ten.
    """
    case = small("listops-token", speed_cases.TreeLSTM(sentences=two_sentences), hidden=8)
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


def test_counts_of_the_search() -> None:
    """64 images of 16 x 16; edges of 16 x 16 and 144 x 16 weights, a stem of 27 x 16, a head of 16 x 3."""
    counts = BY_NAME["search-cell-16"].counts
    places, edge = 64 * 256, 16 * 16 + 144 * 16
    assert counts.updates == 27 * 16 + 3 * edge + (16 * 3 + 3) + 12
    weights_update = places * (2 * 27 * 16 + 9 * edge) + 3 * 64 * 16 * 3
    search_update = places * (27 * 16 + 4 * edge)
    assert sum(m * k * n for m, k, n in counts.matmuls) == weights_update + search_update


# The command


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(rates, "SECONDS", 0.001)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("short")
def test_cases_of_a_module_are_run_beside_those_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed_cases, "CASES", (VAE,))
    arguments = ["--also", MODULE, "--rounds", "1", "--seconds", "0.05", "--processes", "1"]
    assert main([*arguments, "--json", str(tmp_path / "speed.json")], cases=()) == 0
    (case,) = json.loads((tmp_path / "speed.json").read_text())["cases"]
    assert (case["name"], case["must"], case["goal"], case["verdict"]) == (VAE.name, None, None, None)
    assert case["ours"]["forms"] == ["eager"]
    assert case["ratio"] > 0
    assert case["ours"]["trials_per_hour"] is None
    out = capsys.readouterr().out
    header, line = out.partition("The wider field (no must)\n")[2].splitlines()[:2]
    assert header.split()[:3] == ["case", "lanes", "steps"]
    assert line.split()[:3] == [VAE.name, "1", "eager"]
    assert "verdict" not in out


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("tests.support.no_such_module", "no cases in tests.support.no_such_module: No module named"),
        ("tests.support.plugins", "no cases in tests.support.plugins: module .* has no attribute 'CASES'"),
    ],
)
def test_a_module_without_cases_is_told(
    module: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--also", module])
    assert re.search(message, capsys.readouterr().err)


def test_a_task_that_is_not_registered_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = small("listops-token", TREE.setup, id="stranger")
    monkeypatch.setattr(speed_cases, "CASES", (stranger,))
    with pytest.raises(SystemExit, match="2"):
        main(["--also", MODULE])
    assert "no task 'stranger'; there are polynomial" in capsys.readouterr().err


def test_only_takes_names_of_additional_cases(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--also", MODULE, "--only", "tree"])
    err = capsys.readouterr().err
    assert "invalid choice: 'tree'" in err
    assert "vae-8x4-reinmax" in err
    assert "listops-token" in err
