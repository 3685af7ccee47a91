"""``make demo``: from nothing to leaderboards, and nothing left running unless asked.

Starts ``heunboard up`` on a free port, submits the demonstration sweeps, waits with a progress bar, prints
the boards with published or closed-form numbers beside the measured ones, and the addresses of the pages.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape

from benchmarks.datasets.catalogue import MNIST
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum
from benchmarks.datasets.loading import load
from service.cli import boards
from service.cli.output import console
from service.cli.progress_bar import watch
from service.client import Client, ClientError
from service.errors import HeunboardError
from service.processes.server import server
from service.resources.numbers import counted
from service.resources.schemas import SweepLine

_SERVICE = Path(__file__).resolve().parents[1]
EXAMPLES = next(
    folder for folder in (_SERVICE / "_examples", _SERVICE.parent / "examples") if folder.is_dir()
)
"""In the installed package, else in the checkout."""
POLYNOMIAL = EXAMPLES / "polynomial.yaml"
VAE = EXAMPLES / "categorical_vae_8x4.yaml"
FETCH_LIMIT_S = 8.0
MIRROR_LIMIT_S = 10.0


def main() -> int:
    """Run the demonstration; 0 when every sweep succeeded."""
    options = _options()
    out = console()
    try:
        return 0 if _run(options, out) else 1
    except (HeunboardError, ClientError) as error:
        out.print(f"[bold red]error[/] {escape(str(error))}", highlight=False)
        return 1
    except KeyboardInterrupt:
        out.print("Interrupted; nothing is left running.")
        return 128 + signal.SIGINT


def demonstrate(client: Client, files: Sequence[Path], out: Console) -> bool:
    """Submit the sweeps, wait for all, print all boards; whether all succeeded."""
    started = time.monotonic()
    sweeps = [client.submit(file.read_text()) for file in files]
    for sweep in sweeps:
        name = escape(sweep.name)
        out.print(f"submitted {name}: {client.url}/sweeps/{sweep.id}", highlight=False)
    ended = watch(client, [sweep.id for sweep in sweeps])
    for answer in ended:
        for link, board in zip(answer.boards, client.sweep_boards(answer.id), strict=True):
            boards.show(out, board)
            out.print(f"{client.url}{link.page}", highlight=False, soft_wrap=True)
    out.print(f"\n{_outcome(ended)} in {time.monotonic() - started:.0f} s", highlight=False)
    return all(sweep.state == "succeeded" for sweep in ended)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    parser.add_argument("--data", type=Path, help="data directory; default a fresh one")
    parser.add_argument("--launcher", default="auto", help="where cohorts run: auto, ray or local")
    parser.add_argument("--sweep", type=Path, action="append", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(options: argparse.Namespace, out: Console) -> bool:
    files = options.sweep or sweep_files(out)
    data = options.data or Path(tempfile.mkdtemp(prefix="heunboard-demo-"))
    with server(data, ["--launcher", options.launcher], keep=options.keep) as up, Client(up["url"]) as client:
        succeeded = demonstrate(client, files, out)
    if options.keep:
        out.print(f"\nThe server keeps running: {up['url']}   (end it: kill {up['pid']})", highlight=False)
    else:
        out.print(
            f"\nThe pages have ended with the demonstration. `make demo KEEP=1` leaves them up; "
            f"`heunboard up --data {data}` shows these results again.",
            highlight=False,
            soft_wrap=True,
        )
    return succeeded


def sweep_files(out: Console) -> list[Path]:
    """What is demonstrated: with the VAE where MNIST is available, else ``out`` says why not."""
    problem = _mnist_problem_in_time()
    if problem is None:
        return [POLYNOMIAL, VAE]
    out.print(f"Without MNIST, so without the VAE: {escape(problem)}", highlight=False, soft_wrap=True)
    return [POLYNOMIAL]


def _mnist_problem_in_time() -> str | None:
    """Why MNIST cannot be had, in one line; without a network, names and connections can hang for minutes."""
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_mnist_problem()), daemon=True).start()
    with contextlib.suppress(queue.Empty):
        return answers.get(timeout=FETCH_LIMIT_S)
    if _some_mirror_answers():
        return answers.get()  # a slow download
    return f"neither HEUNBOARD_DATA_DIR nor the cache has {MNIST.train.name}, and no mirror answers"


def _mnist_problem() -> str | None:
    """Fetch and verify MNIST; why it cannot be had, in one line."""
    try:
        load(MNIST.id)
    except DatasetUnavailable:
        return f"neither HEUNBOARD_DATA_DIR nor the cache has {MNIST.train.name}, and no mirror gave it"
    except WrongChecksum as error:
        return str(error)
    return None


def _some_mirror_answers() -> bool:
    answered = threading.Event()

    def probe(mirror: str) -> None:
        with contextlib.suppress(httpx.TransportError):
            httpx.head(mirror + MNIST.train.name, timeout=MIRROR_LIMIT_S)
            answered.set()

    for mirror in MNIST.mirrors:
        threading.Thread(target=probe, args=[mirror], daemon=True).start()
    return answered.wait(MIRROR_LIMIT_S)


def _outcome(sweeps: Sequence[SweepLine]) -> str:
    states = ", ".join(f"{sweep.name} {sweep.state}" for sweep in sweeps)
    trials = sum(sweep.trials for sweep in sweeps)
    failed = sum(sweep.progress.counts.get("failed", 0) for sweep in sweeps)
    return f"{states}: {counted(trials, 'trial')}" + (f", {failed} failed" if failed else "")


if __name__ == "__main__":
    sys.exit(main())
