"""ListOps: the reader, the leaves, the tree against its equations written out, and the task around them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import estimators
from benchmarks.datasets import listops as data_set
from benchmarks.datasets.listops import Sentence
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.tasks import registry
from benchmarks.tasks.contract import Draw, Phase, Variables
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops import leaves, start, tree
from benchmarks.tasks.listops import task as task_module
from benchmarks.tasks.listops.info import INFO, longest, split_sizes
from benchmarks.tasks.listops.reader import SYMBOLS, read, tokens
from benchmarks.tasks.listops.references import MAJORITY
from benchmarks.tasks.listops.sentences import random_sentences
from benchmarks.tasks.listops.task import CLASSES, ListOps, cross_entropy
from benchmarks.tasks.tables import table
from tests.support.draws import training
from tests.support.trials import run, trial

CPU = torch.device("cpu")
HARD = [
    id
    for id in estimators.available()
    if (p := estimators.get(id).properties).kind == "path" and p.hard_forward
]


def build(*, dropout: float = 0.0, dtype: torch.dtype = torch.float64, **values: Any) -> ListOps:
    """The task on made-up sentences."""
    given = {"max_tokens": 8, "hidden": 5, "batch_size": 6} | values
    made_up: dict[Split, int] = {"train": 40, "valid": 20, "test": 30}
    return ListOps(INFO.values(given), device=CPU, made_up=made_up, dtype=dtype, dropout=dropout)


def begin(task: ListOps, lanes: int = 1) -> Variables:
    """Where training starts, with a query and a last layer that are not nearly zero."""
    keys = seed_keys(range(7, 7 + lanes))
    model = dict(task.init(LaneNoise(keys, Purpose.INITIALISATION, step=0), lanes).groups["model"])
    for name in ("query", "embedding.weight", "classifier.1.weight"):
        model[name] = model[name] * 100
    return Variables(groups={"model": model})


class Chooser:
    """A draw that follows from the logits by a rule of the test; dropout keeps everything."""

    training = True
    properties = estimators.get("st").properties

    def __init__(self, choose: Callable[[int, Tensor], Tensor]) -> None:
        self._choose = choose
        self.asked: list[Tensor] = []

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """One-hot in value, softmax in gradient."""
        soft = logits.softmax(-1)
        hard = functional.one_hot(self._choose(len(self.asked), logits), logits.shape[-1])
        self.asked.append(logits.detach().squeeze(-2))
        return hard.to(soft.dtype) + soft - soft.detach()

    def expect(self, name: str, logits: Tensor, f: estimators.Objective, *, passes: int = 1) -> Tensor:
        """Not asked for."""
        raise NotImplementedError

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Above every rate of dropout."""
        return torch.full(shape, 0.999, dtype=dtype)


def first_legal(_: int, logits: Tensor) -> Tensor:
    return torch.zeros(logits.shape[:-1], dtype=torch.long)


