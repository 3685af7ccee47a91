"""What the numbers of an attempt were computed with."""

from __future__ import annotations

import functools
import os
import platform
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workers.messages import Provenance, Start
from workers.version import package_version

if TYPE_CHECKING:
    from benchmarks.engine.cohort import Execution

CHECKOUT = Path(__file__).resolve().parent.parent
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CPU_INFO = Path("/proc/cpuinfo")
GIT_SECONDS = 5.0


def describe(
    device: str,
    *,
    seconds: float,
    first_step_seconds: float | None,
    phases: Mapping[str, float],
    data: Mapping[str, str],
    plugins: Mapping[str, str],
    execution: Execution | None,
) -> Provenance:
    """The provenance of an attempt.

    Args:
        device: the torch device it ran on.
        seconds: how long it ran.
        first_step_seconds: as in :class:`workers.messages.Provenance`.
        phases: likewise, those outside of segments.
        data: likewise.
        plugins: likewise.
        execution: how it did its steps; ``None`` when it did none.
    """
    import torch  # here, so that an attempt announces itself before it pays for this import

    return Provenance(
        heunboard=package_version(),
        git_revision=git_revision(),
        python=platform.python_version(),
        torch=torch.__version__,
        device=f"{device} ({_device_name(device)})",
        driver=_driver() if device.startswith("cuda") else None,
        host=socket.gethostname(),
        threads=torch.get_num_threads(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        seconds=seconds,
        peak_memory_bytes=_peak_memory(device),
        executor=", ".join(execution.forms) if execution else None,
        compile_seconds=execution.compile_seconds if execution else None,
        first_step_seconds=first_step_seconds,
        fallback=(execution.failures or None) if execution else None,
        matmul=execution.matmul if execution else None,
        evaluations=(execution.evaluations or None) if execution else None,
        data=dict(data),
        phases={**phases, **(execution.seconds if execution else {})},
        plugins=dict(plugins),
    )


def introduce(device: str, *, node: str | None = None) -> Start:
    """What an attempt says of its process when it begins; needs no torch.

    Args:
        device: the torch device it will run on.
        node: what its launcher calls this place; ``None`` where that is the machine's name.
    """
    return Start(
        host=socket.gethostname(),
        node=node,
        device=device,
        pid=os.getpid(),
        heunboard=package_version(),
        python=platform.python_version(),
    )


@functools.cache  # the code in memory is that of the first import, whatever is checked out later
def git_revision(root: Path = CHECKOUT) -> str | None:
    """Commit of the checkout at ``root``, with ``-dirty`` when files differ; ``None`` outside of one."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or not our repository: provenance without a revision
    return result.stdout.strip()


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if CPU_INFO.exists() and (model := re.search(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text(), re.M)):
        return model[1]
    return platform.processor() or platform.machine()


def _driver() -> str | None:
    """Version of the NVIDIA kernel driver."""
    if not NVIDIA_DRIVER.exists():
        return None
    number = re.search(r"\b\d+\.\d+(\.\d+)?\b", NVIDIA_DRIVER.read_text())
    return number[0] if number else None


def _peak_memory(device: str) -> int:
    """Bytes: the device's allocator since the attempt began, or the high-water mark of the whole process."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kibibytes everywhere else
