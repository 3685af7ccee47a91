"""The order of data: which examples every minibatch has, and the shapes of steps."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from benchmarks.engine.batches import LENGTH_STEP, Batches, StepShape
from benchmarks.engine.noise import Purpose, seed_keys, shuffled
from benchmarks.tasks.contract import Phase
from tests.support.tasks import Data

SEEDS = [3, 5, 2**40]
TWO_SPLITS = (Phase(name="weights"), Phase(name="choices", split="valid", group="choices"))


def lengths(count: int) -> Tensor:
    """From 1 to 60, with ties."""
    found = torch.randint(1, 61, (count,), generator=torch.Generator().manual_seed(count))
    found[count // 2] = 60
    return found


def ragged(train: int = 83, *, batch_size: int = 10) -> Data:
    return Data({"train": train}, batch_size=batch_size, lengths={"train": lengths(train)})


def filled(task: Data, epoch: int, seeds: list[int] = SEEDS) -> tuple[Batches, dict[str, Tensor]]:
    batches = Batches(task, seed_keys(seeds))
    order = batches.empty()
    batches.fill(order, epoch)
    return batches, order


def minibatches(task: Data, order: Tensor) -> list[Tensor]:
    """``(lanes, B)`` each."""
    return list(order.split(task.batch_size, 1))


@pytest.mark.parametrize("task", [Data({"train": 83}, batch_size=10), ragged(), ragged(80), ragged(7)])
def test_every_example_comes_once_an_epoch_in_orders_of_the_lane_s_own(task: Data) -> None:
    examples = task.splits["train"]
    epochs = [filled(task, epoch)[1]["train"] for epoch in range(3)]
    for order in epochs:
        assert torch.equal(order.sort(1).values, torch.arange(examples).expand(3, -1))
    if examples > task.batch_size:
        assert len({tuple(row) for order in epochs for row in order.tolist()}) == 9


def test_without_lengths_the_order_is_that_of_the_seed() -> None:
    _, order = filled(Data({"train": 83}, batch_size=10), 4)
    assert torch.equal(order["train"], shuffled(seed_keys(SEEDS), 4, 83))


@pytest.mark.parametrize("lane", range(3))
@pytest.mark.parametrize("task", [Data({"train": 83}, batch_size=10), ragged()])
def test_a_lane_s_order_does_not_depend_on_its_mates(task: Data, lane: int) -> None:
    for epoch in (0, 3):
        _, together = filled(task, epoch)
        _, alone = filled(task, epoch, [SEEDS[lane]])
        assert torch.equal(together["train"][lane : lane + 1], alone["train"])


def test_examples_of_a_minibatch_are_of_similar_length() -> None:
    """Sorted by length and cut: minibatches do not overlap, but for ties."""
    task = ragged()
    _, order = filled(task, 0)
    for lane in range(3):
        found = sorted(
            (int(part.min()), int(part.max()))
            for part in task.lengths["train"][order["train"][lane]].split(task.batch_size)
        )
        assert all(high <= low for (_, high), (low, _) in itertools.pairwise(found))
        assert found[-1][1] == 60 == int(task.lengths["train"].max())


def test_lengths_are_equal_in_all_lanes_though_examples_are_not() -> None:
    task = ragged()
    _, order = filled(task, 0)
    of_lanes = task.lengths["train"][order["train"]]
    assert torch.equal(of_lanes, of_lanes[:1].expand(3, -1))
    assert not torch.equal(order["train"][0], order["train"][1])


def test_ties_are_shuffled_and_minibatches_come_in_another_order_every_epoch() -> None:
    task = Data({"train": 40}, batch_size=10, lengths={"train": torch.arange(4).repeat(10) + 1})
    orders = [filled(task, epoch)[1]["train"] for epoch in range(6)]
    sequences = {tuple(task.lengths["train"][order[0, ::10]].tolist()) for order in orders}
    assert len(sequences) > 1
    assert all(sorted(sequence) == [1, 2, 3, 4] for sequence in sequences)
    first = [frozenset(part.tolist()) for order in orders for part in order[0].split(10)]
    assert len(set(first)) == 4, "equal lengths fill whole minibatches here"
    inside = {tuple(part.tolist()) for order in orders for part in order[0].split(10)}
    assert len(inside) == 24, "in another order every epoch"


def test_what_is_left_over_comes_last_and_is_the_longest() -> None:
    task = ragged()
    batches, order = filled(task, 2)
    last = task.lengths["train"][order["train"][0, 80:]]
    assert last.tolist() == task.lengths["train"].sort().values[80:].tolist()
    assert batches.shape(8).size == 3


def test_a_step_is_cut_to_the_longest_of_its_examples_rounded_up() -> None:
    task = ragged()
    for epoch in range(3):
        batches, order = filled(task, epoch)
        for position, part in enumerate(minibatches(task, order["train"])):
            longest = int(task.lengths["train"][part].max())
            shape = batches.shape(position)
            assert shape.size == part.shape[1]
            assert shape.lengths == (min(-(-longest // LENGTH_STEP) * LENGTH_STEP, 60),)


def test_no_step_is_longer_than_the_longest_example() -> None:
    task = Data({"train": 20}, batch_size=10, lengths={"train": torch.full((20,), 13)})
    batches, _ = filled(task, 0)
    assert batches.shape(0) == StepShape(size=10, lengths=(13,))


def columns(task: Data, position: int) -> list[int]:
    """Of the second split at a step: as many as the first phase has, wrapping around."""
    size = min(task.batch_size, task.splits["train"] - position * task.batch_size)
    return [(position * task.batch_size + i) % task.splits["valid"] for i in range(size)]


@pytest.mark.parametrize("valid", [7, 25, 30, 200])
def test_a_second_split_has_an_order_of_its_own_and_lengths_that_fit_when_it_wraps_around(
    valid: int,
) -> None:
    """No example of any step is cut short, and none is padded by more than rounding demands."""
    of_valid = lengths(valid)
    task = Data({"train": 83, "valid": valid}, batch_size=10, phases=TWO_SPLITS, lengths={"valid": of_valid})
    batches, order = filled(task, 1)
    assert torch.equal(order["valid"].sort(1).values, torch.arange(valid).expand(3, -1))
    for position in range(9):
        longest = int(of_valid[order["valid"][:, columns(task, position)]].max())
        shape = batches.shape(position)
        assert shape.lengths == (None, min(-(-longest // LENGTH_STEP) * LENGTH_STEP, int(of_valid.max())))
        assert shape.size == len(columns(task, position))


def test_splits_do_not_share_their_order() -> None:
    task = Data({"train": 50, "valid": 50}, batch_size=10, phases=TWO_SPLITS)
    _, order = filled(task, 0)
    assert torch.equal(order["valid"], shuffled(seed_keys(SEEDS), 0, 50, purpose=Purpose.ORDER_OF_VALID))
    assert not torch.equal(order["valid"], order["train"])


def test_a_split_that_no_phase_trains_on_has_no_order() -> None:
    _, order = filled(Data({"train": 50, "valid": 50, "test": 9}, batch_size=10), 0)
    assert set(order) == {"train"}


@pytest.mark.parametrize(
    "task",
    [
        Data({"train": 83}, batch_size=10),
        Data({"train": 80}, batch_size=10),
        Data({"train": 7}, batch_size=10),
        ragged(),
        Data({"train": 83, "valid": 25}, batch_size=10, phases=TWO_SPLITS, lengths={"valid": lengths(25)}),
    ],
)
def test_steps_that_are_alike_have_one_shape_and_the_next_has_another(task: Data) -> None:
    batches, _ = filled(task, 0)
    steps = task.steps_per_epoch
    for position, stop in itertools.combinations(range(steps + 1), 2):
        count = batches.alike(position, stop)
        assert 1 <= count <= stop - position
        shapes = {batches.shape(i) for i in range(position, position + count)}
        assert len(shapes) == 1
        assert position + count == stop or batches.shape(position + count) not in shapes


def test_a_task_without_data_has_one_shape() -> None:
    task = Data({"train": 80}, batch_size=10)
    task.splits, task.steps_per_epoch = {}, 5
    batches = Batches(task, seed_keys(SEEDS))
    assert batches.empty() == {}
    assert batches.alike(1, 5) == 4
    assert batches.shape(4) == StepShape(size=10, lengths=(None,))