def gradient(task: ListOps, variables: Variables, batch: Any, draw: Draw) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss by lane, and its gradient."""
    model = variables.groups["model"]
    for tensor in model.values():
        tensor.requires_grad_()
    loss = task.loss(Phase(), variables, batch, draw).loss
    found = torch.autograd.grad(loss.sum(), tuple(model.values()))
    return loss, dict(zip(model, found, strict=True))


# Reader


def test_tokens_leave_round_brackets_out_and_split_operators_from_their_bracket() -> None:
    found = tokens("( ( ( ( [MIN 4 ) ( ( ( [SM 2 ) 9 ) ] ) ) ] ) )")
    assert found == ["[", "MIN", "4", "[", "SM", "2", "9", "]", "]"]
    assert tokens("7") == ["7"]


def test_symbols_are_those_of_both_readers() -> None:
    """18 and 23, with unknown and padding; characters are blanks, two brackets, digits, eight letters."""
    assert len(SYMBOLS["token"]) == len(set(SYMBOLS["token"])) == 18
    assert len(SYMBOLS["char"]) == len(set(SYMBOLS["char"])) == 23
    assert set(SYMBOLS["char"][2:]) == set(" []0123456789ADEIMNSX")


SENTENCES = [
    Sentence(9, "( ( ( [MAX 9 ) 2 ) ] )"),
    Sentence(3, "3"),
    Sentence(1, "( ( ( ( [SM 4 ) 4 ) 3 ) ] )"),
]


def spelled(part: Mapping[str, Tensor], reader: str, row: int) -> list[str]:
    return [SYMBOLS[reader][i] for i in part["symbols"][row].tolist()]


def test_a_reader_keeps_sentences_by_tokens_and_pads_them() -> None:
    words = read(SENTENCES, "token", most=5, by_length=False)
    assert words["length"].tolist() == [5, 1]
    assert words["label"].tolist() == [9, 3]
    assert spelled(words, "token", 0) == ["[", "MAX", "9", "2", "]"]
    assert spelled(words, "token", 1) == ["3", *["<padding>"] * 4]
    letters = read(SENTENCES, "char", most=5, by_length=False)
    assert letters["length"].tolist() == [11, 1]  # kept by tokens, long by characters
    assert "".join(spelled(letters, "char", 0)) == "[ MAX 9 2 ]"


def test_sentences_by_length() -> None:
    part = read(SENTENCES, "token", most=6, by_length=True)
    assert (part["length"].tolist(), part["label"].tolist()) == ([1, 5, 6], [3, 9, 1])


def test_what_a_reader_does_not_know_is_unknown() -> None:
    part = read([Sentence(0, "[AVG 1 2 ]")], "token", most=9, by_length=False)
    assert spelled(part, "token", 0) == ["[", "<unknown>", "1", "2", "]"]


def test_sizes_follow_from_the_longest_sentence_and_what_is_wanted() -> None:
    assert split_sizes(INFO.values({})) == {"train": 77_291, "valid": 857, "test": 8_689}
    assert split_sizes(INFO.values({"train_sentences": 5000}))["train"] == 5000
    assert split_sizes(INFO.values({"max_tokens": 5})) == {"train": 355, "valid": 3, "test": 52}
    assert split_sizes(INFO.values({"max_tokens": 5, "train_sentences": 5000}))["train"] == 355
    assert longest(INFO.values({"reader": "token"})) == 99
    assert longest(INFO.values({"reader": "char", "max_tokens": 5})) == 11  # "[ MAX 9 2 ]"


@pytest.fixture
def real(real_data_dir: object) -> dict[str, list[Sentence]]:
    """The data set."""
    return data_set.load()


@pytest.mark.data
def test_the_real_sentences_are_as_registered(real: dict[str, list[Sentence]]) -> None:
    """Those of fewer than 100 tokens: 857 of 1,000 and 8,689 of 10,000; lengths by both readers."""
    words = {s: read(part, "token", most=99, by_length=True) for s, part in real.items()}
    letters = {s: read(part, "char", most=99, by_length=True) for s, part in real.items()}
    assert {s: len(part["length"]) for s, part in words.items()} == split_sizes(INFO.values({}))
    for row in table("benchmarks.tasks.listops", "lengths"):
        of_length = {s: part["length"] == int(row["tokens"]) for s, part in words.items()}
        assert {s: int(of.sum()) for s, of in of_length.items()} == {s: int(row[s]) for s in words}
    most = {s: (int(words[s]["length"][-1]), int(letters[s]["length"][-1])) for s in ("valid", "test")}
    assert most == {"valid": (99, 229), "test": (99, 231)}
    assert words["test"]["length"].double().mean().item() == pytest.approx(24.2347, abs=1e-4)
    assert letters["test"]["length"].double().mean().item() == pytest.approx(54.8578, abs=1e-4)
    assert letters["train"]["length"][-1] == longest(INFO.values({"reader": "char"}))


@pytest.mark.data
def test_the_real_sentences_use_every_symbol_and_the_majority_is_known(
    real: dict[str, list[Sentence]],
) -> None:
    for reader in ("token", "char"):
        used = set(read(real["valid"], reader, most=99, by_length=False)["symbols"].unique().tolist())
        assert used | {0, 1} == set(range(len(SYMBOLS[reader])))
        assert 0 not in used
    most_frequent = {"valid": (1, 0.119020, 0.119000), "test": (9, 0.113477, 0.114100)}
    for split, (label, kept, everything) in most_frequent.items():
        found = read(real[split], "token", most=99, by_length=False)["label"]
        assert found.bincount().argmax() == label
        assert (found == label).double().mean().item() == pytest.approx(kept, abs=1e-6)
        assert MAJORITY[split] == pytest.approx(100 * kept, abs=1e-4)
        labels = torch.tensor([one.label for one in real[split]])
        assert (labels == label).double().mean().item() == pytest.approx(everything, abs=1e-6)


@pytest.mark.data
def test_the_first_training_sentences_are_taken(real: dict[str, list[Sentence]]) -> None:
    task = ListOps(INFO.values({"train_sentences": 50}), device=CPU)
    whole = read(real["train"], "token", most=99, by_length=False)
    assert torch.equal(task.lengths["train"], whole["length"][:50])
    assert task.steps_per_epoch == 4  # three minibatches of 16, one of 2


def test_another_data_set_than_the_registered_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {split: SENTENCES for split in ("train", "valid", "test")}
    monkeypatch.setattr(data_set, "load", lambda data_dir: few)
    with pytest.raises(ValueError, match=r"should have .*77291.* it has .*'train': 3"):
        ListOps(INFO.values({}), device=CPU)


def test_how_many_sentences_are_used_is_part_of_a_trial_s_key() -> None:
    whole, part = (trial("listops", "reinmax", train_sentences=count) for count in (0, 5000))
    assert whole.key != part.key


def test_made_up_sentences_are_right_and_as_long_as_declared() -> None:
    made = random_sentences({"train": 30, "valid": 5, "test": 5}, 9)
    for part in made.values():
        assert all(data_set.value(one.text) == one.label for one in part)
        assert max(len(tokens(one.text)) for one in part) == 9


# Leaves


def test_leaves_are_the_states_of_torchs_cell() -> None:
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(3, 4).double()
    order = [2, 0, 1, 3]  # torch has i, f, g, o

    def ours(tensor: Tensor) -> Tensor:
        reordered: Tensor = tensor.unflatten(0, (4, 4))[order].flatten(0, 1)
        return reordered

    x = torch.randn(5, 2, 3, dtype=torch.float64)
    inputs = x @ ours(cell.weight_ih).T + ours(cell.bias_ih) + ours(cell.bias_hh)
    found = leaves.read(inputs.unsqueeze(0), ours(cell.weight_hh).unsqueeze(0))
    h = c = torch.zeros(2, 4, dtype=torch.float64)
    for place in range(5):
        h, c = cell(x[place], (h, c))
        torch.testing.assert_close(found[0, place], torch.cat([h, c], -1))


def test_the_derivative_of_leaves() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, 4, 3, 8, dtype=torch.float64, requires_grad=True)
    recurrent = torch.randn(2, 8, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(leaves.read, (inputs, recurrent))


# Tree


def forest(lanes: int, places: int, *lengths: int) -> tuple[list[Tensor], Tensor]:
    """Leaves, W, b and query, and lengths of sequences, of width 4."""
    torch.manual_seed(places)
    width, rows = 4, len(lengths)
    shapes = ((places, rows, 2 * width), (5 * width, 2 * width), (5 * width,), (width,))
    tensors = [torch.randn(lanes, *shape, dtype=torch.float64).requires_grad_() for shape in shapes]
    return tensors, torch.tensor(lengths).expand(lanes, -1)


def grown(
    tensors: list[Tensor], length: Tensor, choose: tree.Choose, *, hard: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The root, and the gradient of a curved function of it."""
    nodes, *composition = tensors
    h = tree.root(nodes, length, tree.Composition(*composition), choose, hard=hard)
    weights = torch.linspace(1, 2, h.shape[-1], dtype=h.dtype)
    loss = (h * weights).sum(-1).sin().square().sum()
    return h, torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("estimator", HARD)
