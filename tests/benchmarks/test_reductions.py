"""Metrics that follow from the history of others, by hand and in lanes that stop and go on."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from benchmarks.engine.reductions import History, Reductions
from benchmarks.tasks.info import Goal, Metric, Reduction
from tests.support.groups import Ran, advanced, group, settings, stored
from tests.support.tasks import Scripted
from tests.support.trials import trial


def metric(name: str, goal: Goal, reduction: Reduction | None = None) -> Metric:
    return Metric(
        name=name, title=name, unit="", goal=goal, split="valid", description="", reduction=reduction
    )


METRICS = (
    metric("loss", "minimize"),
    metric("score", "maximize"),
    metric("test", "maximize"),
    metric("last_three", "minimize", Reduction(kind="mean", of="loss", count=3)),
    metric("by_loss", "maximize", Reduction(kind="best", of="test", by="loss")),
    metric("by_score", "maximize", Reduction(kind="best", of="test", by="score")),
    metric("lowest", "minimize", Reduction(kind="best", of="loss", by="loss")),
)


def followed(reductions: Reductions, rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    history: History = {}
    found = []
    for row in rows:
        history = reductions.advanced(history, row)
        found.append(reductions.values(history))
    return found


ROWS = [
    {"loss": 4.0, "score": 0.1, "test": 10.0},
    {"loss": 2.0, "score": 0.5, "test": 20.0},
    {"loss": 3.0, "score": 0.5, "test": 30.0},
    {"loss": 2.0, "score": 0.4, "test": 40.0},
    {"loss": 1.0, "score": 0.9, "test": 5.0},
]


def test_by_hand() -> None:
    """Ties go to the earlier; a mean of what there is, then of the last three."""
    found = followed(Reductions(METRICS), ROWS)
    assert [row["last_three"] for row in found] == [4.0, 3.0, 3.0, 7 / 3, 2.0]
    assert [row["by_loss"] for row in found] == [10.0, 20.0, 20.0, 20.0, 5.0]
    assert [row["by_score"] for row in found] == [10.0, 20.0, 20.0, 20.0, 5.0]
    assert [row["lowest"] for row in found] == [4.0, 2.0, 2.0, 2.0, 1.0]


def test_the_goal_of_the_metric_that_chooses_decides_not_that_of_the_metric_itself() -> None:
    """A test loss, chosen by a score: the highest score, though losses are to be low."""
    metrics = (
        metric("score", "maximize"),
        metric("loss", "minimize"),
        metric("chosen", "minimize", Reduction(kind="best", of="loss", by="score")),
    )
    rows = [{"score": 1.0, "loss": 3.0}, {"score": 2.0, "loss": 9.0}, {"score": 0.0, "loss": 0.0}]
    assert [row["chosen"] for row in followed(Reductions(metrics), rows)] == [3.0, 9.0, 9.0]


def test_an_evaluation_that_does_not_measure_a_metric_changes_nothing() -> None:
    """As in the middle of an epoch, when there are no means of training."""
    found = followed(Reductions(METRICS), [ROWS[0], {"score": 0.9}, {"loss": 6.0}, {"test": 1.0}])
    assert [row["last_three"] for row in found] == [4.0, 4.0, 5.0, 5.0]
    assert [row["by_score"] for row in found] == [10.0] * 4


def test_without_reductions_there_is_nothing() -> None:
    assert followed(Reductions(METRICS[:3]), ROWS) == [{}] * 5


def test_a_history_is_plain_and_short() -> None:
    reductions = Reductions(METRICS)
    history: History = {}
    for _ in range(100):
        before = json.dumps(history)
        new = reductions.advanced(history, ROWS[0])
        assert json.dumps(history) == before, "the old one stays as it was"
        history = json.loads(json.dumps(new))
    assert {name: len(kept) for name, kept in history.items()} == {
        "last_three": 3, "by_loss": 2, "by_score": 2, "lowest": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "reduction", [Reduction(kind="mean", of="x"), Reduction(kind="best", of="loss", by="x")]
)
def test_a_metric_that_is_not_reported_cannot_be_reduced(reduction: Reduction) -> None:
    with pytest.raises(KeyError, match="reduced is reduced from 'x', which the task does not report"):
        Reductions([*METRICS, metric("reduced", "minimize", reduction)])


LANES = {
    "loss": [[4.0, 2.0, 3.0, 2.0, 1.0, 7.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
    "score": [[0.0, 0.5, 0.5, 0.0, 0.75, 0.25], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]],
    "test": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]],
}
REDUCED = ("last_three", "by_loss", "by_score", "lowest")
TRIALS = [trial(seed=seed, optimizer="sgd", epochs=6) for seed in (0, 1)]


def script(*lanes: int) -> Scripted:
    return Scripted({name: [rows[lane] for lane in lanes] for name, rows in LANES.items()}, steps_per_epoch=4)


def expected(lane: int, evaluations: int = 6) -> list[dict[str, float]]:
    rows = [{name: values[lane][k] for name, values in LANES.items()} for k in range(evaluations)]
    return followed(Reductions(METRICS), rows)


def reduced(ran: Ran, position: int) -> list[dict[str, float]]:
    return [{name: metrics[name] for name in REDUCED} for metrics in ran.curves[position]]


def test_lanes_report_them_at_every_epoch() -> None:
    ran = advanced(group(TRIALS, script(0, 1), settings(METRICS)))
    for lane in (0, 1):
        assert reduced(ran, lane) == expected(lane)
        assert [row["loss"] for row in ran.curves[lane]] == LANES["loss"][lane]


@pytest.mark.parametrize("steps", [4, 7, 13, 20])
@pytest.mark.parametrize("lane", [0, 1])
def test_they_survive_stop_and_resume(steps: int, lane: int) -> None:
    """At the end of an epoch and within one, from stored bytes, alone."""
    first = group(TRIALS, script(0, 1), settings(METRICS))
    seen = advanced(first, steps)
    states = [stored(first.state(lane))]
    rest = advanced(group([TRIALS[lane]], script(lane), settings(METRICS), states=states))
    assert [*reduced(seen, lane), *reduced(rest, 0)] == expected(lane)


def test_evaluations_within_an_epoch_count() -> None:
    """Two an epoch: what an epoch reports is after its second one."""
    trials = [trial(seed=seed, optimizer="sgd", epochs=3) for seed in (0, 1)]
    task = Scripted(LANES, steps_per_epoch=5, evaluations_per_epoch=2)
    ran = advanced(group(trials, task, settings(METRICS)))
    for lane in (0, 1):
        assert reduced(ran, lane) == expected(lane)[1::2]
