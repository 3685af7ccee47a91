"""Optuna and MLflow in an environment of their own, doing the part of the work that they can do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.benchmark.queue.figures import BESIDE, Figure

FOLDER = Path(__file__).parent
NAMES = {"stored": "trials stored", "completions": "completions", "points": "curve points"}
START_LIMIT_S = 120.0


def optuna(python: Path, *, trials: int, steps: int) -> Iterator[Figure]:
    """Its RDB storage on SQLite, from one process."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/optuna.sqlite"
        yield from _figures("Optuna", _run(python, "optuna_work.py", url, trials, steps))


def mlflow(python: Path, *, trials: int, steps: int) -> Iterator[Figure]:
    """Its server on SQLite, from one client."""
    with tempfile.TemporaryDirectory() as folder, _server(python, Path(folder)) as url:
        yield from _figures("MLflow", _run(python, "mlflow_work.py", url, trials, steps))


def _figures(name: str, found: dict[str, Any]) -> Iterator[Figure]:
    for key, what in NAMES.items():
        where = f"{name} {found['version']}"
        yield Figure(what=what, where=where, value=found[key], target=BESIDE)


def _run(python: Path, script: str, url: str, trials: int, steps: int) -> dict[str, Any]:
    command = [str(python), str(FOLDER / script), url, str(trials), str(steps)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def _server(python: Path, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = f"--backend-store-uri=sqlite:///{folder / 'mlflow.sqlite'}"
    files = f"--default-artifact-root={folder}"
    command = [str(python), "-m", "mlflow", "server", f"--port={port}", store, files]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            httpx.get(f"{url}/health").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)  # it starts
        else:
            return
