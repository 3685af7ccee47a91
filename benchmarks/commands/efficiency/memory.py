"""How much memory a process holds and needed at most, as far as its device can tell.

On a GPU: bytes of tensors by torch's allocator. On a CPU: resident bytes of the process, which hold the
interpreter and torch, too. What the C library's allocator keeps for later is given back first, where it can
be asked to (glibc): memory that is used again would not be seen otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import torch

from benchmarks.commands.speed.side import peak_memory

_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # what Linux wants written there


def held(device: torch.device) -> int:
    """Bytes that are in use now; the peak begins anew from here, where the system lets it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)
    return peak_memory()


def peak(device: torch.device) -> int:
    """Bytes that were in use at most since :func:`held`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
