"""Exhibits that a command measures on this machine: run it, show what it prints, send what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.client import Client
from service.errors import HeunboardError
from service.resources.schemas import TierLine

MODULES = {"efficiency": "benchmarks.commands.efficiency"}
"""Command of an exhibit -> module that is run."""
OPTIONS = ("epochs", "warm_up", "seconds", "threads")
"""What a tier may set of a command; nothing else that a server says becomes an argument."""


def measure(client: Client, name: str, tier: TierLine, command: str, *, device: str, quiet: bool) -> bool:
    """Run the command of an exhibit and publish its measurements; whether all could be measured.

    Args:
        client: of the server that keeps them.
        name: the exhibit, ``SUITE/EXHIBIT``.
        tier: its line in the exhibit's answer.
        command: of the exhibit.
        device: where to measure: cpu, cuda or cuda:N.
        quiet: send what the command prints to standard error.

    Raises:
        HeunboardError: it wrote nothing, or the server is of a newer version.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measured.json"
        arguments = [*_module(command), "--json", str(file), "--device", device, *_options(tier.options)]
        ended = subprocess.run(
            [sys.executable, *arguments], stdout=sys.stderr if quiet else None, check=False
        )
        if not file.is_file():
            raise HeunboardError(f"python {' '.join(arguments)} ended with status {ended.returncode}")
        client.publish_measurements(name, tier.tier, json.loads(file.read_text("utf-8")))
    return ended.returncode == 0


def _module(command: str) -> list[str]:
    if command not in MODULES:
        raise HeunboardError(f"this version has no command {command!r}; it has {', '.join(MODULES)}")
    return ["-m", MODULES[command]]


def _options(given: Mapping[str, Any]) -> list[str]:
    """A tier's options as arguments."""
    if unknown := sorted(given.keys() - set(OPTIONS)):
        raise HeunboardError(f"a tier sets {unknown[0]!r} of its command; expected {', '.join(OPTIONS)}")
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]
