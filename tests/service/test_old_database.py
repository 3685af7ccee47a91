"""A database that revision 051591a wrote, before optimizers had parameters: nothing of it is lost.

It holds two sweeps on one board, five trials that succeeded, with their curves; host and device names were
taken out, nothing else was changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from benchmarks.spec import cohort_signature
from benchmarks.sweep import Sweep, read_sweep
from service.queue.submission import plan, submit
from service.resources.board_lists import list_boards
from service.resources.boards import show_board
from service.resources.sweeps import list_trials, show_sweep
from service.resources.trials import show_trial, trial_curves
from service.storage import migrations
from service.storage.engine import read
from tests.support.databases import engine_of
from tests.support.web import application, browser_of

STORED = Path(__file__).parent / "data" / "revision_051591a.db"
BOARD = "95a30c1ec2dc0079b81a2ad0c0a20514"
IDEMPOTENCY_KEYS = ("f95f0cff57ac474baa148315d8c79e6c", "c317ac294dc7443584bedf82a10a3d0f")
TASK = {"id": "polynomial", "latents": 4, "batch_size": 4, "epochs": 2, "steps_per_epoch": 5}
SWEEPS: tuple[dict[str, Any], ...] = (
    {
        "name": "before",
        "owner": "somebody",
        "task": TASK,
        "estimators": ["st", {"id": "reinmax", "temperature": 1.3}],
        "seeds": 2,
    },
    {
        "name": "before, in other settings",
        "task": TASK,
        "estimators": [{"id": "gumbel_rao", "num_draws": 10}],
        "grid": {"optimizer": "radam", "lr": 1e-2},
        "seeds": [3],
        "select": {"metric": "train_loss"},
        "report": ["train_loss"],
    },
)
"""The files that were submitted."""


def sweeps() -> list[Sweep]:
    return [read_sweep(document) for document in SWEEPS]


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Engine]:
    """A copy, as ``heunboard up`` opens it."""
    copy = tmp_path / "old.sqlite"
    shutil.copy(STORED, copy)
    with engine_of(f"sqlite:///{copy}") as engine:
        migrations.prepare(engine)
        yield engine


def test_it_opens_with_the_schema_of_today(old: Engine) -> None:
    migrations.require_current(old)
    migrations.check(old)


def test_trials_keep_their_keys_and_signatures(old: Engine) -> None:
    with read(old) as connection:
        stored = {(key, signature) for key, signature in connection.execute(sa.text(_TRIALS))}
    computed = {(trial.key, cohort_signature(trial)) for sweep in sweeps() for trial in sweep.expand()}
    assert computed == stored
    assert len(stored) == 5


def test_stored_specifications_read_back_as_those_of_today(old: Engine) -> None:
    trials = {trial.key: trial for sweep in sweeps() for trial in sweep.expand()}
    for key, trial in trials.items():
        assert show_trial(old, key).spec == trial.to_json()
        assert show_trial(old, key).state == "succeeded"


def test_submitting_again_computes_nothing(old: Engine) -> None:
    for sweep in sweeps():
        trials = sweep.count()
        assert sum(work.to_compute for work in plan(old, sweep).estimators.values()) == 0
        result = submit(old, sweep)
        assert (result.trials, result.new, result.known) == (trials, 0, trials)
        assert show_sweep(old, str(result.sweep_id)).state == "succeeded"


@pytest.mark.parametrize("number", [0, 1])
def test_a_submission_that_is_repeated_is_still_the_same(old: Engine, number: int) -> None:
    """A client that never saw the answer sends the request again after the server was replaced."""
    result = submit(old, sweeps()[number], idempotency_key=IDEMPOTENCY_KEYS[number])
    assert result.sweep_id == number + 1
    assert result.new == result.trials


def test_its_board_shows(old: Engine) -> None:
    (link,) = list_boards(old, limit=10).boards
    assert (link.id, link.trials, link.succeeded) == (BOARD, 5, 5)
    board = show_board(old, BOARD)
    assert board.title == "Polynomial p = 2, c = 0.45, L = 4, batch 4, 10 steps"
    found = {row.estimator: (row.setting.optimizer, row.metrics["expected_loss"].mean) for row in board.rows}
    # Means of the values that the old revision showed.
    assert found == {
        "gumbel_rao": ("radam", 0.25236082536048937),
        "st": ("adam", pytest.approx((0.25258675241148804 + 0.252463751352426) / 2)),
        "reinmax": ("adam", pytest.approx((0.2525876659357202 + 0.2524643408236802) / 2)),
    }
    assert {(curve.estimator, curve.metric, tuple(curve.epochs)) for curve in board.curves} == {
        (estimator, metric, (1, 2)) for estimator in found for metric in ("expected_loss", "train_loss")
    }


def test_its_trials_and_curves_show(old: Engine) -> None:
    trials = list_trials(old, "1", limit=10).trials
    assert [trial.label for trial in trials] == [
        "Straight-through temperature=1.0, adam 0.001, seed 0",
        "Straight-through temperature=1.0, adam 0.001, seed 1",
        "ReinMax temperature=1.3, adam 0.001, seed 0",
        "ReinMax temperature=1.3, adam 0.001, seed 1",
    ]
    curves = {curve.metric: curve.values for curve in trial_curves(old, trials[0].key).curves}
    assert curves["expected_loss"][-1] == pytest.approx(0.25258675241148804)


@pytest.mark.parametrize("page", ["/", f"/boards/{BOARD}", "/sweeps", "/sweeps/1", "/sweeps/2"])
def test_its_pages_show(old: Engine, page: str) -> None:
    with browser_of(application(old)) as browser:
        assert browser.get(page).status_code == 200


_TRIALS = "SELECT key, signature FROM trial"
