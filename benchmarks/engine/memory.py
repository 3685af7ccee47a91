"""How many lanes a group may have: what it needs, measured on small ones, against what is free.

    bytes(lanes) = fixed + lanes * per_lane

Parameters, moments and activations grow with the lanes, data and work space of libraries do not. The line is
drawn through two measured peaks; that it predicts wider groups is tested on a CPU and printed by
``benchmarks.commands.speed.widths`` wherever that runs.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

WIDTHS = (1, 8, 16, 32, 64)
"""Width buckets of groups on an accelerator. A group of fewer trials is filled up with idle lanes, so that a
few programs serve all numbers of trials."""
SHARE = 0.7
"""The part of free memory that groups may take: a captured graph and a fragmented heap need the rest."""

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Footprint:
    """A line of memory over lanes, in bytes."""

    fixed: int
    per_lane: int

    def __call__(self, lanes: int) -> int:
        """Bytes that many lanes need at their peak."""
        return self.fixed + lanes * self.per_lane

    def widest(self, free: int) -> int:
        """The largest of ``WIDTHS`` that fits into its share of ``free`` bytes; 1 where none does."""
        return max((width for width in WIDTHS if self(width) <= SHARE * free), default=1)


def footprint(peak: Callable[[int], int]) -> Footprint:
    """The line through the peaks of one and of three lanes.

    Args:
        peak: lanes -> bytes, a measurement.
    """
    one, three = peak(1), peak(3)
    per_lane = max(1, (three - one) // 2)
    return Footprint(fixed=max(0, one - per_lane), per_lane=per_lane)


def peak_of(run: Callable[[], object], device: torch.device) -> int:
    """Bytes that ``run`` needs at most, above what is there before.

    On a CUDA device as its allocator counts them. On a CPU as resident pages of this process: what was freed
    earlier and kept by the process counts for nothing, so it is a measurement in a new process only.

    Raises:
        NotImplementedError: a CPU without Linux's ``/proc``.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if not _CLEAR_REFS.exists():
        raise NotImplementedError("peaks of memory on a CPU are read from /proc, which only Linux has")
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    before = _resident("VmRSS")
    _CLEAR_REFS.write_text("5")  # the peak starts anew
    run()
    return max(0, _resident("VmHWM") - before)


def free_bytes(device: torch.device) -> int:
    """Bytes of a CUDA device that this process can still get."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller program might do what this one could not.

    Compilers wrap what they meet, and a graph whose capture breaks off raises an error about the capture: the
    lack of memory is then its cause or its context.
    """
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        known = todo.pop()
        if known is None or known in seen:
            continue
        if isinstance(known, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(known):
            return True
        seen.append(known)
        todo += [known.__cause__, known.__context__]
    return False


def _resident(name: str) -> int:
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(fields[name].split()[0]) * 1024
