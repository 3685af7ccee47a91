"""A run of Schemathesis against a running server whose database holds a small world."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.databases import engine_of
from tests.support.processes import Ended, end, family, until
from tests.support.seeded import Seeded, seed
from tests.support.suites import tiny_suite

SCHEMATHESIS = "from schemathesis.cli import schemathesis; schemathesis()"
"""Its command, which cannot be run as a module."""

SEED = 1

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")

TIERS = ["smoke"]


def configuration(world: Seeded) -> str:
    """What is told to Schemathesis: ids and names that exist, which no schema can know."""
    words = {
        "sweeps": [world.sweep, world.failed],
        "boards": [world.board],
        "trials": [world.trial],
        "nodes": [world.node],
        "suites": ["tiny"],
        "exhibits": ["figure1", "grid", "table3"],
        "tiers": TIERS,
    }
    lines = ["[dictionaries]"]
    lines += [f"{name} = {{ values = {json.dumps(values)} }}" for name, values in words.items()]
    return "\n".join([(Path(__file__).parent / "schemathesis.toml").read_text("utf-8"), *lines])


@contextmanager
def server(database_url: str, folder: Path) -> Iterator[tuple[str, Seeded]]:
    """``heunboard serve`` on a database with the current schema: its address, and what the database holds."""
    with engine_of(database_url) as engine:
        world = seed(engine)
    suites = tiny_suite(folder / "suites").parent
    log = folder / "serve.log"  # a pipe that nobody reads would stop it when it is full
    command = [sys.executable, "-m", "service.cli", "serve", "--port=0"]
    environment = {
        "HEUNBOARD_DATA_HOME": str(folder / "home"),
        "HEUNBOARD_DATABASE_URL": database_url,
        "HEUNBOARD_SUITES": str(suites),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | environment)
    try:
        found = until(lambda: _ADDRESS.search(log.read_text("utf-8")), f"an address in {log}")
        yield found[0], world
    finally:
        end(family(process.pid))
        process.wait()


def run(
    url: str, world: Seeded, folder: Path, arguments: Sequence[str], *, limit: float, seed: int = SEED
) -> Ended:
    """Schemathesis with all checks, from a fixed seed; ``arguments`` are further ones of its command."""
    settings = folder / "schemathesis.toml"
    settings.write_text(configuration(world), "utf-8")
    command = ["--config-file", str(settings), "run", f"{url}/openapi.json", f"--seed={seed}", *arguments]
    ended = subprocess.run(
        [sys.executable, "-c", SCHEMATHESIS, *command],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        cwd=folder,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
