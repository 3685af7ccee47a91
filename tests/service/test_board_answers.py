"""What a board says besides means: standings, those without a place, cost, tuning, how to repeat it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic_core import to_jsonable_python
from rich.console import Console
from sqlalchemy import Engine

from benchmarks.sweep import load_sweep
from benchmarks.tasks.info import Reference
from service.cli.boards import show
from service.cli.main import main
from service.client import Board as ClientBoard
from service.client import Client
from service.errors import InvalidPageToken, NotFound
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.board_lists import list_boards
from service.resources.board_references import beside
from service.resources.board_rows import summarise
from service.resources.board_schemas import Board, BoardRow, UnrankedRow
from service.resources.boards import list_cells, show_board
from service.storage.engine import write
from service.storage.queries.boards import ValueRow
from tests.support.sweeps import PROVENANCE, small_sweep
from tests.support.web import application, browser_of, compute, served
from workers.messages import CurveSegment, Heartbeat, LaneTrial, MetricsBatch, Outcome, TrialOutcome

Values = Mapping[tuple[str, float], list[float | None]]
"""(estimator, temperature) -> expected loss by seed; ``None``: it diverged."""

CLOSE: Values = {("st", 1.0): [1.0, 2.0, 3.0], ("reinmax", 1.0): [1.1, 2.4, 3.1]}
"""Differences .1, .4, .1: mean .2, sd sqrt(.03), t = 2."""

GRID: Values = {
    ("st", 0.5): [4.0, 6.0],
    ("st", 1.0): [1.0, 3.0],
    ("st", 2.0): [2.0, 4.0],
    ("reinmax", 1.0): [7.0, 9.0],
    ("reinmax", 2.0): [6.0, 8.0],
}


def computed(engine: Engine, values: Values, *, evaluations: Mapping[str, int] | None = None) -> Board:
    """Compute a board of these values; a trial takes a second of straight-through, others two."""
    grids: dict[str, list[float]] = {}
    for estimator, temperature in values:
        grids.setdefault(estimator, []).append(temperature)
    seeds = max(map(len, values.values()))
    sweep = [{"id": id, "temperature": temperatures} for id, temperatures in grids.items()]
    submit(engine, small_sweep(estimators=sweep, seeds=seeds))
    report(engine, values, evaluations or {})
    return shown(engine)


def report(engine: Engine, values: Values, evaluations: Mapping[str, int]) -> None:
    """Report on everything that is queued."""
    queue = Queue(engine)
    queue.plan(max_lanes=1, slots=1)
    while claims := queue.claim(owner="d", limit=99):
        for claim in claims:
            reply = queue.start(claim.attempt_id, claim.secret)
            (trial,) = reply.trials
            estimator = trial.spec["estimator"]["id"]
            curve = CurveSegment(trial=trial.key, metric="expected_loss", first=1, values=_curve(trial))
            progress = Heartbeat(steps_done=1, steps_total=2)
            batch = MetricsBatch(seq=1, progress=progress, segments=(curve,))
            queue.metrics(claim.attempt_id, claim.secret, batch)
            known = PROVENANCE.model_copy(update={"evaluations": evaluations.get(estimator, 1)})
            end = Outcome(outcomes=(_end(trial, values),), provenance=known)
            queue.finish(claim.attempt_id, claim.secret, end)


def _curve(trial: LaneTrial) -> tuple[float, float]:
    return (2.0, 3.0) if trial.spec["estimator"]["id"] == "st" else (5.0, 1.0)


def _end(trial: LaneTrial, values: Values) -> TrialOutcome:
    estimator, seed = trial.spec["estimator"], trial.spec["seed"]
    mine = values[estimator["id"], estimator["parameters"].get("temperature", 1.0)]
    value = mine[seed] if seed < len(mine) else None
    if value is None:
        return TrialOutcome(
            trial=trial.key, status="failed", error="diverged at step 3", diverged_at=3, seconds=1.0
        )
    return TrialOutcome(
        trial=trial.key,
        status="succeeded",
        metrics={"expected_loss": value, "train_loss": 1.0},
        seconds=1.0 if estimator["id"] == "st" else 2.0,
    )


def shown(engine: Engine, **choice: Any) -> Board:
    (link,) = list_boards(engine, limit=9).boards
    return show_board(engine, link.id, **choice)


def row_of(board: Board, estimator: str) -> BoardRow:
    return next(row for row in board.rows if row.estimator == estimator)


def unranked(board: Board) -> dict[str, UnrankedRow]:
    return {row.estimator: row for row in board.unranked}


def test_difference_to_the_best_by_hand(engine: Engine) -> None:
    board = computed(engine, CLOSE)
    st, reinmax = board.rows
    assert (st.estimator, st.standing.to_best) == ("st", None)
    found = reinmax.standing.to_best
    assert found is not None
    # mean .2, sd sqrt((.01 + .04 + .01) / 2), t_{2, .975} = 4.302653; t = .2 / (sd / sqrt(3)) = 2: p = .1835
    half = 4.302653 * math.sqrt(0.03) / math.sqrt(3)
    assert (found.seeds, found.left_out, found.test) == (3, 0, "t")
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half), rel=1e-6)
    assert found.p == found.p_adjusted == pytest.approx(0.183503, abs=1e-6)
    assert not found.separable
    assert found.detectable is not None
    assert found.detectable > 0.2
    assert found.more_seeds is not None
    assert found.more_seeds >= 1
    assert [(s.rank_low, s.rank_high, s.tied_with_best) for s in (st.standing, reinmax.standing)] == [
        (1, 2, True)
    ] * 2


def test_the_sign_of_a_difference_is_that_of_the_metric(engine: Engine) -> None:
    """Of two rows the second is worse: its loss is larger."""
    board = computed(engine, {("st", 1.0): [1.0, 1.1], ("reinmax", 1.0): [5.0, 5.3]})
    found = board.rows[1].standing.to_best
    assert found is not None
    assert found.mean == pytest.approx(4.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 4.1 < found.high


def test_a_seed_on_which_the_first_place_hangs_is_named(engine: Engine) -> None:
    """Without seed 2, st has 1.5 and reinmax 2."""
    board = computed(engine, {("st", 1.0): [1.5, 1.5, 3.0], ("reinmax", 1.0): [2.0, 2.0, 0.0]})
    assert board.rows[0].estimator == "reinmax"
    assert board.fragile_seeds == [2]


def test_nobody_disappears(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["gst"], seeds=3))  # is claimed first and fails
    values: Values = {
        ("st", 1.0): [1.0, 2.0, 3.0, 4.0],
        ("reinmax", 1.0): [None, None, None, None],
        ("gst", 1.0): [None, None, None],
        ("stgs", 1.0): [1.0, None, None, None],
    }
    board = computed(engine, values)
    submit(engine, small_sweep(estimators=["reinforce"], seeds=2))
    board = shown(engine)
    assert [row.estimator for row in board.rows] == ["st"]
    lost = unranked(board)
    assert {name: row.cause for name, row in lost.items()} == {
        "stgs": "few_seeds",
        "reinforce": "waiting",
        "reinmax": "diverged",
        "gst": "diverged",
    }
    assert [row.estimator for row in board.unranked][:2] == ["stgs", "reinforce"]
    reinmax = lost["reinmax"]
    assert reinmax.reason == "4 of 4 trials diverged: the numbers were no longer finite"
    assert (reinmax.seeds.wanted, reinmax.seeds.failed, reinmax.seeds.diverged) == (4, 4, 4)
    assert reinmax.error == "diverged at step 3"
    assert lost["reinforce"].reason == "2 of 2 trials wait or run"
    assert lost["stgs"].reason == "no setting has the 2 seeds that it takes to be chosen on this board"
    answer = browser_of(application(engine)).get(f"/api/v1/trials/{reinmax.trial}")
    assert answer.json()["state"] == "failed"


def test_failed_seeds_of_a_ranked_row_are_counted(engine: Engine) -> None:
    board = computed(engine, {("st", 1.0): [1.0, 2.0, None]})
    counts = board.rows[0].seeds
    assert (counts.wanted, counts.succeeded, counts.failed, counts.diverged) == (3, 2, 1, 1)


def test_only_outliers_on_the_bad_side_have_collapsed(engine: Engine) -> None:
    values = [10.0, 10.1, 9.9, 10.2, 9.8, 50.0, -30.0]
    (row,) = computed(engine, {("st", 1.0): [*values]}).rows
    summary = row.metrics["expected_loss"]
    assert [one.seed for one in summary.seeds if one.outlier] == [5, 6]
    assert row.seeds.collapsed == 1
    assert summary.interquartile_mean == pytest.approx((9.8 + 9.9 + 10.0 + 10.1 + 10.2) / 5)


def test_absurd_losses_have_collapsed(engine: Engine) -> None:
    """Curves are 2, 1 + seed: of seed 50 above 2 + 10 * 2."""
    compute(engine, small_sweep(estimators=["st"], seeds=[0, 1, 50]))
    row = row_of(shown(engine), "st")
    assert [one.absurd_from for one in row.metrics["expected_loss"].seeds] == [None, None, 2]
    assert row.seeds.collapsed == 1


def test_the_interval_asked_for(engine: Engine) -> None:
    """The bootstrap of two seeds is between them; Student's t goes 12.7 half-distances beyond the mean."""
    computed(engine, {("st", 1.0): [1.0, 3.0]})
    usual, bootstrap = shown(engine), shown(engine, interval="bootstrap")
    assert (usual.interval.method, bootstrap.interval.method) == ("Student's t", "bootstrap (BCa)")
    of_t, of_bootstrap = (row_of(one, "st").metrics["expected_loss"] for one in (usual, bootstrap))
    assert (of_bootstrap.mean, of_bootstrap.low, of_bootstrap.high) == (2.0, 1.0, 3.0)
    assert of_t.mean == 2.0
    assert of_t.low == pytest.approx(2 - 12.706, abs=1e-3)
    with browser_of(application(engine)) as http:
        path = f"/boards/{usual.id}"
        answer = http.get(f"/api/v1{path}", params={"interval": "bootstrap"})
        assert answer.json()["interval"]["method"] == "bootstrap (BCa)"
        assert http.get(f"/api/v1{path}", params={"interval": "normal"}).status_code == 422
        page = http.get(path).text
        assert f'<a href="{path}?interval=bootstrap">bootstrap (BCa)</a>' in page
        other = http.get(f"{path}?interval=bootstrap").text
        assert f'(bootstrap (BCa); <a href="{path}">Student’s t</a>)' in other


