"""What a worker process does until its first order comes: what every attempt would begin with.

Loading torch and the engine takes longer than a short trial. Nothing is done that an attempt would not do
anyway, and an order that comes meanwhile waits for the stage under way only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

_log = logging.getLogger(__name__)

Stage = Callable[[], object]


def warm_up(
    device: str, *, wanted: Callable[[], bool] = lambda: False, stages: Sequence[Stage] | None = None
) -> None:
    """Get ready for attempts. What goes wrong is logged and left to the attempt, which will meet it, too.

    Args:
        device: a torch device. Nothing touches it: memory of a GPU is not taken ahead of need.
        wanted: whether there is an order; then nothing more is begun.
        stages: what to do, one after the other; default: all that an attempt on the device begins with.
    """
    for stage in stages_of(device) if stages is None else stages:
        if wanted():
            return
        try:
            stage()
        except Exception:  # whatever it is, it must not end a worker that has no attempt to report it for
            _log.warning("a worker process could not warm up", exc_info=True)
            return


def stages_of(device: str) -> tuple[Stage, ...]:
    """What an attempt on a device begins with: its line to the server, torch and the engine, kernels."""
    return (_reports, _engine, _kernels) if device == "cpu" else (_reports, _engine)


def _reports() -> object:
    from workers import provenance, reporter, runner

    reporter.certificates()
    provenance.git_revision()
    return runner


def _engine() -> object:
    from benchmarks.engine import cohort

    return cohort


def _kernels() -> object:
    from benchmarks.kernels import layers, noise

    noise.library()
    return layers.library()
