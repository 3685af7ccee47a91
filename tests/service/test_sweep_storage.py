"""A sweep is stored once, whole, fast, and lists of it go on where they stopped."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import IdempotencyKeyReused, InvalidPageToken, InvalidSettings, NotFound
from service.queue import submission, workload
from service.queue.cohorts import Queue
from service.queue.reports import QueueRules
from service.queue.submission import SubmitResult, submit
from service.resources import planning, sweeps
from service.settings import load_settings
from service.states import TrialState
from service.storage.engine import read
from service.storage.models import Board, Cell, Event, Sweep, SweepTrial, Trial
from service.storage.queries.boards import boards_by_id
from tests.support.sweeps import outcome, small_sweep


def test_one_key_is_stored_once(engine: Engine) -> None:
    first = submit(engine, small_sweep())
    assert first == SubmitResult(sweep_id=1, trials=6, new=6, known=0)
    second = submit(engine, small_sweep(name="wider", seeds=4))
    assert second == SubmitResult(sweep_id=2, trials=8, new=2, known=6)
    assert sizes(engine) == {"board": 1, "cell": 2, "trial": 8, "sweep": 2, "sweep_trial": 14, "event": 2}
    with read(engine) as connection:
        keys = set(connection.scalars(sa.select(Trial.key)))
        assert set(connection.scalars(sa.select(Cell.trials))) == {4}
    assert keys == {spec.key for spec in small_sweep(seeds=4).expand()}


def test_a_submission_says_what_is_left_to_compute(engine: Engine) -> None:
    work = submit(engine, small_sweep()).work
    counts = {id: (one.trials, one.to_compute, one.steps) for id, one in work.estimators.items()}
    assert counts == {"st": (3, 3, 30), "reinmax": (3, 3, 30)}


def test_plan_counts_what_is_computed(engine: Engine) -> None:
    queue = Queue(engine)
    submit(engine, small_sweep(estimators=["st"]))
    queue.plan(max_lanes=8, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    reply = queue.start(claim.attempt_id, claim.secret)
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    before = sizes(engine)
    plan = planning.plan(engine, submission.plan(engine, small_sweep(name="plan")))
    assert (plan.trials, plan.known, plan.to_compute) == (6, 3, 3)
    assert sizes(engine) == before


def test_idempotency_key(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["st"]))
    first = submit(engine, small_sweep(), idempotency_key="abc")
    assert first == SubmitResult(sweep_id=2, trials=6, new=3, known=3)
    assert submit(engine, small_sweep(), idempotency_key="abc") == first
    with pytest.raises(IdempotencyKeyReused):
        submit(engine, small_sweep(name="other"), idempotency_key="abc")
    assert sizes(engine)["sweep"] == 2


def test_of_many_programs_some_stand_for_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards of 1 to 40 variables: every eighth one, scaled by its steps, is within a tenth of all."""
    task = {"id": "polynomial", "latents": list(range(1, 41)), "epochs": 2, "steps_per_epoch": 5000}
    exact = planning.plan(engine, submission.plan(engine, small_sweep(task=task)))
    monkeypatch.setattr(workload, "MOST_PROGRAMS", 10)
    work = submission.plan(engine, small_sweep(task=task))
    latents = [dict(program.task.parameters)["latents"] for program in work.estimators["st"].programs]
    assert latents == [1, 9, 17, 25, 33]
    rough = planning.plan(engine, work)
    assert (rough.trials, rough.to_compute) == (exact.trials, exact.to_compute) == (240, 240)
    for name in ("low", "expected", "high"):
        ratio = getattr(rough.device_seconds, name) / getattr(exact.device_seconds, name)
        assert ratio == pytest.approx(1, abs=0.1)
        assert ratio != 1


def test_life_of_a_sweep_as_it_is_shown(engine: Engine) -> None:
    queue = Queue(engine)
    submit(engine, small_sweep(owner="ada", priority=3))
    assert sweeps.show_sweep(engine, "1").state == "queued"
    queue.plan(max_lanes=8, slots=1)
    for claim in queue.claim(owner="d", limit=2):
        assert sweeps.show_sweep(engine, "1").state == "running"
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    shown = sweeps.show_sweep(engine, "1")
    assert (shown.state, shown.owner, shown.priority, shown.trials) == ("succeeded", "ada", 3, 6)
    assert shown.finished_at is not None
    assert shown.finished_at.utcoffset() == timedelta(0)
    assert shown.progress.steps_done == shown.progress.steps_total == 60
    assert (shown.boards_total, shown.cells_total) == (1, 2)
    cells = sweeps.list_cells(engine, "1", limit=5).cells
    assert [(cell.estimator, cell.counts["succeeded"], cell.seeds) for cell in cells] == [
        ("st", 3, 3),
        ("reinmax", 3, 3),
    ]
    assert [(board.trials, board.succeeded) for board in shown.boards] == [(6, 6)]


