"""Measure, print the table, write the JSON. Exit status 1 when something could not be measured."""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from benchmarks.commands.announcer import Announcer
from benchmarks.commands.arguments import device, output_file, seconds, whole_number
from benchmarks.commands.efficiency import report
from benchmarks.commands.efficiency.cases import CONTENDERS, PROBLEMS, Problem
from benchmarks.commands.efficiency.measure import Figures, Plan, measure
from benchmarks.commands.efficiency.report import Pair, Report
from benchmarks.commands.speed.contest import worker_environment
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum

CPU_SECONDS = 2.0
"""Of an epoch on a CPU, unless told otherwise: 1000 draws of Gumbel-Rao would take an hour."""

_START_SECONDS = 6.0  # a guess for the time left: starting a process and making its task


def main(arguments: Sequence[str] | None = None, *, problems: Sequence[Problem] = PROBLEMS) -> int:
    """Run the command.

    Args:
        arguments: of the command line, default that of this process.
        problems: those there are.

    Returns:
        Exit status: 0; 1 when something could not be measured; 2 when data are missing; 130 when it was
        interrupted, after it has written what was finished.
    """
    options = _options(arguments, problems)
    plan = _plan(options)
    pairs = [
        (problem, contender)
        for problem in problems
        if problem.name in options.problems
        for contender in CONTENDERS
        if contender.name in options.estimators
    ]
    measured, interrupted = Report(plan=plan), False
    try:
        _measure(pairs, plan, measured)
    except (DatasetUnavailable, WrongChecksum) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        interrupted = True
    sys.stdout.write(f"\n{report.table(measured)}\n")
    report.write(measured, options.json)
    sys.stdout.write(f"JSON: {options.json}\n")
    if interrupted:
        sys.stdout.write("Interrupted: these are the cases that were finished.\n")
        return 128 + signal.SIGINT
    return 1 if measured.failures else 0


def _measure(pairs: Sequence[Pair], plan: Plan, measured: Report) -> None:
    """Add the figures of every pair to the report, or why there are none."""
    guess = _START_SECONDS + (plan.epochs + 1) * (plan.seconds or CPU_SECONDS)
    tell = Announcer([guess] * len(pairs))
    for problem, contender in pairs:
        tell.next(f"{problem.name} {contender.name}")
        tell("measuring")
        try:
            measured.add((problem, contender), _apart((problem, contender), plan))
        except (BrokenProcessPool, RuntimeError) as error:
            measured.failures[f"{problem.name} {contender.name}"] = str(error)


def _apart(pair: Pair, plan: Plan) -> Figures:
    """Measured in a process of its own.

    Raises:
        BrokenProcessPool: the process was killed, as for lack of memory.
        RuntimeError: what torch says there, as that the device has no memory left.
    """
    context = multiprocessing.get_context("spawn")
    with worker_environment(), ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, *pair, plan).result()


def _plan(options: argparse.Namespace) -> Plan:
    on_cpu = torch.device(options.device).type == "cpu"
    return Plan(
        device=options.device,
        epochs=options.epochs,
        warm_up=options.warm_up,
        seconds=options.seconds or (CPU_SECONDS if on_cpu else None),
        threads=options.threads,
    )


def _options(arguments: Sequence[str] | None, problems: Sequence[Problem]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands.efficiency", description=__doc__)
    add = parser.add_argument
    names = [problem.name for problem in problems]
    ids = [contender.name for contender in CONTENDERS]
    add("--problems", nargs="+", choices=names, default=names, metavar="PROBLEM", help=", ".join(names))
    add("--estimators", nargs="+", choices=ids, default=ids, metavar="ESTIMATOR", help=", ".join(ids))
    add("--device", type=device, default="cpu", help="cpu, cuda or cuda:N (default %(default)s)")
    add("--epochs", type=whole_number, default=5, help="timed epochs (default %(default)s)")
    add("--warm-up", type=whole_number, default=20, help="steps before them (default %(default)s)")
    cut = f"cut longer epochs and scale their time (default on a CPU {CPU_SECONDS:g}, else whole epochs)"
    add("--seconds", type=seconds, help=cut)
    add("--threads", type=whole_number, default=1, help="of torch (default %(default)s)")
    add("--json", type=output_file, default="out/efficiency.json", help="where to (default %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