def test_kept_pairs_have_values_and_gradients_of_the_equations(estimator: str) -> None:
    """Sequences of all kinds: as long as there are places, shorter, of two leaves and of one."""
    tensors, length = forest(2, 7, 7, 3, 1, 6, 2, 7)

    def chooser() -> tree.Choose:
        draw = training(estimator, seeds=[1, 2], dtype=torch.float64)
        return lambda logits: draw.sample("merge", logits.unsqueeze(-2)).squeeze(-2)

    h, found = grown(tensors, length, chooser(), hard=True)
    expected_h, expected = grown(tensors, length, chooser(), hard=False)
    torch.testing.assert_close(h, expected_h, rtol=1e-12, atol=1e-14)
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_gradients_reach_earlier_choices_and_not_later_ones_alone() -> None:
    """Without the first choice's part the gradient is another one."""
    tensors, length = forest(1, 5, 5, 5)

    def chooser(*, first: bool) -> tree.Choose:
        asked: list[Tensor] = []

        def choose(logits: Tensor) -> Tensor:
            asked.append(logits)
            soft = logits.softmax(-1)
            hard = torch.zeros_like(soft)
            hard[..., 0] = 1
            return hard if len(asked) == 1 and not first else hard + soft - soft.detach()

        return choose

    whole = grown(tensors, length, chooser(first=True), hard=False)[1]
    kept = grown(tensors, length, chooser(first=True), hard=True)[1]
    torch.testing.assert_close(kept, whole, rtol=1e-10, atol=1e-13)
    part = grown(tensors, length, chooser(first=False), hard=False)[1]
    assert (whole[1] - part[1]).abs().max() > 1e-3


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("hard", [True, False])
def test_one_and_two_leaves_need_no_choice(places: int, hard: bool) -> None:
    tensors, length = forest(1, places, *range(1, places + 1))

    def choose(logits: Tensor) -> Tensor:
        raise AssertionError("there is nothing to choose")

    h, gradients = grown(tensors, length, choose, hard=hard)
    assert torch.equal(h[0, 0], tensors[0][0, 0, 0, :4])
    assert gradients[3].abs().max() == 0  # no score is asked for
    if places == 2:
        leaves_of = tensors[0][0, :, 1]
        torch.testing.assert_close(h[0, 1], node_of_children(*tensors[1:3], *leaves_of)[:4])


