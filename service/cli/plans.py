"""What a sweep or a tier of a suite is about to cost, and the question before much of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.output import console
from service.resources.numbers import counted, duration
from service.resources.schemas import DeviceTime, EstimatorPlan, Plan


def show(plan: Plan, cheaper: Sequence[str] = ()) -> None:
    """Print trials and device time, by estimator; on standard error what there is to warn of.

    ``cheaper`` are tiers that take less.
    """
    console().print(counts(plan))
    if plan.to_compute:
        console().print(f"device time {device_time(plan.device_seconds)}", highlight=False)
        console().print(_table(plan.estimators))
    warn(plan, cheaper)


def counts(plan: Plan) -> str:
    """``96 trials: 6 already known, 90 to compute``, in rich markup."""
    return (
        f"{counted(plan.trials, 'trial')}: {plan.known:,} already known, "
        f"[bold]{plan.to_compute:,}[/] to compute"
    )


def device_time(time: DeviceTime) -> str:
    """``about 3 h 10 min (2 h 5 min to 5 h 0 min; from 12 finished attempts)``."""
    attempts = time.attempts
    basis = "shipped rates of another machine" if not attempts else counted(attempts, "finished attempt")
    low, expected, high = map(duration, (time.low, time.expected, time.high))
    return f"about {expected} ({low} to {high}; from {basis})"


def warn(plan: Plan, cheaper: Sequence[str] = ()) -> None:
    """Say on standard error that it is much, if it is, and which tiers are less."""
    if plan.warning:
        less = f", as in --tier {' or --tier '.join(cheaper)}" if cheaper else ""
        text = f"[yellow]warning[/] {escape(plan.warning)}{less}"
        console(stderr=True).print(text, highlight=False)


def confirmed(plan: Plan, cheaper: Sequence[str] = ()) -> bool:
    """Ask before much is submitted; whether there was a question, which was answered with yes.

    Raises:
        typer.Abort: it was answered with no.
    """
    warn(plan, cheaper)
    if not plan.warning:
        return False
    typer.confirm("Submit it?", abort=True, err=True)
    return True


def is_terminal() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _table(estimators: list[EstimatorPlan]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("estimator")
    for name in ("trials", "known", "to compute", "device time", "from", "to"):
        table.add_column(name, justify="right")
    for line in estimators:
        time = line.device_seconds
        table.add_row(
            escape(line.estimator),
            *(f"{number:,}" for number in (line.trials, line.known, line.to_compute)),
            *map(duration, (time.expected, time.low, time.high)),
        )
    return table
