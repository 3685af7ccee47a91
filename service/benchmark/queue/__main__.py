"""Measure, print the table, write the JSON. Exit status 1 when a must is missed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.commands.arguments import output_file, whole_number
from benchmarks.commands.speed.report import machine
from service.benchmark.board.filling import fill
from service.benchmark.queue import peers
from service.benchmark.queue.figures import Figure, table
from service.benchmark.queue.lanes import lanes
from service.benchmark.queue.reading import boards, reading
from service.benchmark.queue.reporting import SHAPES as REPORTS
from service.benchmark.queue.reporting import reporting
from service.benchmark.queue.stage import KINDS, Kind, stage
from service.benchmark.queue.submitting import SHAPES, planning, submitting, wide
from service.benchmark.queue.wires import wires

QUICK_TRIALS, TRIALS = 10_000, 100_000
QUICK_STORED, STORED = 100_000, 1_000_000
ATTEMPTS = 16
PEER_TRIALS, PEER_STEPS = 200, 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line, default that of this process.

    Returns:
        Exit status: 0; 1 when a must is missed.
    """
    options = _options(arguments)
    figures = []
    for figure in _all(options):
        sys.stderr.write(f"{figure.what} on {figure.where}: {figure.value:.4g} {figure.target.unit}\n")
        figures.append(figure)
    sys.stdout.write(f"\n{table(figures)}\n")
    document = {"machine": machine(), "figures": [dataclasses.asdict(one) for one in figures]}
    Path(options.json).write_text(json.dumps(document, indent=1))
    sys.stdout.write(f"JSON: {options.json}\n")
    return 1 if any(one.verdict == "MISSED" for one in figures) else 0


def _all(options: argparse.Namespace) -> Iterator[Figure]:
    trials = options.trials or (QUICK_TRIALS if options.quick else TRIALS)
    for kind in options.database or KINDS:
        for shape in SHAPES:
            yield from _sweep(kind, shape, trials, options)
        yield from _reports(kind, options)
        yield from _many(kind, QUICK_STORED if options.quick else STORED, options)
    yield from lanes(options.launcher, trials)
    if options.peers:
        yield from peers.optuna(options.peers, trials=PEER_TRIALS, steps=PEER_STEPS)
        yield from peers.mlflow(options.peers, trials=PEER_TRIALS, steps=PEER_STEPS)


def _sweep(kind: Kind, shape: str, trials: int, options: argparse.Namespace) -> Iterator[Figure]:
    """One wide sweep: stored, read, planned."""
    with stage(kind, postgresql=options.postgresql) as made:
        yield from submitting(made, shape, trials)
        newest = made.client.newest_sweeps(100).sweeps
        id = next(int(one.id) for one in newest if one.trials == trials)
        yield from reading(made, id, f"{trials:,} {shape}")
        yield from boards(made, id)
        yield from planning(made)


def _reports(kind: Kind, options: argparse.Namespace) -> Iterator[Figure]:
    """Cohorts of 64 lanes, reported on by eight at a time."""
    attempts = ATTEMPTS // 2 if options.quick else ATTEMPTS
    with stage(kind, postgresql=options.postgresql) as made:
        made.client.submit(wide("seeds", 64 * len(REPORTS) * attempts + 1_000))
        list(planning(made))
        for shape in REPORTS:
            yield from reporting(made, shape, attempts)
        yield from wires(made)


def _many(kind: Kind, trials: int, options: argparse.Namespace) -> Iterator[Figure]:
    """Lists and a board where many trials have ended."""
    with stage(kind, postgresql=options.postgresql) as made:
        fill(made.engine, trials)
        newest = int(made.client.newest_sweeps(1).sweeps[0].id)
        yield from reading(made, newest, f"{trials:,} stored")
        yield from boards(made, newest)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.benchmark.queue", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help=f"sweeps of {QUICK_TRIALS:,} trials in place of {TRIALS:,}")
    add("--trials", type=whole_number, help="of a sweep, in hundreds")
    add("--database", nargs="+", choices=KINDS, help="only on these")
    add("--postgresql", metavar="URL", help="an empty database; default: a server of the wheel in extra test")
    add("--launcher", choices=["ray", "local"], default="ray", help="of no-op trials (default %(default)s)")
    add("--peers", type=Path, metavar="PYTHON", help="of an environment with Optuna and MLflow")
    add("--json", type=output_file, default="out/bench-queue.json", help="where to write it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers end in order
    sys.exit(main())
