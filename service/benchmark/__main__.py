"""Measure, print the tables, write the JSON. Exit status 1 when a must is missed."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import itertools
import signal
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.commands.announcer import Announcer
from benchmarks.commands.arguments import cores, output_file, whole_number
from benchmarks.datasets import loading
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum
from service.benchmark import report as reports
from service.benchmark.cases import CASES, QUICK, Case, Mode
from service.benchmark.measuring import Settings, measure, scripts_of
from service.benchmark.ours import SweepFailed
from service.benchmark.precompile import precompile
from service.benchmark.scripts import ScriptFailed
from service.client import ClientError
from service.errors import HeunboardError

QUICK_ROUNDS = 1
_SERVER_SECONDS = 15.0  # a guess for the time left: a server starts and ends
_FAILURES = (HeunboardError, ClientError, ScriptFailed, SweepFailed, subprocess.CalledProcessError)


def main(arguments: Sequence[str] | None = None, *, cases: Sequence[Case] = CASES) -> int:
    """Run the command.

    Args:
        arguments: of the command line, default that of this process.
        cases: the cases there are.

    Returns:
        Exit status: 0; 1 when a must is missed or a case failed; 2 when it cannot start; 130 when it was
        interrupted, after it has written what was finished.
    """
    options = _options(arguments, cases)
    chosen = _chosen(options, cases)
    try:
        for name in {name for case in chosen if (name := case.data_set)}:
            loading.load(name)  # a missing data set is an error here, not in every script
    except (DatasetUnavailable, WrongChecksum) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    measured = _measure(options, chosen)
    if measured.interrupted and not measured.rows:
        sys.stderr.write(f"Interrupted before a sweep was finished; {options.json} is left as it was.\n")
        return 128 + signal.SIGINT
    sys.stdout.write(f"\n{reports.tables(measured)}\n")
    reports.write(measured, options.json)
    sys.stdout.write(f"JSON: {options.json}\n")
    if measured.interrupted:
        sys.stdout.write("Interrupted: this is what was finished.\n")
        return 128 + signal.SIGINT
    return 0 if measured.passed else 1


def _measure(options: argparse.Namespace, cases: Sequence[Case]) -> reports.Report:
    """All cases, or what was finished when Ctrl-C came."""
    settings = Settings(slots=options.slots, rounds=options.rounds, scripts=options.script_trials)
    measured = reports.Report(settings=dataclasses.asdict(settings))
    tell = Announcer([_guess(case, _modes(options, case), settings) for case in cases])
    try:
        for case in cases:
            tell.next(case.name)
            try:
                tell("filling the cache of compiled programs")
                precompile(case.trials(0))
                measure(case, _modes(options, case), settings, measured, tell)
            except _FAILURES as error:
                measured.failures[case.name] = str(error)
    except KeyboardInterrupt:
        return dataclasses.replace(measured, interrupted=True)
    return measured


def _modes(options: argparse.Namespace, case: Case) -> list[Mode]:
    """Those of the case, or all that the command line names."""
    named = (options.launcher, options.workers, options.cache)
    if not any(named):
        return [mode for mode in case.modes if mode.launcher in _launchers()]
    choices = (options.launcher or _launchers()[:1], options.workers or ["fresh"], options.cache or ["warm"])
    return [
        Mode(launcher=launcher, workers=workers, cache=cache)
        for launcher, cache, workers in itertools.product(choices[0], choices[2], choices[1])
    ]


def _guess(case: Case, modes: Sequence[Mode], settings: Settings) -> float:
    """Seconds that a case may take; our side as long as the musts allow."""
    trials = len(case.trials(0))
    scripts = scripts_of(case, trials, settings)
    each = case.script_seconds / settings.slots
    ours = each * trials / (case.fresh.must if case.fresh else 2.0)
    return (settings.rounds or case.rounds) * (each * scripts + len(modes) * (_SERVER_SECONDS + ours))


def _launchers() -> list[str]:
    return ["ray", "local"] if importlib.util.find_spec("ray") else ["local"]


def _chosen(options: argparse.Namespace, cases: Sequence[Case]) -> list[Case]:
    names = options.only or (QUICK if options.quick else [case.name for case in cases])
    return [case for case in cases if case.name in names]


def _options(arguments: Sequence[str] | None, cases: Sequence[Case]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.benchmark", description=__doc__)
    add = parser.add_argument
    names = [case.name for case in cases]
    add("--only", nargs="+", metavar="CASE", choices=names, help=f"only these: {', '.join(names)}")
    add("--quick", action="store_true", help="a short case of every kind, one round each")
    add("--rounds", type=whole_number, help="turns of each side (default 1 to 3, fewer for long cases)")
    add(
        "--script-trials",
        type=whole_number,
        metavar="N",
        help="trials that are run as scripts, scaled to all",
    )
    add("--launcher", nargs="+", choices=["ray", "local"], help="of the server (default: see --cache)")
    add("--workers", nargs="+", choices=["starting", "fresh", "warm"], help="how far they are")
    add(
        "--cache", nargs="+", choices=["warm", "cold"],
        help="of compiled programs. Without these three every case has its own choice; with one of them, the "
        "others are Ray where it is installed, fresh workers and a warm cache unless given",
    )  # fmt: skip
    add(
        "--slots",
        type=whole_number,
        default=cores(),
        help="scripts, and workers, at a time (default: one a core)",
    )
    add(
        "--json",
        type=output_file,
        default="out/bench-service.json",
        help="where to write it (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = options.rounds or QUICK_ROUNDS
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: server and scripts end in order
    sys.exit(main())
