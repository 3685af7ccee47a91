"""The list of boards: searched, in pages, the newest results first, with who is best on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, event

from service.errors import InvalidPageToken
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.board_list_schemas import BestResult, BoardList
from service.resources.board_lists import list_boards
from service.resources.boards import show_board
from tests.support.sweeps import PROVENANCE, SteppedClock, outcome, small_sweep
from tests.support.web import application, browser_of, compute
from workers.messages import Outcome, TrialOutcome

POLYNOMIAL = {"id": "polynomial", "latents": 4, "epochs": 2, "steps_per_epoch": 5}


def on(p: float | list[float], **changes: Any) -> dict[str, Any]:
    """A sweep's keys for boards of these exponents."""
    return {"task": POLYNOMIAL | {"p": p}} | changes


def exponents(found: BoardList) -> list[str]:
    """The exponents in the titles."""
    return [board.title.split(",")[0].removeprefix("Polynomial p = ") for board in found.boards]


def finish(engine: Engine, means: Mapping[tuple[str, float], list[float] | None]) -> None:
    """Compute what waits: values of the seeds by estimator and temperature; those of ``None`` fail."""
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="d", limit=99):
        ends = []
        for trial in queue.start(claim.attempt_id, claim.secret).trials:
            estimator = trial.spec["estimator"]
            values = means[estimator["id"], estimator["parameters"].get("temperature", 1.0)]
            if values is None or trial.spec["seed"] >= len(values):
                ends.append(TrialOutcome(trial=trial.key, status="failed", error="no memory"))
                continue
            metrics = {"expected_loss": values[trial.spec["seed"]], "train_loss": 1.0}
            ends.append(TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics))
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=tuple(ends), provenance=PROVENANCE))


def test_the_newest_results_come_first_and_boards_without_any_by_their_submission(engine: Engine) -> None:
    clock = SteppedClock()
    for p in (2.0, 3.0):
        submit(engine, small_sweep(**on(p, estimators=["st"])), clock=clock)
        clock.pass_seconds(60)
    assert exponents(list_boards(engine, limit=9)) == ["3", "2"]
    queue = Queue(engine, clock=clock)
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="d", limit=9):
        trials = queue.start(claim.attempt_id, claim.secret).trials
        if trials[0].spec["task"]["parameters"]["p"] == 2.0:
            queue.finish(claim.attempt_id, claim.secret, outcome(trials))
    found = list_boards(engine, limit=9)
    assert exponents(found) == ["2", "3"]
    began = SteppedClock().now
    assert [(board.changed_at - began).total_seconds() for board in found.boards] == [120, 60]


def test_pages_go_on_after_equal_moments(engine: Engine) -> None:
    submit(engine, small_sweep(**on([1.5, 2.0, 2.5, 3.0, 4.0])))  # all in one moment
    found, token = [], None
    for _ in range(3):
        page = list_boards(engine, limit=2, page_token=token)
        found += exponents(page)
        token = page.next_page_token
    assert token is None
    assert found == ["4", "3", "2.5", "2", "1.5"]


@pytest.mark.parametrize("token", ["", "x", "c3dlZXBzOjE", "Ym9hcmRzOjE", "Ym9hcmRzOjE6", "Ym9hcmRzOjotMQ"])
def test_foreign_page_tokens_are_refused(engine: Engine, token: str) -> None:
    """Among them ``boards:1``, without an id, and ``boards:1:``."""
    with pytest.raises(InvalidPageToken):
        list_boards(engine, limit=2, page_token=token)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("", ["3", "1.5"]),
        ("POLYNOMIAL", ["3", "1.5"]),
        ("p=3", ["3"]),
        ("p = 1.5", ["1.5"]),
        ("programming", []),
        ("latents=4 p=3", ["3"]),
        ("latents=5", []),
        ("%", []),
        ("p_1", []),
        ("\0", ["3", "1.5"]),
    ],
)
def test_boards_are_found_by_the_words_of_title_and_parameters(
    engine: Engine, q: str, expected: list[str]
) -> None:
    submit(engine, small_sweep(**on([1.5, 3.0])))
    assert exponents(list_boards(engine, limit=9, q=q)) == expected
    assert exponents(list_boards(engine, limit=9, q=q, task="polynomial")) == expected
    assert list_boards(engine, limit=9, q=q, task="gdas").boards == []


def test_the_best_estimator_is_that_of_the_board(engine: Engine) -> None:
    """ReinMax at 2 has the lowest mean, 1, but one seed of the four that the fullest cell has."""
    grids = [{"id": "st", "temperature": [1.0, 2.0]}, {"id": "reinmax", "temperature": [1.0, 2.0]}]
    submit(engine, small_sweep(estimators=grids, seeds=4))
    finish(
        engine,
        {
            ("st", 1.0): [5.0, 5.0, 5.0, 5.0],
            ("st", 2.0): [3.0, 5.0],
            ("reinmax", 1.0): [9.0, 9.0, 9.0, 9.0],
            ("reinmax", 2.0): [1.0],
        },
    )
    (line,) = list_boards(engine, limit=9).boards
    assert line.best == BestResult(
        estimator="st", title="Straight-through", metric="expected_loss", mean=4.0, n=2
    )
    assert (line.trials, line.succeeded, line.failed, line.estimators) == (16, 11, 5, 2)
    assert line.counts == {"queued": 0, "running": 0, "succeeded": 11, "failed": 5, "cancelled": 0}
    best = show_board(engine, line.id).rows[0]
    assert (best.estimator, best.metrics["expected_loss"].mean) == ("st", 4.0)


def test_of_equal_means_the_cell_submitted_first_is_best(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["reinmax", "st"], seeds=2))
    finish(engine, {("st", 1.0): [2.0, 2.0], ("reinmax", 1.0): [1.0, 3.0]})
    best = list_boards(engine, limit=9).boards[0].best
    assert best is not None
    assert (best.estimator, best.mean) == ("reinmax", 2.0)


def test_what_runs_is_counted(engine: Engine) -> None:
    submit(engine, small_sweep())
    queue = Queue(engine)
    queue.plan(max_lanes=3, slots=1)
    queue.claim(owner="d", limit=1)
    (line,) = list_boards(engine, limit=9).boards
    assert (line.counts["running"], line.counts["queued"], line.best) == (3, 3, None)


def test_statements_do_not_grow_with_boards(engine: Engine) -> None:
    compute(engine, small_sweep(**on(2.0)))
    one = _statements(engine)
    compute(engine, small_sweep(**on([3.0, 4.0, 5.0, 6.0, 7.0])))
    assert _statements(engine) == one


def _statements(engine: Engine) -> int:
    found: list[str] = []

    def note(*arguments: object) -> None:
        found.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", note)
    list_boards(engine, limit=50)
    event.remove(engine, "before_cursor_execute", note)
    return len(found)


def test_the_list_over_rest(engine: Engine) -> None:
    compute(engine, small_sweep(**on([1.5, 3.0])))
    http = browser_of(application(engine))
    answer = http.get("/api/v1/boards", params={"q": "p=3", "task": "polynomial", "limit": 1}).json()
    assert [board["title"].split(",")[0] for board in answer["boards"]] == ["Polynomial p = 3"]
    assert answer["boards"][0]["best"]["mean"] == 1.0  # seeds 0, 1 and 2
    assert answer["next_page_token"] is None
