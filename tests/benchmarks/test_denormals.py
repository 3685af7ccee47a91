"""Denormal numbers are zero while lanes compute, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.engine import denormals
from benchmarks.engine.cohort import Cohort
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Variables
from benchmarks.tasks.polynomial.task import Polynomial
from tests.support.trials import trial

DENORMAL = 1e-40  # of float32, whose smallest normal number is 1.2e-38


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = denormals.are_flushed()
    yield
    torch.set_flush_denormal(before)


def product() -> float:
    return float(torch.full((64,), 1e-30).mul(1e-10).max())


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")
def test_denormals_are_zero_inside_and_come_back_after() -> None:
    assert product() == pytest.approx(DENORMAL, rel=1e-4)
    with denormals.flushed():
        assert product() == 0
        assert denormals.are_flushed()
    assert product() > 0
    assert not denormals.are_flushed()


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")
def test_who_flushed_before_flushes_after() -> None:
    torch.set_flush_denormal(True)
    with denormals.flushed():
        pass
    assert denormals.are_flushed()


class _Probe(Polynomial):
    """Notes in every step whether denormals are zero."""

    seen: list[bool]

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        self.seen.append(denormals.are_flushed())
        return super().loss(phase, variables, batch, draw)


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")
def test_lanes_compute_without_denormals_and_leave_the_caller_alone() -> None:
    spec = trial("polynomial")
    task = _Probe(spec.task.values, device=torch.device("cpu"))
    task.seen = []
    for _ in Cohort([spec], task=task).segments():
        assert not denormals.are_flushed()
    assert task.seen
    assert all(task.seen)