def test_cost_is_relative_to_straight_through(engine: Engine) -> None:
    """A trial has ten steps; one of ST takes a second, one of ReinMax two."""
    board = computed(engine, CLOSE, evaluations={"reinmax": 3})
    assert (board.cost_baseline, board.steps, board.steps_per_epoch) == ("st", 10, 5)
    cost = row_of(board, "reinmax").cost
    assert (cost.seconds_per_step, cost.relative) == (0.2, 2.0)
    assert (cost.evaluations_per_step, cost.evaluations, cost.peak_memory_bytes) == (3, 30, 4096)
    assert row_of(board, "st").cost.relative == 1.0
    assert board.pareto.seconds == ["st"]
    assert row_of(board, "reinmax").device_seconds == 6.0


def test_who_leads_when_and_what_equal_evaluations_buy(engine: Engine) -> None:
    """Curves are 2, 3 of ST and 5, 1 of ReinMax, which takes twice the evaluations: half as many epochs."""
    board = computed(engine, CLOSE, evaluations={"st": 1, "reinmax": 2})
    assert board.anytime is not None
    assert [(one.first_epoch, one.last_epoch, one.estimator) for one in board.anytime.leads] == [
        (1, 1, "st"),
        (2, 2, "reinmax"),
    ]
    equal = board.equal_evaluations
    assert equal is not None
    assert (equal.metric, equal.evaluations) == ("expected_loss", 10)
    assert [(one.estimator, one.epoch, one.mean) for one in equal.rows] == [
        ("st", 2, 3.0),
        ("reinmax", 1, 5.0),
    ]


