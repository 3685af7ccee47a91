"""What a step has to compute, counted by hand, and the rates it is held against."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from benchmarks.commands.speed import rates, reinmax_package
from benchmarks.commands.speed.cases import CASES, QUICK, Case
from benchmarks.commands.speed.floors import Counts, floor

BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "SECONDS", 0.001)


@pytest.mark.parametrize(
    ("name", "noise", "log", "exp"),
    [
        ("polynomial-st", 256 * 128, 0, 0),
        ("polynomial-reinmax", 256 * 128, 0, 0),
        ("polynomial-stgs", 256 * 128, 256 * 128, 256 * 128),
        ("polynomial-rao-100", 256 * 128 * 101, 256 * 128 * 100, 256 * 128 * 100),
        ("vae-8x4-reinmax", 400, 100 * (784 + 32), 100 * (784 + 32)),
        ("vae-8x4-rao-100", 400 + 320_000, 81_600 + 640_000, 81_600 + 320_000),
    ],
)
def test_random_numbers_and_functions_of_a_step(name: str, noise: int, log: int, exp: int) -> None:
    counts = BY_NAME[name].counts
    assert (counts.noise, counts.log, counts.exp) == (noise, log, exp)


@pytest.mark.parametrize(
    ("name", "updates", "mflop"),
    [
        ("vae-8x4-reinmax", 1_083_696, 565),
        ("vae-10x30-reinmax", 1_221_180, 620),
        ("vae-16x12-reinmax", 1_165_776, 598),
        ("polynomial-st", 256, 0),
    ],
)
def test_parameters_and_matmuls_of_a_step(name: str, updates: int, mflop: int) -> None:
    counts = BY_NAME[name].counts
    assert counts.updates == updates
    # a multiplication and an addition count as two
    assert sum(2 * m * k * n for m, k, n in counts.matmuls) == pytest.approx(1e6 * mflop, rel=0.002)


def test_a_floor_is_counts_at_rates() -> None:
    counts = Counts(matmuls=(), noise=1000, log=10, exp=100, updates=7)
    parts = floor(counts, rates.Rates(exp=1e-9, log=2e-9, noise=3e-9, adam=1e-3))
    assert parts == pytest.approx(
        {"matmul": 0.0, "noise": 3e-6, "functions": 1.2e-7, "updates": 7e-3}, rel=1e-12
    )


def test_rates_are_plausible() -> None:
    """A random number, a function or an update takes from a hundredth to a thousand nanoseconds."""
    threads = torch.get_num_threads()
    try:
        measured = rates.measure()
    finally:
        torch.set_num_threads(threads)
    for seconds in (measured.exp, measured.log, measured.noise, measured.adam):
        assert 1e-11 < seconds < 1e-6
    assert rates.chain([(20, 30, 40), (40, 20, 30)]) > 0


def test_cases_are_published_settings_of_published_length() -> None:
    assert BY_NAME["vae-10x30-rao-100"].steps_per_trial == 96_000
    assert BY_NAME["polynomial-st"].steps_per_trial == 8_000
    assert BY_NAME["vae-10x30-reinmax"].task["latents"] == 30
    assert set(QUICK) <= set(BY_NAME)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lanes_differ_in_their_seed_alone(case: Case) -> None:
    trials = case.trials(3, first_seed=6)
    assert [trial.seed for trial in trials] == [6, 7, 8]
    assert len({trial.cell_key for trial in trials}) == 1
    assert trials[0].optimizer.id == "adam"


@pytest.mark.skipif(not importlib.util.find_spec("reinmax"), reason="needs the package reinmax")
@pytest.mark.parametrize("shape", [(20, 3, 10), (16, 8, 2)], ids=str)
def test_comparison_with_the_package(shape: tuple[int, ...]) -> None:
    one = reinmax_package.compare(shape)
    assert one.agrees
    assert 0 < one.gradient_difference <= reinmax_package.TOLERANCE
    assert one.time_ratio.low <= one.time_ratio.value <= one.time_ratio.high
    assert one.memory_ratio == one.theirs_bytes / one.ours_bytes
    assert one.ours_bytes >= 4 * torch.Size(shape).numel()


def test_replayed_noise_is_for_one_sampler_only() -> None:
    p = torch.tensor([[0.2, 0.3, 0.5]])
    replay = reinmax_package.Replay(torch.tensor([[0.0, 1.0, 0.0]]), p)
    cpu = torch.device("cpu")
    assert replay.uniform((1,), dtype=torch.float32, device=cpu).item() == pytest.approx(0.35)
    with pytest.raises(ValueError, match="asked for"):
        replay.uniform((1, 3), dtype=torch.float32, device=cpu)