def node_of_children(weight: Tensor, bias: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """One candidate parent of lane 0, written out gate by gate; nodes are h and c in one vector."""
    width = len(left) // 2
    g, i, f_left, f_right, o = (weight[0] @ torch.cat([left[:width], right[:width]]) + bias[0]).split(width)
    kept = torch.sigmoid(f_left + 1) * left[width:] + torch.sigmoid(f_right + 1) * right[width:]
    c = kept + torch.sigmoid(i) * torch.tanh(g)
    return torch.cat([torch.sigmoid(o) * torch.tanh(c), c])


def written_out(
    model: Mapping[str, Tensor], symbols: list[int], choices: tuple[int, ...]
) -> tuple[Tensor, float]:
    """Scores of the classes of one sentence in lane 0, and ln of the probability of the choices."""
    one = {name: tensor[0].detach() for name, tensor in model.items()}
    width = one["query"].shape[0]
    h = c = torch.zeros(width, dtype=torch.float64)
    nodes = []
    for symbol in symbols:
        z = one["leaf.weight_ih"] @ one["embedding.weight"][symbol] + one["leaf.bias_ih"]
        g, i, f, o = (z + one["leaf.weight_hh"] @ h + one["leaf.bias_hh"]).split(width)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        nodes.append(torch.cat([h, c]))
    log_p = 0.0
    for chosen in (*choices, 0)[: len(nodes) - 1]:
        parents = [
            node_of_children(model["merge.weight"], model["merge.bias"], *pair)
            for pair in itertools.pairwise(nodes)
        ]
        logits = torch.stack([parent[:width] @ one["query"] for parent in parents]) / math.sqrt(width)
        log_p += float(logits.log_softmax(0)[chosen])
        nodes[chosen : chosen + 2] = [parents[chosen].detach()]
    hidden = one["classifier.0.weight"] @ nodes[0][:width] + one["classifier.0.bias"]
    return one["classifier.1.weight"] @ hidden.relu() + one["classifier.1.bias"], log_p


def of_length(task: ListOps, length: int) -> int:
    """The first training sentence of that length."""
    return int((task.lengths["train"] == length).nonzero()[0])


def sentences(task: ListOps, length: int | None, *indices: int) -> Any:
    """Training sentences of one lane, cut to ``length``."""
    return task.batch(
        "train", torch.tensor([indices]), LaneNoise(seed_keys([1]), Purpose.DATA, step=1), length=length
    )


TREES = [(a, b, c) for a in range(4) for b in range(3) for c in range(2)]
"""Choices of five leaves."""


@pytest.mark.parametrize("choices", TREES)
def test_choices_build_the_tree_they_say(choices: tuple[int, ...]) -> None:
    task = build()
    variables, batch = begin(task), sentences(task, 5, of_length(task, 5))
    draw = Chooser(lambda merge, logits: torch.full(logits.shape[:-1], choices[merge]))
    loss = task.loss(Phase(), variables, batch, draw).loss
    symbols, label = batch["symbols"][0, 0].tolist(), batch["label"][0, 0]
    scores, _ = written_out(variables.groups["model"], symbols, choices)
    assert loss.item() == pytest.approx(float(-scores.log_softmax(0)[label]), rel=1e-12)


def test_the_mean_loss_is_that_of_all_trees() -> None:
    """Two thousand copies of a sentence: five standard errors."""
    task, copies = build(), 2000
    variables, index = begin(task), of_length(task, 5)
    batch = sentences(task, 5, *[index] * copies)
    symbols, label = batch["symbols"][0, 0].tolist(), batch["label"][0, 0]
    found = [written_out(variables.groups["model"], symbols, choices) for choices in TREES]
    p = torch.tensor([log_p for _, log_p in found], dtype=torch.float64).exp()
    losses = torch.stack([-scores.log_softmax(0)[label] for scores, _ in found])
    assert float(p.sum()) == pytest.approx(1)
    mean = float(p @ losses)
    deviation = math.sqrt(float(p @ (losses - mean).square()))
    assert deviation > 5e-3
    loss = task.loss(Phase(), variables, batch, training("reinmax", seeds=[3], dtype=torch.float64)).loss
    assert abs(loss.item() - mean) < 5 * deviation / math.sqrt(copies)


@pytest.mark.parametrize("hard", [True, False])
def test_only_pairs_inside_of_a_sentence_can_be_chosen(hard: bool) -> None:
    tensors, length = forest(1, 7, 1, 2, 4, 7)
    asked: list[Tensor] = []

    def choose(logits: Tensor) -> Tensor:
        asked.append(logits.detach())
        return functional.one_hot(logits.argmax(-1), logits.shape[-1]).double() + 0 * logits.softmax(-1)

    grown(tensors, length, choose, hard=hard)
    legal = [logits.isfinite().sum(-1)[0].tolist() for logits in asked]
    # a finished one has a flat row of all places
    assert legal == [[6, 1, 3, 6], [5, 5, 2, 5], [4, 4, 1, 4], [3, 3, 3, 3], [2, 2, 2, 2]]
    assert all((logits[0, 0] == 0).all() for logits in asked)
    assert all(logits[0, 3].isfinite().all() for logits in asked)


def test_padding_changes_nothing() -> None:
    task = build()
    indices = [of_length(task, length) for length in (1, 5, 6)]
    variables = begin(task)
    results = []
    for length in (6, 7, 8):
        batch = sentences(task, length, *indices)
        assert batch["symbols"].shape == (1, 3, length)
        results.append(gradient(task, variables, batch, Chooser(lambda _, logits: logits.argmax(-1))))
    (loss, gradients), *padded = results
    for other, found in padded:
        torch.testing.assert_close(other, loss, rtol=1e-12, atol=0)
        torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-14)


