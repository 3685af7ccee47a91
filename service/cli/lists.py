"""``heunboard boards``, ``estimators``, ``tasks``, ``trials`` and ``logs``: what there is, a line each."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli import completion
from service.cli.output import STATE_STYLES, AsJson, Url, console, print_json
from service.client import Client
from service.resources import numbers
from service.resources.board_list_schemas import BoardLine
from service.resources.schemas import Attempt

Words = Annotated[str, typer.Option("-q", "--search", help="Words that all must be there, in any case.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (boards, estimators, tasks, trials, logs):
        app.command()(command)


def boards(
    search: Words = "",
    task: Annotated[str, typer.Option(help="Id of a task.", autocompletion=completion.task_ids)] = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List boards, those with the newest results first: who is best, and how many trials are done.

    Examples:

    * heunboard boards
    * heunboard boards --task polynomial -q "L = 128"
    """
    with Client(url) as client:
        found = client.boards(q=search, task=task)
    if as_json:
        print_json({"boards": found})
    elif found:
        console().print(board_table(found))
    else:
        console().print("No such board" if search or task else "No boards yet: heunboard submit FILE")


def board_table(found: list[BoardLine]) -> Table:
    """Boards as they are listed."""
    table = _table("board", "title", "best", "mean", "estimators", "trials", right={"mean", "estimators"})
    for one in found:
        best = one.best
        mean = "–" if best is None else numbers.five_digits(best.mean)
        name = "no result yet" if best is None else best.title
        trials = f"{one.succeeded:,} of {one.trials:,}"
        table.add_row(one.id[:12], escape(one.title), escape(name), mean, str(one.estimators), trials)
    return table


def estimators(
    kind: Annotated[str, typer.Option(help="Part of a kind, such as path or score.")] = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the estimators that the server knows, with their kind, bias and cost.

    Examples:

    * heunboard estimators
    * heunboard estimators --kind score --json
    """
    with Client(url) as client:
        found = [one for one in client.estimators() if kind in str(one.properties["kind"])]
    if as_json:
        print_json({"estimators": found})
        return
    table = _table("id", "title", "kind", "unbiased", "parameters")
    for one in found:
        named = ", ".join(f"{p.name} {p.default}" for p in one.parameters)
        said = one.properties
        unbiased = "yes" if said["unbiased"] else "no"
        table.add_row(one.id, escape(one.title), said["kind"], unbiased, escape(named))
    console().print(table)


def tasks(url: Url = None, as_json: AsJson = False) -> None:
    """List the tasks that the server knows, with the metric that chooses settings, and their parameters.

    Examples:

    * heunboard tasks
    """
    with Client(url) as client:
        found = client.tasks()
    if as_json:
        print_json({"tasks": found})
        return
    table = _table("id", "title", "chosen by", "parameters")
    for one in found:
        named = ", ".join(p.name for p in one.parameters)
        table.add_row(one.id, escape(one.title), one.select, escape(named))
    console().print(table)


def trials(
    sweep: Annotated[
        str, typer.Argument(metavar="SWEEP", help="Id of a sweep.", autocompletion=completion.sweep_ids)
    ],
    state: Annotated[
        str,
        typer.Option(
            help="queued, running, succeeded, failed or cancelled.", autocompletion=completion.trial_states
        ),
    ] = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the trials of a sweep, a line each; `heunboard attempts TRIAL` tells what became of one.

    Examples:

    * heunboard trials 7
    * heunboard trials 7 --state failed
    """
    if state and state not in STATE_STYLES:
        raise typer.BadParameter(f"--state is {state!r}; states are {', '.join(STATE_STYLES)}")
    with Client(url) as client:
        found = [one for one in client.trials(sweep) if state in ("", one.state)]
    if as_json:
        print_json({"trials": found})
        return
    if not found:
        console().print("No such trials")
        return
    table = _table("trial", "of", "state", "seconds", "error", right={"seconds"})
    for one in found:
        style = STATE_STYLES[one.state]
        seconds = "" if one.seconds is None else f"{one.seconds:,.1f}"
        error = (one.error or "").partition("\n")[0]
        table.add_row(one.key, escape(one.label), f"[{style}]{one.state}[/]", seconds, escape(error))
    console().print(table)


def logs(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Key of a trial: `heunboard trials`.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the ends of the logs of everybody who tried to compute a trial, oldest first.

    Examples:

    * heunboard logs 4be1c0a96f2d
    """
    with Client(url) as client:
        found = client.attempts(trial)
    if as_json:
        print_json({"logs": [_log(one) for one in found]})
        return
    out = console()
    if not found:
        out.print("Nobody has begun with it yet")
    for one in found:
        head = f"attempt {one.number} of cohort {one.cohort} on {one.host or '?'}, {one.state}"
        out.print(f"[bold]{escape(head)}[/]", highlight=False)
        typer.echo(one.log or one.error or "(no log was kept)")


def _log(attempt: Attempt) -> dict[str, Any]:
    where = {"attempt": attempt.id, "number": attempt.number, "cohort": attempt.cohort, "host": attempt.host}
    return {**where, "state": attempt.state, "log": attempt.log, "error": attempt.error}


def _table(*names: str, right: set[str] | None = None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, justify="right" if name in (right or set()) else "left")
    return table