def test_pages_of_sweeps_and_trials_miss_nothing(engine: Engine) -> None:
    for number in range(5):
        submit(engine, small_sweep(name=f"sweep {number}", seeds=number + 1))
    names, token = [], None
    for _ in range(3):
        page = sweeps.list_sweeps(engine, limit=2, page_token=token)
        names += [(sweep.name, sweep.trials) for sweep in page.sweeps]
        token = page.next_page_token
    assert token is None
    assert names == [(f"sweep {number}", 2 * (number + 1)) for number in (4, 3, 2, 1, 0)]
    first = sweeps.list_trials(engine, "5", limit=7)
    rest = sweeps.list_trials(engine, "5", limit=7, page_token=first.next_page_token)
    assert rest.next_page_token is None
    assert len({trial.key for trial in first.trials + rest.trials}) == 10
    assert sweeps.list_trials(engine, "5", limit=7, state=TrialState.FAILED).trials == []


@pytest.mark.parametrize("token", ["", "x", "!", "é", "c3dlZXBzOi0x", "dHJpYWxzLTEtYWxsOjI"])
def test_foreign_page_token_is_refused(engine: Engine, token: str) -> None:
    with pytest.raises(InvalidPageToken, match="page_token"):
        sweeps.list_sweeps(engine, limit=2, page_token=token)


@pytest.mark.parametrize("id", ["2", "0", "-1", "x", "", "1e0", "9" * 30, "²"])
def test_unknown_sweep(engine: Engine, id: str) -> None:
    submit(engine, small_sweep())
    with pytest.raises(NotFound):
        sweeps.show_sweep(engine, id)


def test_failing_submission_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(sa.exc.StatementError):
        submit(engine, small_sweep(), clock=lambda _: datetime(2030, 1, 1))  # a clock without time zone
    assert set(sizes(engine).values()) == {0}


def test_large_sweep_is_stored_in_bulk(engine: Engine) -> None:
    """20,000 trials; the bound is ten times what an idle machine needs and a hundredth of row by row."""
    temperatures = [1 + number / 100 for number in range(20)]
    sweep = small_sweep(estimators=[{"id": "reinmax", "temperature": temperatures}], seeds=1000)
    start = time.perf_counter()
    assert submit(engine, sweep).new == 20_000
    assert time.perf_counter() - start < 20
    assert Queue(engine).plan(max_lanes=64, slots=2) == 313


def test_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, message in (
        ("LEASE_SECONDS", "soon", "HEUNBOARD_LEASE_SECONDS is 'soon'"),
        ("MAX_ATTEMPTS", "0", "HEUNBOARD_MAX_ATTEMPTS"),
        ("DATABASE_URL", "mysql://x/y", "HEUNBOARD_DATABASE_URL names 'mysql'"),
        ("DATABASE_URL", "nonsense", "HEUNBOARD_DATABASE_URL is 'nonsense'"),
        ("DATABASE_URL", "sqlite://", "must be a file"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(f"HEUNBOARD_{name}", value)
            with pytest.raises(InvalidSettings, match=message):
                load_settings()


def test_the_password_of_the_database_comes_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("a/b@c:d\n")  # what would have to be quoted in a URL
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", "postgresql://me@db:5432/board")
    monkeypatch.setenv("HEUNBOARD_DATABASE_PASSWORD_FILE", str(file))
    settings = load_settings()
    url = sa.engine.make_url(settings.database)
    assert (url.username, url.password, url.host, url.database) == ("me", "a/b@c:d", "db", "board")
    assert "a/b@c:d" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "password", "message"),
    [
        ("postgresql://me@db/board", None, "cannot be read: .*No such file"),
        ("postgresql://me@db/board", "\n", "which is empty"),
        ("postgresql://me:hush@db/board", "other", "has a password, and .* names another"),
        ("sqlite:////tmp/x.sqlite", "other", "does not name a PostgreSQL database"),
        ("", "other", "does not name a PostgreSQL database"),
    ],
)
def test_a_password_file_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, password: str | None, message: str
) -> None:
    file = tmp_path / "password"
    if password is not None:
        file.write_text(password)
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", url)
    monkeypatch.setenv("HEUNBOARD_DATABASE_PASSWORD_FILE", str(file))
    with pytest.raises(InvalidSettings, match=message) as caught:
        load_settings()
    assert "hush" not in str(caught.value)
    assert "other" not in str(caught.value).replace("another", "")


def test_settings_become_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEUNBOARD_LEASE_SECONDS", "60")
    assert QueueRules.of(load_settings()) == QueueRules(lease=timedelta(seconds=60))


def sizes(engine: Engine) -> dict[str, int]:
    with read(engine) as connection:
        return {
            table.__tablename__: connection.execute(
                sa.select(sa.func.count()).select_from(table)
            ).scalar_one()
            for table in (Board, Cell, Trial, Sweep, SweepTrial, Event)
        }


def test_boards_are_found_by_more_ids_than_a_statement_takes(engine: Engine) -> None:
    """PostgreSQL takes 65,535 parameters, SQLite 32,766."""
    submit(engine, small_sweep())
    with read(engine) as connection:
        assert [board.id for board in boards_by_id(connection, range(70_000))] == [1]
