"""Does a task keep to the contract? ``python -m benchmarks.commands.check_task ID``.

Runs the battery (:mod:`benchmarks.tasks.battery`) and prints a line a check.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks.commands.arguments import settings
from benchmarks.sweep_file.issues import nearest
from benchmarks.tasks import battery, registry
from benchmarks.tasks.info import TaskInfo
from estimators import Value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; exit status 1 when one fails, 2 for arguments that are wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        info = _task(options.id)
        given = _settings(options.set, info)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    subject = battery.subject(info, given)
    shown = ", ".join(f"{name}={value}" for name, value in subject.values.items())
    sys.stdout.write(f"{info.id} version {info.version}: {shown}\nwith {', '.join(subject.estimators)}\n")
    checks = [battery.check(name) for name in options.only] if options.only else list(battery.CHECKS)
    passed = [_run(check, subject) for check in checks]
    sys.stdout.write(f"{sum(passed)} of {len(passed)} checks hold\n")
    return 0 if all(passed) else 1


def _run(check: battery.Check, subject: battery.Subject) -> bool:
    """Try one and print its line; whether it holds or says nothing of the task."""
    began = time.monotonic()
    try:
        if not check.applies(subject):
            return _say(True, check, "says nothing of a task without data")
        check(subject)
    except Exception as error:  # whatever a task raises is the answer
        told = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        return _say(False, check, told)
    return _say(True, check, f"{check.statement} ({time.monotonic() - began:.1f} s)")


def _say(holds: bool, check: battery.Check, text: str) -> bool:
    sys.stdout.write(f"{'holds' if holds else 'FAILS'}  {check.name:16} {text}\n")
    sys.stdout.flush()
    return holds


def _task(id: str) -> TaskInfo:
    if id not in registry.available():
        near = nearest(id, registry.available())
        hint = f"did you mean {near!r}? There are" if near else "there are"
        raise argparse.ArgumentTypeError(f"no task {id!r}; {hint} {', '.join(registry.available())}")
    return registry.get(id)


def _settings(texts: Sequence[str], info: TaskInfo) -> dict[str, Value]:
    return settings(texts, info.parameters, of=f"task {info.id!r}")


def _parser() -> argparse.ArgumentParser:
    names = [check.name for check in battery.CHECKS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.commands.check_task",
        description="Train a registered task at small parameters and check that it keeps to the contract of "
        "tasks. Exit status 1 when a check fails.",
    )
    parser.add_argument("id", help="of a registered task")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the task; may be repeated",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="CHECK",
        help=f"one of {', '.join(names)}",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
