"""What a worker does ahead of its first order: all that every attempt begins with, and nothing for good."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

from workers.warming import stages_of, warm_up

AHEAD = """
import json, sys
from workers.warming import warm_up
warm_up(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
import torch
print(json.dumps(torch.cuda.is_initialized()))
"""
FIRST_STEPS = """
import json, sys
from workers.warming import warm_up
warm_up("cpu")
from tests.support.trials import trial
before = set(sys.modules)
from workers.runner import build_cohort
lanes = build_cohort([trial("polynomial", epochs=1)], device="cpu", data_dir=None, states={})
done = [segment.steps_done for segment in lanes.segments()]
assert done
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def answers(program: str, *arguments: str) -> list[object]:
    """What a program in a new process prints, a JSON document a line."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_first_steps_load_their_task_and_estimator_and_nothing_else() -> None:
    (loaded,) = answers(FIRST_STEPS)
    assert isinstance(loaded, list)
    assert not [name for name in loaded if not name.startswith(("benchmarks.tasks.", "estimators."))]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_torch_the_engine_and_the_line_to_the_server_are_loaded_and_no_gpu_is_touched(device: str) -> None:
    loaded, touched = answers(AHEAD, device)
    assert isinstance(loaded, list)
    assert {"torch", "benchmarks.engine.cohort", "workers.runner", "httpx"} <= set(loaded)
    assert touched is False


def test_kernels_are_for_cpus() -> None:
    assert [stage.__name__ for stage in stages_of("cpu")] == ["_reports", "_engine", "_kernels"]
    assert [stage.__name__ for stage in stages_of("cuda")] == ["_reports", "_engine"]


def test_an_order_is_not_kept_waiting_for_what_has_not_begun() -> None:
    done: list[int] = []
    stages = [functools.partial(done.append, number) for number in range(4)]
    warm_up("cpu", wanted=lambda: len(done) == 2, stages=stages)
    assert done == [0, 1]


def test_what_goes_wrong_is_logged_and_left_to_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def broken() -> None:
        raise RuntimeError("no such library")

    warm_up("cpu", stages=[lambda: done.append(1), broken, lambda: done.append(2)])
    assert done == [1]
    assert "RuntimeError: no such library" in caplog.text
