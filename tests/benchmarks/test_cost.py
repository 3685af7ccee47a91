"""Device time: work counted from facts, the table of rates, intervals from finished work."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.cost import prediction, table
from benchmarks.cost.compiling import worth_compiling
from benchmarks.cost.prediction import DeviceTime, Finished, Load, Predictor
from benchmarks.cost.table import Footing, Row, Table
from benchmarks.cost.work import of_step
from benchmarks.spec import TrialSpec, cohort_signature
from benchmarks.sweep import read_sweep

LONG = {"id": "polynomial", "latents": 8, "batch_size": 4, "epochs": 40}  # 8,000 steps, 1,600 flop each
VAE = {"id": "categorical_vae", "categories": 8, "latents": 4}
TINY = Table(
    machine="one that does a flop a second, of most tasks 40,000",
    start_seconds=100.0,
    overhead_seconds=2.0,
    number_seconds=0.5,
    flop_per_second={"polynomial": 1.0, "": 40_000.0},
    uncompiled=3.0,
    rows=(),
)


def trial(task: dict[str, Any], estimator: Any) -> TrialSpec:
    document = {"name": "a", "task": task, "estimators": [estimator], "seeds": 1}
    (spec,) = read_sweep(document).expand()
    return spec


def load(task: dict[str, Any], estimator: Any, *, trials: int = 1, steps: int = 8000) -> Load:
    """Trials of ``steps`` steps each."""
    spec = trial(task, estimator)
    return Load(
        task=spec.task,
        estimator=spec.estimator,
        signature=cohort_signature(spec),
        steps=trials * steps,
        trials=trials,
    )


def steps_of(load: Load) -> float:
    """Tabulated seconds without those until the program is there."""
    return load.steps * TINY.pace(load.task, load.estimator, each=load.each)


def row(task: dict[str, Any], estimator: Any, seconds: float, *, compiled: bool = True) -> Row:
    spec = trial(task, estimator)
    return Row(task=spec.task, estimator=spec.estimator, compiled=compiled, seconds_per_step=seconds)


@pytest.mark.parametrize(
    ("estimator", "evaluations", "draws"),
    [
        ("st", 1, 1),
        ("exact", 2, 1),  # a sum of terms of two categories
        ({"id": "rloo", "num_samples": 6}, 6, 1),
        ({"id": "muprop", "num_samples": 6}, 7, 1),
        ({"id": "rebar", "num_samples": 6}, 18, 1),
        ({"id": "gumbel_rao", "num_draws": 50}, 1, 50),
    ],
    ids=str,
)
def test_work_follows_from_facts(estimator: Any, evaluations: int, draws: int) -> None:
    spec = trial(LONG, estimator)
    work = of_step(spec.task, spec.estimator)
    assert work.flop == 50 * 8 * 4 * evaluations
    assert work.numbers == 4 * 8 * 2 * draws


def test_an_exact_mean_over_draws_costs_a_fixed_number_of_them() -> None:
    exact, drawn = (
        trial({"id": "bernoulli_vae"}, {"id": "gumbel_rao", **given})
        for given in ({"expectation": "exact"}, {"num_draws": 17})
    )
    assert of_step(exact.task, exact.estimator) == of_step(drawn.task, drawn.estimator)


def test_copies_take_an_exact_mean_once_for_each_outcome() -> None:
    """Four copies of eight variables: a draw each, and 16 draws' worth more for two of them."""
    spec = trial(LONG, {"id": "gumbel_rao", "expectation": "exact"})
    assert of_step(spec.task, spec.estimator).numbers == 8 * 2 * (4 + 2 * 16)


def test_work_of_the_vae() -> None:
    spec = trial(VAE, "arsm")
    weights = 2 * (784 * 512 + 512 * 256 + 256 * 32)
    work = of_step(spec.task, spec.estimator)
    assert work.flop == 6 * weights * 100 * (8 * 7 / 2 + 1)
    assert work.numbers == 100 * 4 * 8


def test_other_versions_are_not_guessed() -> None:
    spec = trial(LONG, "st")
    with pytest.raises(KeyError, match="polynomial has version 1, not 0"):
        of_step(replace(spec.task, version=0), spec.estimator)


def test_specifications_older_than_a_parameter_get_its_default() -> None:
    spec = trial(LONG, "gumbel_rao")
    older = replace(spec.estimator, parameters=())
    assert of_step(spec.task, older) == of_step(spec.task, spec.estimator)


def test_the_table_is_a_model_with_ratios() -> None:
    spec, other = trial(LONG, "st"), trial(LONG, "reinmax")
    seconds = 2 + 1600 + 64 * 0.5  # overhead, flop, numbers
    bare = TINY.seconds(spec.task, spec.estimator, steps=10_000, each=5000)
    assert bare == pytest.approx(10_000 * seconds + 100)
    assert TINY.footing(spec.task, spec.estimator) is Footing.NOTHING
    measured = replace(TINY, rows=(row(LONG, "st", 2 * seconds), row(LONG, "stgs", 8 * seconds)))
    assert measured.footing(spec.task, spec.estimator) is Footing.ESTIMATOR
    assert measured.footing(other.task, other.estimator) is Footing.TASK
    own = measured.seconds(spec.task, spec.estimator, steps=5000, each=5000)
    assert own == pytest.approx(5000 * 2 * seconds + 100)
    assert measured.seconds(other.task, other.estimator, steps=5000, each=5000) == pytest.approx(
        5000 * 4 * seconds + 100  # the geometric mean of 2 and 8
    )