def test_tuning_by_hand(engine: Engine) -> None:
    """Means 5, 2, 3 of ST at temperatures .5, 1, 2; 8, 7 of ReinMax at 1, 2.

    The best of two of ST: 2 with probability 2/3, else 3. Its area over a linear axis of length 1.5:
    (.5 (3 + 0) / 2 + 1 (0 + 1) / 2) / 1.5.
    """
    found = computed(engine, GRID).tuning
    assert found.cells == 5
    st = next(one for one in found.best_of if one.estimator == "st")
    assert st.settings == [1, 2, 3]
    assert st.expected["expected_loss"] == pytest.approx([10 / 3, 7 / 3, 2.0])
    assert st.expected["train_loss"] == pytest.approx([1.0, 1.0, 1.0])
    (response,) = [one for one in found.responses if one.estimator == "st"]
    assert (response.parameter, response.chosen, response.scale) == ("temperature", 1.0, "linear")
    assert [(point.value, point.mean, point.n) for point in response.points] == [
        (0.5, 5.0, 2),
        (1.0, 2.0, 2),
        (2.0, 3.0, 2),
    ]
    assert response.area == pytest.approx((0.75 + 0.5) / 1.5)
    assert found.heat_map is not None
    assert found.heat_map.values == [0.5, 1.0, 2.0]
    assert {row.estimator: row.means for row in found.heat_map.rows} == {
        "st": [5.0, 2.0, 3.0],
        "reinmax": [None, 8.0, 7.0],
    }


