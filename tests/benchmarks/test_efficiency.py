"""The suite of cost figures: what a step is, what is timed, what is counted as memory, what is printed."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.commands.efficiency import __main__ as command
from benchmarks.commands.efficiency import measure as measuring
from benchmarks.commands.efficiency import memory, report
from benchmarks.commands.efficiency.cases import (
    BASE,
    CONTENDERS,
    PROBLEMS,
    QUADRATIC,
    VAE,
    Contender,
    Problem,
    published,
)
from benchmarks.commands.efficiency.measure import Figures, Plan, measure
from benchmarks.commands.efficiency.passes import Passes
from benchmarks.commands.efficiency.report import Report, ratios
from benchmarks.datasets.files import DatasetUnavailable
from benchmarks.tasks.polynomial.task import targets

CPU = torch.device("cpu")
SMALL = Problem(
    name="quadratic",
    title="small",
    task={"id": "polynomial", "p": 2, "setting": "B", "latents": 4, "batch_size": 4096, "steps_per_epoch": 6},
)
SMALL_VAE = Problem(
    name="vae",
    title="small",
    task={"id": "categorical_vae", "categories": 3, "latents": 2, "batch_size": 20},
    made_up={"train": 50, "test": 20},
)
WHOLE = Plan(device="cpu", epochs=3, warm_up=2, seconds=None, threads=1)


def figures(seconds: float, added: int) -> Figures:
    return Figures(
        epochs=(seconds, 2 * seconds, seconds / 2), steps=3, of=6, held_bytes=100, peak_bytes=100 + added
    )


def test_problems_are_those_of_the_published_table() -> None:
    """200 and 600 steps an epoch; Gumbel-Rao with 1000 draws takes 33 times as long as ReinMax in one."""
    assert [(p.name, p.steps) for p in PROBLEMS] == [("quadratic", 200), ("vae", 600)]
    assert all(published(problem, contender) for problem in PROBLEMS for contender in CONTENDERS)
    thousand = published(QUADRATIC, Contender(estimator="gumbel_rao", draws=1000))
    assert thousand is not None
    assert (thousand.seconds, thousand.megabytes) == (6.6, 3000)
    assert published(VAE, Contender(estimator="rloo")) is None
    assert QUADRATIC.trial(CONTENDERS[-1]).estimator.values["num_draws"] == 1000


def test_a_step_gives_the_gradient_and_leaves_the_parameters() -> None:
    """For quadratics ReinMax is exact on average: q (1 - q) (1 - 2 c) / L at q near 1/2, 4096 copies."""
    step = Passes(SMALL, BASE, CPU)
    before = {name: value.clone() for name, value in step._parameters.items()}
    (gradient,), (other,) = step(), step()
    slope = 0.25 * (1 - 2 * targets("B", 4)) / 4
    torch.testing.assert_close(gradient[0, 0].double(), slope, rtol=0, atol=0.002)
    torch.testing.assert_close(gradient[0, 1], -gradient[0, 0])
    assert not torch.equal(gradient, other)  # each step has noise of its own
    assert all(torch.equal(value, before[name]) for name, value in step._parameters.items())


def test_minibatches_are_whole_and_come_again() -> None:
    step = Passes(SMALL_VAE, BASE, CPU)
    batches = []
    for number in (1, 2, 3):
        step._number = number
        batches.append(step._batch())
    assert all(isinstance(batch, torch.Tensor) and batch.shape == (1, 20, 784) for batch in batches)
    assert torch.equal(batches[0], batches[2])  # type: ignore[arg-type] # tensors, as asserted
    assert not torch.equal(batches[0], batches[1])  # type: ignore[arg-type]
    gradients = step()
    assert len(gradients) == 12
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_whole_epochs_are_timed_where_there_is_no_limit() -> None:
    found = measure(SMALL, BASE, WHOLE)
    assert (found.steps, found.of, len(found.epochs)) == (6, 6, 3)
    assert found.peak_bytes >= found.held_bytes > 0


def test_long_epochs_are_cut_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves a second a step: three steps fit into 3.5 s, and an epoch of 6 takes 6 s."""
    now, done = [0.0], []

    class Second:
        def __init__(self, *given: object) -> None: ...
        def touch(self) -> None: ...
        def __call__(self) -> None:
            now[0] += 1.0
            done.append(now[0])

    monkeypatch.setattr(measuring, "Passes", Second)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    plan = Plan(device="cpu", epochs=2, warm_up=20, seconds=3.5, threads=1)
    found = measure(SMALL, BASE, plan)
    assert (found.steps, found.of, found.epochs) == (3, 6, (6.0, 6.0))
    assert len(done) == 4 + 2 * 3  # the warm-up ends when it has taken longer than an epoch may


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_that_was_given_back_counts_in_the_peak_alone() -> None:
    before = memory.held(CPU)
    tensor = torch.ones(2**25)  # 128 MiB
    del tensor
    assert 0.95 * 2**27 < memory.peak(CPU) - before < 1.3 * 2**27
    again = memory.held(CPU)
    assert memory.peak(CPU) - again < 0.2 * 2**27