def test_short_trials_are_not_compiled() -> None:
    spec = trial(LONG, "st")
    short = TINY.seconds(spec.task, spec.estimator, steps=8000, each=400)
    assert short == pytest.approx(3 * 8000 * (2 + 1600 + 32))
    measured = replace(TINY, rows=(row(LONG, "st", 5.0), row(LONG, "st", 7.0, compiled=False)))
    assert measured.seconds(spec.task, spec.estimator, steps=10, each=10) == pytest.approx(70)


@pytest.mark.parametrize(
    ("task", "estimator", "fewest"),
    [
        # 0.75 s over 1.5 ms + 50 x 8 x 4 flop / 5e10 + 64 numbers x 10 ns = 1.500672 ms
        (LONG, "st", 500),
        # 1.5 ms + 50 x 128 x 256 flop / 5e10 + 65,536 numbers x 10 ns = 2.188 ms
        ({"id": "polynomial", "latents": 128, "batch_size": 256}, "reinmax", 343),
        # 1.5 ms + 6 x 1,081,344 weights x 100 images / 5e10 + 3,200 numbers x 10 ns = 14.508 ms
        (VAE, "reinmax", 52),
    ],
)
def test_what_is_compiled_follows_from_the_work_of_a_trial(
    task: dict[str, Any], estimator: str, fewest: int
) -> None:
    spec = trial(task, estimator)
    assert worth_compiling(spec.task, spec.estimator, fewest)
    assert not worth_compiling(spec.task, spec.estimator, fewest - 1)
    assert not worth_compiling(spec.task, spec.estimator, fewest, device="cuda")
    assert worth_compiling(spec.task, spec.estimator, 11 * fewest, device="cuda")


def test_steps_of_differing_lengths_are_not_compiled() -> None:
    spec = trial({"id": "listops", "epochs": 20}, "reinmax")
    assert not worth_compiling(spec.task, spec.estimator, 10**6)


def test_the_shipped_table_gives_its_rows_back() -> None:
    shipped = table.shipped()
    for one in shipped.rows:
        each, start = (10_000, shipped.start_seconds) if one.compiled else (5, 0.0)
        seconds = shipped.seconds(one.task, one.estimator, steps=10_000, each=each)
        assert seconds == pytest.approx(10_000 * one.seconds_per_step + start, rel=1e-6)
    found = {(one.task.id, one.estimator.id) for one in shipped.rows}
    for task in ("polynomial", "categorical_vae"):
        assert {(task, "reinmax"), (task, "gumbel_rao"), (task, "rloo")} <= found


def test_without_history_the_interval_is_wide() -> None:
    measured = replace(TINY, rows=(row(LONG, "st", 1.0),))
    for estimator, factor in (("st", 3), ("reinmax", 5)):
        time = Predictor(table=measured).device_time(load(LONG, estimator))
        assert (time.high / time.expected, time.expected / time.low) == pytest.approx((factor, factor))
        assert time.attempts == 0
    vae = Predictor(table=measured).device_time(load(VAE, "st"))
    assert vae.high / vae.expected == pytest.approx(12)


def test_history_of_the_same_program_sets_the_rate() -> None:
    """Three attempts took 2 x e^(-0.2, 0, 0.2) of the table's seconds for steps: the interval with scipy's t.

    What they needed to start is left aside, and not expected again: the program is on disk.
    """
    done = load(LONG, "st", trials=4)
    seconds = steps_of(done)
    logs = np.log(2) + np.array([-0.2, 0.0, 0.2])
    history = [Finished(load=done, seconds=77 + seconds * math.exp(r), start_seconds=77) for r in logs]
    predictor = Predictor(history, TINY)
    time = predictor.device_time(load(LONG, "st", trials=4))
    assert time.expected == pytest.approx(2 * seconds)
    assert time.attempts == 3
    scale = math.sqrt((4 * 0.15**2 + 0.08) / 6)
    reach = stats.t.ppf(0.9, 6) * scale * math.sqrt(1 + 1 / 3)
    assert time.high == pytest.approx(2 * seconds * math.exp(reach))
    assert time.low == pytest.approx(2 * seconds * math.exp(-reach))


