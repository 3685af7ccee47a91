"""One trial: where it belongs, what became of it, and a sweep file that is this trial."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from benchmarks.sweep import Sweep, load_sweep
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.repeating import sweep_file
from service.resources.trials import show_trial
from tests.service.test_pages import text_of
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import application, browser_of, compute, fail

KEYS = {trial.seed: trial.key for trial in small_sweep(estimators=["st"]).expand()}


def test_where_it_belongs(engine: Engine) -> None:
    first = compute(engine, small_sweep(name="first"))
    submit(engine, small_sweep(name="second", seeds=[0, 1, 9]))
    shown = show_trial(engine, KEYS[1])
    assert (shown.seed, shown.estimator, shown.task, shown.state) == (1, "st", "polynomial", "succeeded")
    assert [(one.seed, one.state) for one in shown.seeds] == [
        (0, "succeeded"),
        (1, "succeeded"),
        (2, "succeeded"),
        (9, "queued"),
    ]
    assert [one.key for one in shown.seeds[:3]] == list(KEYS.values())
    assert [(one.id, one.name) for one in shown.sweeps] == [(first, "first"), ("2", "second")]
    assert (shown.steps, shown.steps_done) == (10, 10)
    assert shown.board_title.startswith("Polynomial p = 2")
    assert shown.board_page == f"/boards/{shown.board}"
    assert (shown.checkpoints, shown.events) == ([], [])


@pytest.mark.parametrize(
    "sweep",
    [
        small_sweep(seeds=[3]),
        small_sweep(
            seeds=[3], precision="tf32", grid={"optimizer": {"id": "sgd", "nesterov": "yes", "momentum": 0.9}}
        ),
        small_sweep(estimators=[{"id": "reinmax", "temperature": 1.3}], diagnostics={"epochs": [1, 2]}),
        small_sweep(diagnostics={"epochs": 2, "estimators": ["stgs", {"id": "gumbel_rao", "num_draws": 7}]}),
        small_sweep(task={"id": "gdas"}, seeds=1),
    ],
    ids=["defaults", "optimizer", "diagnostics", "others measured", "a task that fixes its optimizer"],
)
def test_the_sweep_file_of_a_trial_is_that_trial(sweep: Sweep) -> None:
    for spec in sweep.expand():
        (again,) = load_sweep(sweep_file(spec)).expand()
        assert again == spec
        assert again.key == spec.key


def test_page_of_a_trial(engine: Engine) -> None:
    compute(engine, small_sweep(name="asks", owner="ada"))
    text = text_of(engine, f"/trials/{KEYS[1]}")
    assert "Straight-through , seed 1 succeeded" in text
    assert "Asked for by asks ." in text
    assert "Expected loss 1 Sampled loss 1" in text  # final metrics
    assert "epoch, from 2.0000 to 2.0000" not in text  # a label, not text
    assert re.search(r"heunboard submit - --wait --url http://127\.0\.0\.1 &lt;&lt;", text)
    assert "seeds: [1]" in text


def test_curve_of_the_metric_asked_for(engine: Engine) -> None:
    compute(engine, small_sweep())
    http = browser_of(application(engine))
    html = http.get(f"/trials/{KEYS[2]}").text
    assert '"mean":[2.0,3.0]' in html
    assert '"unit":"Expected loss"' in html
    assert http.get(f"/trials/{KEYS[2]}", params={"metric": "no such"}).status_code == 200


def test_page_of_a_trial_that_failed_is_escaped(engine: Engine) -> None:
    fail(engine, small_sweep(), error="Boom: <script>alert(1)</script>\nmore", traceback="File <b>x</b>")
    html = browser_of(application(engine)).get(f"/trials/{KEYS[0]}").text
    assert "<script>alert" not in html
    assert "Boom: &lt;script&gt;alert(1)" in html
    assert "File &lt;b&gt;x" in html


def test_page_of_a_trial_that_waits(engine: Engine) -> None:
    submit(engine, small_sweep())
    text = text_of(engine, f"/trials/{KEYS[0]}")
    assert "It waits." in text
    assert "Nobody has begun with it yet." in text
    assert "No epoch has been reported yet." in text


def test_what_happened_to_its_attempts(engine: Engine) -> None:
    """Its first attempt is lost with its process, the second one ends it."""
    submit(engine, small_sweep(estimators=["st"]))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    queue.start(claim.attempt_id, claim.secret)
    queue.lost(attempt_id=claim.attempt_id, reason="the process ended with signal 9")
    shown = show_trial(engine, KEYS[0])
    assert [(one.kind, one.attempt) for one in shown.events] == [("attempt_lost", claim.attempt_id)]
    assert "signal 9" in shown.events[0].detail
    text = text_of(engine, f"/trials/{KEYS[0]}")
    assert "lost: its worker process died" in text
    assert "attempt lost" in text


def test_a_trial_runs_without_a_curve(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["st"]))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    reply = queue.start(claim.attempt_id, claim.secret)
    assert "running" in text_of(engine, f"/trials/{KEYS[0]}")
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    assert "No epoch was reported." in text_of(engine, f"/trials/{KEYS[0]}")


def test_a_loss_that_is_finite_but_absurd_is_named(engine: Engine) -> None:
    """Its curve is 2, 51: above 2 + 10 * 2."""
    sweep = small_sweep(estimators=["st"], seeds=[0, 50])
    compute(engine, sweep)
    usual, absurd = (trial.key for trial in sweep.expand())
    assert show_trial(engine, absurd).absurd == {"expected_loss": 2}
    assert show_trial(engine, usual).absurd == {}
    assert "Finite, but absurd. Expected loss from epoch 2 on" in text_of(engine, f"/trials/{absurd}")
    assert "absurd" not in text_of(engine, f"/trials/{usual}")
    board = text_of(engine, f"/boards/{show_trial(engine, usual).board}")
    assert "Expected loss, seed 50: 50.000, absurd from epoch 2 on" in board