def test_an_evaluation_merges_the_best_pair_and_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and in pieces of two sentences."""
    task, lanes = build(dropout=0.5), 2
    variables = begin(task, lanes)
    batch = task.batch(
        "test",
        torch.arange(30).expand(lanes, -1),
        LaneNoise(seed_keys([1, 2]), Purpose.DATA, step=1),
        length=8,
    )
    assert isinstance(batch, Mapping)

    class Evaluating(Chooser):
        training = False

    draw = Evaluating(first_legal)
    whole = task.evaluate("test", variables, batch, draw)["test_accuracy"]
    monkeypatch.setattr(task_module, "_PLACES", 2 * lanes * 8)
    pieces = task.evaluate("test", variables, batch, draw)["test_accuracy"]
    kept = Chooser(lambda _, logits: logits.argmax(-1))
    alike = build(dropout=0.0).loss(Phase(), variables, batch, kept)
    assert torch.equal(whole, pieces)
    assert not draw.asked
    torch.testing.assert_close(whole.mean(-1), alike.metrics["train_accuracy"])
    assert set(whole.unique().tolist()) == {0.0, 100.0}


def test_dropout_scales_what_it_keeps() -> None:
    """All is kept, and is four times as large; a classifier of two layers is scaled at both."""
    task = build(dropout=0.75)
    variables, batch = begin(task), sentences(task, 5, of_length(task, 5))
    loss = task.loss(Phase(), variables, batch, Chooser(first_legal)).loss
    model = dict(variables.groups["model"])
    for name in ("embedding.weight", "classifier.0.weight", "classifier.1.weight"):
        model[name] = 4 * model[name]
    scores, _ = written_out(model, batch["symbols"][0, 0].tolist(), (0, 0, 0))
    label = batch["label"][0, 0]
    assert loss.item() == pytest.approx(float(-scores.log_softmax(0)[label]), rel=1e-12)


def test_half_of_everything_is_dropped_anew_at_every_step() -> None:
    """Of 8 x 6 x 5 embedded numbers, of the root's and of the hidden layer's."""
    task = build(dropout=0.5)
    variables, batch = begin(task), sentences(task, 8, *range(6))
    one, two = (
        task.loss(Phase(), variables, batch, training("st", seeds=[1], step=step)).loss for step in (1, 2)
    )
    assert one.item() != two.item()


def test_mixtures_are_trained_by_the_equations() -> None:
    task = build(dtype=torch.float32)
    batch = sentences(task, 8, *range(6))
    draw = training("gumbel_softmax", seeds=[1], temperatures=[0.5])
    loss, found = gradient(task, begin(task), batch, draw)
    assert loss.isfinite().all()
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in found.values())


# Start, loss, protocol


@pytest.mark.parametrize(("reader", "count"), [("char", 1_724_711), ("token", 1_723_211)])
def test_parameters_are_as_many_as_published_code_has(reader: str, count: int) -> None:
    like = torch.zeros(())
    noise = LaneNoise(seed_keys([1]), Purpose.INITIALISATION, step=0)
    symbols = len(SYMBOLS[reader])
    model = start.parameters(noise, 1, symbols=symbols, width=300, classes=CLASSES, like=like)
    sizes = {name: tensor[0].numel() for name, tensor in model.items()}
    assert sum(sizes.values()) == count
    assert sizes["embedding.weight"] == symbols * 300
    assert sum(size for name, size in sizes.items() if name.startswith("leaf")) == 722_400
    assert sizes["merge.weight"] + sizes["merge.bias"] == 901_500
    classifier = [sizes[f"classifier.{i}.weight"] + sizes[f"classifier.{i}.bias"] for i in (0, 1)]
    assert (sizes["query"], classifier) == (300, [90_300, 3_311])


def test_training_starts_as_specified() -> None:
    """Standard deviations of 5,400 to 360,000 numbers, to five standard errors."""
    noise = LaneNoise(seed_keys([1, 2]), Purpose.INITIALISATION, step=0)
    model = start.parameters(noise, 2, symbols=18, width=300, classes=CLASSES, like=torch.zeros(()))
    kaiming = math.sqrt(2 / 300)
    deviations = {
        "embedding.weight": 0.01,
        "query": 0.01,
        "leaf.weight_ih": kaiming,
        "classifier.0.weight": kaiming,
    }
    for name, sd in deviations.items():
        numbers = model[name][1].flatten()
        assert numbers.std().item() == pytest.approx(sd, rel=5 / math.sqrt(2 * len(numbers)))
        assert abs(numbers.mean().item()) < 5 * sd / math.sqrt(len(numbers))
    for name in ("leaf.weight_hh", "merge.weight"):
        gram = model[name].mT @ model[name]
        torch.testing.assert_close(gram, torch.eye(gram.shape[-1]).expand_as(gram), rtol=0, atol=1e-5)
        assert not torch.equal(model[name][0], model[name][1])
    last = model["classifier.1.weight"].abs()
    assert 0.0019 < last.max().item() <= 0.002
    bias = model["leaf.bias_ih"][0].split(300)
    assert [part.unique().tolist() for part in bias] == [[0], [0], [1], [0]]  # g, i, f, o
    zeros = ("leaf.bias_hh", "merge.bias", "classifier.0.bias", "classifier.1.bias")
    assert all(not model[name].any() for name in zeros)


def test_a_uniform_guess_costs_ln_11() -> None:
    label = torch.arange(10)
    found = cross_entropy(torch.zeros(10, CLASSES, dtype=torch.float64), label)
    torch.testing.assert_close(found, torch.full((10,), 2.397895, dtype=torch.float64), rtol=0, atol=1e-6)
    ten = torch.zeros(10, CLASSES, dtype=torch.float64)
    ten[:, 10] = -torch.inf
    torch.testing.assert_close(
        cross_entropy(ten, label), torch.full((10,), 2.302585, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_the_protocol_is_clipped_and_waits_for_four_validations() -> None:
    task = build()
    (phase,) = task.phases
    assert phase.optimizer is not None
    plateau = phase.optimizer.plateau
    assert plateau is not None
    assert dict(phase.optimizer.parameters) == {"clip_norm": 5.0}
    assert (plateau.metric, plateau.maximize, plateau.factor, plateau.patience) == (
        "valid_accuracy",
        True,
        0.5,
        4,
    )
    assert (task.evaluations_per_epoch, INFO.values({})["batch_size"], INFO.values({})["epochs"]) == (
        2,
        16,
        20,
    )


def test_the_majority_stands_beside_all_four_accuracies() -> None:
    found = {r.metric: r.mean for r in INFO.references(INFO.values({"reader": "char"}))}
    assert set(found) == {f"{split}_accuracy{end}" for split in ("valid", "test") for end in ("", "_best")}
    assert found["test_accuracy"] == pytest.approx(11.3477, abs=1e-4)
    assert INFO.references(INFO.values({"max_tokens": 20})) == ()


def test_both_readers_are_registered() -> None:
    assert registry.get("listops") is INFO
    assert [INFO.describe(INFO.values({"reader": r, "epochs": 1})) for r in ("token", "char")] == [
        "ListOps by tokens, 1 epoch",
        "ListOps by characters, 1 epoch",
    ]


def test_the_last_and_the_best_accuracy_are_reported() -> None:
    curves, ends = run(trial("listops", "reinmax", seed=2, lr=5e-3, epochs=4))
    curve = {
        name: [value for metric, _, value in curves[0] if metric == name]
        for name in ("valid_accuracy", "test_accuracy")
    }
    best = curve["valid_accuracy"].index(max(curve["valid_accuracy"]))
    end = ends[0].metrics
    assert end["valid_accuracy"] == curve["valid_accuracy"][-1]
    assert (end["valid_accuracy_best"], end["test_accuracy_best"]) == (
        curve["valid_accuracy"][best],
        curve["test_accuracy"][best],
    )