def test_the_likest_work_decides() -> None:
    def finished(task: dict[str, Any], estimator: Any, ratio: float) -> Finished:
        done = load(task, estimator)
        return Finished(load=done, seconds=ratio * steps_of(done))

    def ratio(predictor: Predictor, task: dict[str, Any], estimator: Any, start: float = 100.0) -> float:
        new = load(task, estimator)
        return (predictor.device_time(new).expected - start) / steps_of(new)

    wide = LONG | {"latents": 16}
    history = [finished(LONG, "st", 2), finished(LONG, "stgs", 8), finished(VAE, "st", 32)]
    predictor = Predictor(history, TINY)
    same = {"id": "st", "temperature": 0.5}
    assert ratio(predictor, LONG, same, start=0.0) == pytest.approx(2)  # the same program
    assert ratio(predictor, wide, "st") == pytest.approx(2)  # the same task and estimator
    assert ratio(predictor, wide, "reinmax") == pytest.approx(4)  # the task
    assert ratio(Predictor(history[:2], TINY), VAE, "reinmax") == pytest.approx(4)  # the machine
    short = Predictor([Finished(load=load(LONG, "st", steps=10), seconds=1e9)], TINY)
    assert short.device_time(load(LONG, "st")).attempts == 0  # was not compiled, says nothing of long trials


def test_less_like_work_gives_a_wider_interval() -> None:
    done = load(LONG, "st")
    predictor = Predictor([Finished(load=done, seconds=1e5)], TINY)
    new = (done, load(LONG | {"latents": 16}, "st"), load(LONG, "reinmax"), load(VAE, "st"))
    widths = [time.high / time.expected for time in map(predictor.device_time, new)]
    assert widths == sorted(widths)
    assert 1 < widths[0] < widths[-1] < 12


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Machines with a rate and a scatter of their own, around 0.15: 80 % of the next attempts lie inside."""
    generator, inside, done = np.random.default_rng(0), 0, load(LONG, "st")
    for _ in range(2000):
        scatter = 0.15 * math.sqrt(prediction.DEGREES / generator.chisquare(prediction.DEGREES))
        seconds = np.exp(generator.normal() + scatter * generator.normal(size=4))
        history = [Finished(load=done, seconds=s) for s in seconds[:3]]
        time = Predictor(history, TINY).device_time(done)
        inside += time.low <= seconds[3] <= time.high
    assert abs(inside / 2000 - 0.8) < 0.03  # 3.4 standard errors


def test_only_the_newest_attempts_count() -> None:
    done = load(LONG, "st")
    newest, older = Finished(load=done, seconds=50.0), Finished(load=done, seconds=5e6)
    history = [newest] * prediction.NEWEST + [older] * 100
    time = Predictor(history, TINY).device_time(done)
    assert time.expected == pytest.approx(50.0)
    assert time.attempts == prediction.NEWEST


def test_unknown_history_is_passed_over() -> None:
    done = load(LONG, "st")
    gone = replace(done, estimator=replace(done.estimator, id="gone"))
    old = replace(done, task=replace(done.task, version=0))
    history = [Finished(load=one, seconds=1.0) for one in (gone, old)]
    assert Predictor(history, TINY).device_time(done).attempts == 0


def test_attempts_that_only_started_say_nothing_of_steps() -> None:
    done = load(LONG, "st")
    history = [Finished(load=done, seconds=seconds, start_seconds=9.0) for seconds in (9.0, 9.19)]
    assert Predictor(history, TINY).device_time(done).attempts == 0
    assert Predictor([Finished(load=done, seconds=9.21, start_seconds=9.0)], TINY).device_time(done).attempts


def test_a_program_that_was_on_disk_makes_no_other_work_look_fast() -> None:
    """Steps ran as tabulated, without the 100 s that compiling takes where the program is not there."""
    done = load(LONG, "st", steps=500)
    predictor = Predictor([Finished(load=done, seconds=steps_of(done))], TINY)
    new = load(VAE, "rloo")
    assert predictor.device_time(new).expected == pytest.approx(steps_of(new) + 100)


def test_much_shorter_steps_say_nothing_of_long_ones() -> None:
    """Ten times as much work a step, and a hundred times."""
    done = load(LONG, "st")
    history = [Finished(load=done, seconds=7 * steps_of(done))]
    tenfold, hundredfold = (load(LONG | {"latents": latents}, "st") for latents in (80, 800))
    assert Predictor(history, TINY).device_time(tenfold).attempts == 1
    assert Predictor(history, TINY).device_time(hundredfold).attempts == 0


def test_path_estimators_pass_as_often_as_the_task_has_samples() -> None:
    one, three = ({"id": "bernoulli_vae", "samples": samples} for samples in (1, 3))
    work = [of_step(trial(task, "reinmax").task, trial(task, "reinmax").estimator) for task in (one, three)]
    assert (work[1].flop, work[1].numbers) == (3 * work[0].flop, 3 * work[0].numbers)
    spec = trial(three, {"id": "rloo", "num_samples": 3})
    assert of_step(spec.task, spec.estimator).flop == 3 * work[0].flop


def test_times_add_up() -> None:
    one, two = DeviceTime(low=1, expected=2, high=4, attempts=3), DeviceTime(low=10, expected=20, high=40)
    assert one + two == DeviceTime(low=11, expected=22, high=44, attempts=3)
    assert Predictor(table=TINY).device_time(load(LONG, "st", trials=0)) == DeviceTime()


def test_nothing_here_imports_torch() -> None:
    code = "import sys, benchmarks.cost.prediction; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
