"""Which cell a board shows, and what it says of it; by hand where it can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy import Engine, event

from service.errors import InvalidRequest, NotFound
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.board_choice import choose
from service.resources.board_curves import curve_over_seeds
from service.resources.board_lists import list_boards
from service.resources.boards import show_board
from service.storage.queries.boards import CellRow
from service.storage.queries.curves import Curve, pack, unpack
from tests.support.sweeps import PROVENANCE, small_sweep
from tests.support.web import compute
from workers.messages import CurveSegment, Heartbeat, MetricsBatch, Outcome, TrialOutcome

VALUES = {
    ("st", 1.0): [4.0, 5.0, 6.0],
    ("st", 2.0): [1.0, 2.0, 3.0, 4.0, 5.0, 50.0],
    ("reinmax", 1.0): [2.0, 4.0, 6.0, 8.0, 10.0, 12.0],
}
"""Final expected loss by (estimator, temperature) and seed."""


def cell(id: int, estimator: str = "st", *, n: int | None, mean: float | None, version: int = 1) -> CellRow:
    counts = {"trials": 10, "succeeded": n or 0, "failed": 0, "cancelled": 0}
    m2 = None if mean is None else 0.0
    return CellRow(id, f"key{id}", estimator, version, **counts, n=n, mean=mean, m2=m2)


@pytest.mark.parametrize(
    ("cells", "maximize", "chosen"),
    [
        ([cell(1, n=10, mean=2.0), cell(2, n=10, mean=1.0)], False, [2]),
        ([cell(1, n=10, mean=2.0), cell(2, n=10, mean=1.0)], True, [1]),
        ([cell(1, n=10, mean=2.0), cell(2, n=4, mean=1.0)], False, [1]),
        ([cell(1, n=10, mean=2.0), cell(2, n=5, mean=1.0)], False, [2]),
        ([cell(1, n=10, mean=2.0), cell(2, n=10, mean=2.0)], False, [1]),
        ([cell(1, n=10, mean=1.0), cell(2, n=10, mean=2.0, version=2)], False, [2]),
        ([cell(1, n=None, mean=None)], False, []),
        ([cell(1, "st", n=3, mean=3.0), cell(2, "reinmax", n=3, mean=2.0)], False, [2, 1]),
        ([cell(1, "st", n=3, mean=3.0), cell(2, "reinmax", n=3, mean=2.0)], True, [1, 2]),
    ],
)
def test_choice(cells: Sequence[CellRow], maximize: bool, chosen: list[int]) -> None:
    ranked = choose(cells, maximize=maximize).ranked
    assert [one.chosen.id for one in ranked if one.chosen is not None] == chosen


def test_tried_settings_are_those_with_a_result() -> None:
    cells = [cell(1, n=3, mean=1.0), cell(2, n=3, mean=2.0), cell(3, n=None, mean=None)]
    (one,) = choose(cells, maximize=False).ranked
    assert (one.tried, one.spent) == (2, 6)


def test_estimators_without_enough_results_have_no_place() -> None:
    cells = [cell(1, n=10, mean=2.0), cell(2, "reinmax", n=4, mean=1.0), cell(3, "gst", n=None, mean=None)]
    choice = choose(cells, maximize=False)
    assert choice.enough == 5
    assert [one.estimator for one in choice.unranked] == ["reinmax", "gst"]


def curve_of(seed: int, values: list[float]) -> Curve:
    return Curve(1, 1, seed, "loss", np.arange(1, len(values) + 1), np.array(values))


def test_curve_by_hand() -> None:
    found = [curve_of(0, [1.0, 2.0, 3.0]), curve_of(1, [3.0, math.nan])]
    curve = curve_over_seeds("st", "loss", found)
    assert curve.epochs == [1, 2, 3]
    assert curve.mean == [2.0, 2.0, 3.0]
    assert curve.sd == [pytest.approx(math.sqrt(2)), None, None]
    assert curve.n == [2, 1, 1]


def test_curve_of_nothing_but_nan() -> None:
    curve = curve_over_seeds("st", "loss", [curve_of(0, [math.nan, math.inf])])
    assert (curve.mean, curve.sd, curve.n) == ([None, None], [None, None], [0, 0])


def test_packed_values_are_little_endian_float32() -> None:
    assert pack([1.0, -2.0]) == bytes.fromhex("0000803f000000c0")
    assert unpack(pack([1e300])).tolist() == [math.inf]


def test_board_shows_the_best_setting_of_every_estimator(engine: Engine) -> None:
    key = computed(engine)
    board = show_board(engine, key)
    assert board.title == "Polynomial p = 2, c = 0.45, L = 4, batch 256, 10 steps"
    st, reinmax = board.rows
    assert (st.estimator, reinmax.estimator) == ("st", "reinmax")
    loss = reinmax.metrics["expected_loss"]
    # mean 7, sample variance (25 + 9 + 1 + 1 + 9 + 25) / 5 = 14, t_{5, 0.975} = 2.5706
    assert (loss.n, loss.mean, loss.median) == (6, 7.0, 7.0)
    assert loss.sd == pytest.approx(math.sqrt(14))
    assert (loss.low, loss.high) == pytest.approx(
        (7 - 2.570582 * math.sqrt(14 / 6), 7 + 2.570582 * math.sqrt(14 / 6)), rel=1e-6
    )
    assert [seed.value for seed in loss.seeds] == VALUES["reinmax", 1.0]
    assert st.setting.parameters == {"temperature": 1.0}
    assert (st.n, st.seeds_wanted, st.settings_tried) == (3, 6, 2)
    assert board.counts == {"queued": 0, "running": 0, "succeeded": 15, "failed": 3, "cancelled": 0}
    assert board.versions["torch"] == ["2.6"]
    assert (board.select, board.goal, board.report) == ("expected_loss", "minimize", ["train_loss"])


def test_outliers_are_named_and_stay_in_the_mean(engine: Engine) -> None:
    compute(engine, small_sweep(estimators=["st"], seeds=6), dict(enumerate(VALUES["st", 2.0])))
    (st,) = show_board(engine, list_boards(engine, limit=1).boards[0].id).rows
    loss = st.metrics["expected_loss"]
    assert loss.mean == pytest.approx(65 / 6)
    assert [seed.seed for seed in loss.seeds if seed.outlier] == [5]


def test_selecting_by_another_metric(engine: Engine) -> None:
    key = computed(engine)
    board = show_board(engine, key, select="train_loss", report=["expected_loss"])
    assert (board.select, board.report) == ("train_loss", ["expected_loss"])
    assert board.rows[0].metrics.keys() == {"train_loss", "expected_loss"}
    with pytest.raises(InvalidRequest, match=r"no metric 'elbo'; it has expected_loss, train_loss$"):
        show_board(engine, key, select="elbo")
    with pytest.raises(InvalidRequest, match=r"'train_los'; it has .*Did you mean 'train_loss'\?"):
        show_board(engine, key, report=["train_los"])
    with pytest.raises(NotFound):
        show_board(engine, "0" * 32)


def test_curves_and_references_stand_on_the_board(engine: Engine) -> None:
    board = show_board(engine, computed(engine))
    (curve,) = [curve for curve in board.curves if curve.estimator == "reinmax"]
    assert (curve.metric, curve.epochs, curve.n) == ("train_loss", [1, 2], [6, 6])
    assert curve.mean == pytest.approx([2.5, 1.0])
    for row in board.rows:
        for reference in row.references:
            assert reference.difference is not None
            measured = row.metrics[reference.metric].mean
            assert reference.difference == pytest.approx(measured - reference.mean)


def test_cost_does_not_grow_with_trials_of_other_cells(engine: Engine) -> None:
    key = computed(engine)
    small = statements_for(engine, key)
    more = [{"id": "st", "temperature": [3.0, 4.0]}]
    submit(engine, small_sweep(name="more", estimators=more, seeds=300))
    assert statements_for(engine, key) <= small


def computed(engine: Engine) -> str:
    """Compute ``VALUES``, seeds without a value fail; returns the board's key."""
    grids = [{"id": "st", "temperature": [1.0, 2.0]}, {"id": "reinmax", "temperature": 1.0}]
    submit(engine, small_sweep(estimators=grids, seeds=6))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    for claim in queue.claim(owner="d", limit=99):
        reply = queue.start(claim.attempt_id, claim.secret)
        ends, curves = [], []
        for trial in reply.trials:
            estimator, seed = trial.spec["estimator"], trial.spec["seed"]
            values = VALUES[estimator["id"], estimator["parameters"]["temperature"]]
            ends.append(_end(trial.key, values[seed] if seed < len(values) else None))
            curve = (float(seed), 1.0)
            curves.append(CurveSegment(trial=trial.key, metric="train_loss", first=1, values=curve))
        progress = Heartbeat(steps_done=1, steps_total=2)
        batch = MetricsBatch(seq=1, progress=progress, segments=tuple(curves))
        queue.metrics(claim.attempt_id, claim.secret, batch)
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=tuple(ends), provenance=PROVENANCE))
    (board,) = list_boards(engine, limit=9).boards
    return board.id


def _end(key: str, value: float | None) -> TrialOutcome:
    if value is None:
        return TrialOutcome(trial=key, status="failed", error="diverged at step 3")
    metrics = {"expected_loss": value, "train_loss": 1.0}
    return TrialOutcome(trial=key, status="succeeded", metrics=metrics)


def statements_for(engine: Engine, key: str) -> int:
    """How many statements a board takes; those that read trials name cells, or running cohorts."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", note)
    show_board(engine, key)
    event.remove(engine, "before_cursor_execute", note)
    bounds = ("trial.cell_id IN", "trial.cell_id = ANY")
    unbounded = [s for s in statements if "FROM trial" in s and not any(b in s for b in bounds)]
    assert all("cohort.state" in statement for statement in unbounded)
    return len(statements)