def test_the_sweep_file_of_a_board_is_its_settings(engine: Engine) -> None:
    board = computed(engine, GRID)
    assert board.repeat is not None
    sweep = load_sweep(board.repeat.sweep_file)
    assert {cell.cell_key for cell in sweep.cells()} == {row.cell for row in board.rows}
    assert (sweep.seeds, sweep.metric, sweep.report) == ((0, 1), "expected_loss", ("train_loss",))
    assert board.repeat.command == f"heunboard submit board-{board.id[:12]}.yaml"
    assert (board.repeat.trials, board.repeat.device_seconds) == (4, 6.0)
    assert board.repeat.device_seconds_spent == 6 * 1.0 + 4 * 2.0


def test_sweeps_that_asked_for_a_board_newest_first(engine: Engine) -> None:
    computed(engine, CLOSE)
    submit(engine, small_sweep(name="again", owner="ada"))
    board = shown(engine)
    assert [(one.id, one.name, one.owner, one.page) for one in board.sweeps] == [
        ("2", "again", "ada", "/sweeps/2"),
        ("1", "small", None, "/sweeps/1"),
    ]
    assert board.sweeps_total == 2


def test_what_the_board_says_of_its_rule(engine: Engine) -> None:
    board = computed(engine, CLOSE)
    assert (board.interval.method, board.interval.level, board.interval.over) == (
        "Student's t",
        0.95,
        "seeds",
    )
    assert (board.selected_on_test, board.enough_seeds) == (False, 2)


def test_cells_in_pages(engine: Engine) -> None:
    board = computed(engine, GRID)
    first = list_cells(engine, board.id, limit=3)
    rest = list_cells(engine, board.id, limit=3, page_token=first.next_page_token)
    assert (first.total, len(first.cells), len(rest.cells), rest.next_page_token) == (5, 3, 2, None)
    cells = [*first.cells, *rest.cells]
    assert [cell.estimator for cell in cells] == ["reinmax"] * 2 + ["st"] * 3
    assert [cell.setting.parameters["temperature"] for cell in cells] == [1.0, 2.0, 0.5, 1.0, 2.0]
    assert [cell.chosen for cell in cells] == [False, True, False, True, False]
    assert all(cell.eligible for cell in cells)
    spread = cells[3].metrics["expected_loss"]
    assert (spread.n, spread.mean) == (2, 2.0)
    assert spread.sd == pytest.approx(math.sqrt(2))
    assert list(cells[0].metrics) == ["expected_loss", "train_loss"]


def test_cells_of_one_estimator(engine: Engine) -> None:
    board = computed(engine, GRID)
    found = list_cells(engine, board.id, estimator="reinmax", limit=9)
    assert (found.total, [cell.estimator for cell in found.cells]) == (2, ["reinmax", "reinmax"])
    token = list_cells(engine, board.id, limit=1).next_page_token
    with pytest.raises(InvalidPageToken):
        list_cells(engine, board.id, estimator="reinmax", limit=1, page_token=token)
    for id, name in (("0" * 32, "st"), (board.id, "s\0t")):
        with pytest.raises(NotFound):
            list_cells(engine, id, estimator=name, limit=1)


