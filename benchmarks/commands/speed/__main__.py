"""Measure, print the table, write the JSON. Exit status 1 when a must is missed."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence

from benchmarks.commands.announcer import Announcer
from benchmarks.commands.arguments import cores, output_file, seconds, whole_number
from benchmarks.commands.speed import rates, reinmax_package, report
from benchmarks.commands.speed.cases import CASES, QUICK, Case
from benchmarks.commands.speed.contest import Contest, SideFailed, hold
from benchmarks.commands.speed.floors import floor
from benchmarks.commands.speed.wider.cases import CASES as WIDER
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum
from benchmarks.process import allocator

QUICK_WARM_UP = 20
"""Steps of every trial before a quick look."""

_START_SECONDS = 14.0  # a guess for the time left: starting, compiling and warming up both sides of a case


def main(arguments: Sequence[str] | None = None, *, cases: Sequence[Case] = (*CASES, *WIDER)) -> int:
    """Run the command.

    Args:
        arguments: of the command line, default that of this process.
        cases: the cases there are.

    Returns:
        Exit status: 0; 1 when a must is missed, a case failed or a gradient differs; 2 when it cannot start;
        130 when it was interrupted, after it has written what was finished.
    """
    options = _options(arguments, cases)
    chosen = _chosen(options, cases)
    try:
        for setup in {case.setup for case in chosen}:
            setup.check()  # a missing data set is an error here, not in every process
    except (DatasetUnavailable, WrongChecksum) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        measured = _measure(options, chosen)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before a case was begun; nothing was measured.\n")
        return 128 + signal.SIGINT
    if measured.interrupted and not measured.rows and not measured.failures:
        sys.stderr.write(f"Interrupted before a case was finished; {options.json} is left as it was.\n")
        return 128 + signal.SIGINT
    sys.stdout.write(f"\n{report.table(measured)}\n")
    report.write(measured, options.json)
    sys.stdout.write(f"JSON: {options.json}\n")
    if measured.interrupted:
        sys.stdout.write("Interrupted: these are the cases that were finished.\n")
        return 128 + signal.SIGINT
    return 0 if measured.passed else 1


def _measure(options: argparse.Namespace, cases: Sequence[Case]) -> report.Report:
    """All cases, or those that were finished when Ctrl-C came."""
    tell = Announcer([_START_SECONDS + 2 * options.rounds * options.seconds] * len(cases))
    tell("rates of this machine")
    measured = report.Report(settings=_settings(options), rates=rates.measure())
    try:
        for case in cases:
            tell.next(case.name)
            try:
                contest = _contest(options, case, tell)
            except SideFailed as error:
                measured.failures[case.name] = str(error)
            else:
                measured.rows.append(report.Row(contest=contest, floor=floor(case.counts, measured.rates)))
        measured.package.extend(_package(tell))
    except KeyboardInterrupt:
        return dataclasses.replace(measured, interrupted=True)
    return measured


def _contest(options: argparse.Namespace, case: Case, tell: Callable[[str], None]) -> Contest:
    return hold(
        case,
        processes=options.processes,
        rounds=options.rounds,
        seconds=options.seconds,
        warm_up=min(case.warm_up, QUICK_WARM_UP) if options.quick else case.warm_up,
        note=tell,
    )


def _package(tell: Callable[[str], None]) -> list[reinmax_package.Comparison]:
    if importlib.util.find_spec("reinmax") is None:
        tell("the package reinmax is not installed: no comparison with it")
        return []
    tell("side by side with the package reinmax")
    return [reinmax_package.compare(shape) for shape in reinmax_package.SHAPES]


def _settings(options: argparse.Namespace) -> dict[str, object]:
    return {
        "processes": options.processes,
        "threads": 1,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "allocator": {allocator.VARIABLE: os.environ.get(allocator.VARIABLE, "")}
        | allocator.environment(os.environ),
        "reference_reinmax": "package" if importlib.util.find_spec("reinmax") else "own",
    }


def _chosen(options: argparse.Namespace, cases: Sequence[Case]) -> list[Case]:
    """Those named; else all, or with ``--quick`` a case of every kind, which each without a must is."""
    quick = [case.name for case in cases if case.name in QUICK or case.must is None]
    names = options.only or (quick if options.quick else [case.name for case in cases])
    chosen = [case for case in cases if case.name in names]
    return [case.uncompiled() for case in chosen] if options.uncompiled else chosen


def _options(arguments: Sequence[str] | None, cases: Sequence[Case]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands.speed", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", metavar="CASE", help="only these; an unknown one is told with those there are")
    add("--uncompiled", action="store_true", help="our steps as trials do them that are too short to compile")
    add("--quick", action="store_true", help="a case of every kind, two short rounds")
    add("--rounds", type=whole_number, help="turns of each side (default 5, quick 2)")
    add("--seconds", type=seconds, help="seconds of a turn (default 3, quick 2)")
    add("--processes", type=whole_number, default=cores(), help="of each side (default one per core)")
    add("--json", type=output_file, default="out/speed.json", help="where to write it (default %(default)s)")
    options = parser.parse_args(arguments)
    names = [case.name for case in cases]
    for name in options.only or ():
        if name not in names:
            parser.error(f"argument --only: invalid choice: {name!r} (choose from {', '.join(names)})")
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (2.0 if options.quick else 3.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