def test_ratios_are_to_reinmax_on_the_same_problem() -> None:
    measured = Report(plan=WHOLE)
    rao = Contender(estimator="gumbel_rao", draws=1000)
    measured.add((QUADRATIC, BASE), figures(2.0, 10))
    measured.add((QUADRATIC, rao), figures(50.0, 30))
    measured.add((VAE, rao), figures(50.0, 30))
    found = ratios(measured, (QUADRATIC, rao), figures(50.0, 30))
    assert found == pytest.approx(
        {"seconds": 25, "added_bytes": 3, "published_seconds": 33, "published_megabytes": 3000 / 6.5}
    )
    alone = ratios(measured, (VAE, rao), figures(50.0, 30))
    assert (alone["seconds"], alone["added_bytes"]) == (None, None)


def test_table_and_json_say_how_it_was_measured(tmp_path: Path) -> None:
    measured = Report(plan=Plan(device="cpu", epochs=3, warm_up=2, seconds=1.5, threads=1))
    measured.add((QUADRATIC, BASE), figures(2.0, 10_000_000))
    measured.failures["vae st"] = "no memory"
    text = report.table(measured)
    assert "an epoch of more than 1.5 s is cut" in text
    assert "resident bytes of a process of its own" in text
    (line,) = [line for line in text.splitlines() if line.startswith("reinmax")]
    assert " ".join(line.split()) == "reinmax 2 (1-4) 3 of 6 1 0.2 1 10.0 10.0 1 6.5 1"
    assert "vae st: FAILED, no memory" in text
    report.write(measured, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["cases"][0]["seconds"] == 2.0
    assert written["cases"][0]["published"] == {"seconds": 0.2, "megabytes": 6.5}
    assert (written["plan"]["seconds"], written["failures"]) == (1.5, {"vae st": "no memory"})


def test_the_command_measures_in_processes_of_their_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    arguments = ["--estimators", "reinmax", "--epochs", "2", "--warm-up", "1", "--json", str(path)]
    assert command.main(arguments, problems=[SMALL]) == 0
    assert "small" in capfd.readouterr().out
    (case,) = json.loads(path.read_text())["cases"]
    assert (case["steps"], len(case["epochs"])) == (6, 2)


def failing(error: BaseException) -> Callable[..., Figures]:
    def apart(pair: object, plan: object) -> Figures:
        raise error

    return apart


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("no memory"), 1),
        (DatasetUnavailable("no images"), 2),
        (KeyboardInterrupt(), 128 + signal.SIGINT),
    ],
    ids=["failed", "no data", "interrupted"],
)
def test_what_goes_wrong_is_the_exit_status(
    error: BaseException, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_apart", failing(error))
    assert command.main(["--json", str(tmp_path / "out.json")], problems=[SMALL]) == status
