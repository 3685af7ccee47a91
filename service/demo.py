"""``make demo``: from nothing to leaderboards, and nothing left running unless asked.

Starts ``heunboard up`` on a free port, submits the demonstration sweeps, waits with a progress bar, prints
the boards with published or closed-form numbers beside the measured ones, and the addresses of the pages.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.data import DatasetUnavailable, load
from service.cli import boards
from service.cli.sweeps import watch
from service.client import ADDRESS_FILE, Client

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
POLYNOMIAL = EXAMPLES / "polynomial.yaml"
VAE = EXAMPLES / "categorical_vae_8x4.yaml"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0
POLL_S = 0.2


def main() -> int:
    """Run the demonstration; 0 when every sweep succeeded."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    parser.add_argument("--data", type=Path, help="data directory; default a fresh one")
    options = parser.parse_args()
    out = Console(width=None if sys.stdout.isatty() else 140)
    data = options.data or Path(tempfile.mkdtemp(prefix="heunboard-demo-"))
    with server(data, keep=options.keep) as (client, process):
        succeeded = demonstrate(client, out)
        if options.keep:
            out.print(
                f"\nThe server keeps running: {client.url}   (end it with: kill {process.pid})",
                highlight=False,
            )
        else:
            out.print(
                f"\nThe pages were at {client.url}; `make demo KEEP=1` leaves them up, "
                f"`heunboard up --data {data}` shows these results again.",
                highlight=False,
            )
    return 0 if succeeded else 1


def demonstrate(client: Client, out: Console) -> bool:
    """Submit the sweeps, wait for all, print all boards; whether all succeeded."""
    started = time.monotonic()
    sweeps = [client.submit(file.read_text()) for file in _sweep_files(out)]
    for sweep in sweeps:
        out.print(f"submitted {sweep['name']}: {client.url}/sweeps/{sweep['id']}", highlight=False)
    ended = [watch(client, sweep["id"]) for sweep in sweeps]
    for board in (b for sweep in ended for b in sweep["boards"]):
        boards.show(out, client.board(board["id"]))
        out.print(f"{client.url}/boards/{board['id']}", highlight=False)
    out.print(f"\n{_outcome(ended)} in {time.monotonic() - started:.0f} s", highlight=False)
    return all(sweep["state"] == "succeeded" for sweep in ended)


@contextmanager
def server(data: Path, *, keep: bool) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """``heunboard up`` on a free port; ended at the end of the block unless ``keep``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "up", "--port", "0", "--data", str(data)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C ends the demonstration, which then ends the server in order
    )
    try:
        with Client(_address(process, data / ADDRESS_FILE)) as client:
            yield client, process
    except BaseException:
        _end(process)
        raise
    if not keep:
        _end(process)


def _sweep_files(out: Console) -> list[Path]:
    problem = _mnist_problem()
    if problem is None:
        return [POLYNOMIAL, VAE]
    out.print(f"Without MNIST, so without the VAE: {problem}", highlight=False)
    return [POLYNOMIAL]


def _mnist_problem() -> str | None:
    """Why MNIST cannot be had, in one line; fetches and verifies it otherwise."""
    try:
        load("mnist")
    except DatasetUnavailable as error:
        return str(error).splitlines()[0]
    return None


def _address(process: subprocess.Popen[bytes], file: Path) -> str:
    """Wait until the server has published its address."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"`heunboard up` ended with status {process.returncode}")
        with contextlib.suppress(FileNotFoundError):
            return file.read_text().strip()
        time.sleep(POLL_S)  # a poll of a process that is starting, bounded by the deadline
    raise SystemExit(f"`heunboard up` was not ready after {START_LIMIT_S:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, as a user would; kill what does not listen."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _outcome(sweeps: list[dict[str, Any]]) -> str:
    states = [sweep["state"] for sweep in sweeps]
    trials = sum(sweep["trials"] for sweep in sweeps)
    failed = sum(sweep["progress"]["counts"].get("failed", 0) for sweep in sweeps)
    return f"{trials} trials in {len(sweeps)} sweeps: {', '.join(states)}" + (
        f", {failed} failed" if failed else ""
    )


if __name__ == "__main__":
    sys.exit(main())
