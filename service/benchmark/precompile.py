"""Fills the cache of compiled programs: ``python -m service.benchmark.precompile``.

It reads trials from standard input, a line of JSON each, and computes the first epoch of every one as a
worker would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence

from benchmarks.spec import TrialSpec, cohort_signature
from workers.orders import worker_environment


def precompile(trials: Sequence[TrialSpec]) -> None:
    """Compile, in another process, what these trials need, one of each kind.

    Raises:
        subprocess.CalledProcessError: a trial raised an error, which stands above.
    """
    kinds = {cohort_signature(trial): trial for trial in trials}
    lines = "".join(json.dumps(trial.to_json()) + "\n" for trial in kinds.values())
    subprocess.run(
        [sys.executable, "-m", "service.benchmark.precompile"],
        input=lines,
        text=True,
        check=True,
        env={**os.environ, **worker_environment(os.environ), "CUDA_VISIBLE_DEVICES": ""},
        start_new_session=True,  # Ctrl-C reaches this process, which ends it
    )


def first_epochs(lines: Iterable[str]) -> None:
    """Compute the first epoch of every trial."""
    from workers.runner import build_cohort  # torch, which the process that starts this one may do without

    for line in lines:
        trial = TrialSpec.from_json(json.loads(line))
        segments = build_cohort([trial], device="cpu", data_dir=None, states={}).segments()
        next((segment for segment in segments if segment.points or segment.ended), None)


if __name__ == "__main__":
    first_epochs(sys.stdin)