def test_the_tag_of_a_board_changes_when_it_does(engine: Engine) -> None:
    computed(engine, CLOSE)
    with browser_of(application(engine)) as browser:
        path = browser.get("/api/v1/boards").json()["boards"][0]["id"]
        first = browser.get(f"/api/v1/boards/{path}")
        again = browser.get(f"/api/v1/boards/{path}", headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        submit(engine, small_sweep(estimators=[{"id": "st", "temperature": 3.0}], seeds=2))
        changed = browser.get(f"/api/v1/boards/{path}", headers={"If-None-Match": first.headers["ETag"]})
        assert changed.status_code == 200
        report(engine, {("st", 3.0): [0.1, 0.3]}, {})
        assert (
            browser.get(f"/api/v1/boards/{path}").json()["rows"][0]["metrics"]["expected_loss"]["mean"] == 0.2
        )


def test_an_unchanged_board_is_made_once(engine: Engine) -> None:
    board = computed(engine, CLOSE)
    assert show_board(engine, board.id) is show_board(engine, board.id)
    assert show_board(engine, board.id, select="train_loss") is not show_board(engine, board.id)


def test_results_without_an_attempt_here_are_imported(engine: Engine) -> None:
    submit(engine, small_sweep(seeds=2))
    report(engine, {("st", 1.0): [1.0, 2.0], ("reinmax", 1.0): [1.5, 2.0]}, {})
    with write(engine) as connection:
        mine = "cell_id IN (SELECT id FROM cell WHERE estimator = 'st')"
        connection.execute(sa.text(f"UPDATE trial SET attempt_id = NULL WHERE {mine}"))
    found = {row.estimator: row.source for row in shown(engine).rows}
    assert found == {"st": "imported", "reinmax": "computed here"}


def published(**changes: Any) -> Reference:
    """A number of an exhibit with a margin of 1.5 nats, with a spread of 0 over four runs."""
    fields = {"metric": "train_neg_elbo", "estimator": "reinmax", "label": "Figure 2", "mean": 100.0}
    known = {"sd": 0.0, "n": 4, "source": "", "exhibit": "reinmax-2023/figure2"}
    return Reference(**{**fields, **known, **changes})


@pytest.mark.parametrize(
    ("values", "changes", "verdict"),
    [
        ([100.1, 100.0, 100.2], {}, "reproduced"),
        ([103.1, 103.0, 103.2], {}, "not reproduced"),
        ([90.0, 100.0, 110.0], {}, "within noise"),
        ([100.0, 100.1], {"slip": "two digits are swapped"}, "not comparable"),
        ([100.0, 100.1], {"metric": "test_neg_elbo"}, "not comparable"),
        ([100.0, 100.1], {"exhibit": ""}, None),
        ([], {}, None),
    ],
)
def test_verdicts_on_published_numbers(
    values: list[float], changes: Mapping[str, Any], verdict: str | None
) -> None:
    found = beside(published(**changes), values, "minimize")
    assert found.verdict == verdict
    assert (found.difference is None) is (not values)


def test_a_difference_has_its_interval_and_its_margin() -> None:
    """Mean 1, sd 1 of three: half width 4.302653 / sqrt(3); the published mean is exact."""
    found = beside(published(), [100.0, 101.0, 102.0], "minimize")
    half = 4.302653 / math.sqrt(3)
    assert (found.difference, found.margin) == (1.0, 1.5)
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half), rel=1e-6)


def test_one_seed_has_no_interval() -> None:
    summary = summarise([ValueRow(1, 0, "loss", 2.0)], [False])
    assert (summary.mean, summary.sd, summary.low, summary.interquartile_mean) == (2.0, None, None, 2.0)


def heunboard(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command in this process; its exit status."""
    monkeypatch.setattr("sys.argv", ["heunboard", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_shows_ranks_ties_and_those_without_a_place(engine: Engine) -> None:
    board = computed(engine, {**CLOSE, ("gst", 1.0): [None, None, None]})
    out = io.StringIO()
    show(Console(file=out, width=240), ClientBoard.model_validate(dict(board)))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert (
        next(line for line in lines if line.startswith("1–2 ≈ Straight"))
        .split("to 4.5")[1]
        .startswith(" best")
    )
    assert any(line.startswith("1–2 ≈ ReinMax") and " +0.20 " in line for line in lines)
    assert any(line.startswith("– Gapped straight-through 3 of 3 trials diverged") for line in lines)


def test_the_client_and_the_command_have_every_setting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = computed(engine, GRID)
    with served(application(engine)) as url:
        with Client(url) as client:
            cells = list(client.board_cells(board.id))
            assert [cell.chosen for cell in cells] == [False, True, False, True, False]
            assert len(list(client.board_cells(board.id, estimator="reinmax"))) == 2
        monkeypatch.setenv("HEUNBOARD_URL", url)
        monkeypatch.setenv("COLUMNS", "200")
        assert heunboard(monkeypatch, "board", board.id[:6], "--cells", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"board": board.id, "cells": to_jsonable_python(cells)}
        assert heunboard(monkeypatch, "board", board.id, "--cells") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert sum(line.startswith("* ") for line in lines) == 2
    assert sum("2 of 2" in line for line in lines) == 5
