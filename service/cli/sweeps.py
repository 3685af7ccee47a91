"""``heunboard submit``, ``plan`` and ``status``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from benchmarks.sweep import load_sweep
from service.cli.output import STATE_STYLES, AsJson, Url, console, counts_text, print_json, print_warning
from service.cli.progress_bar import watch
from service.client import Client
from service.errors import InvalidSettings
from service.resources.numbers import duration

LISTED = 20
TRACEBACK_LINES = 12
SHORT_ID = 8  # characters of a board's id that tell it from the others

SweepFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A sweep file (YAML or JSON); - reads standard input.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(submit)
    app.command()(plan)
    app.command()(status)


def submit(
    file: SweepFile,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end; the exit status is the outcome.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before a sweep of more than a day is submitted.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a sweep; trials that are known already are not computed again.

    Of more than a day of device time there is a warning, and on a terminal a question before.
    """
    text = checked(file)
    with Client(url) as client:
        asked = not yes and is_terminal() and _confirm(client.plan(text))
        sweep = client.submit(text)
        if not asked:
            _warn(sweep["plan"])
        if not as_json:
            _announce(client, sweep)
        if wait:
            sweep = _wait(client, sweep["id"], quiet=as_json)
        if as_json:
            print_json(sweep)
        elif wait:
            _conclude(client, sweep)
    if wait and sweep["state"] != "succeeded":
        raise typer.Exit(1)


def plan(file: SweepFile, url: Url = None, as_json: AsJson = False) -> None:
    """Say what submitting a sweep would compute and how long one device takes; nothing is stored."""
    text = checked(file)
    with Client(url) as client:
        answer = client.plan(text)
    if as_json:
        print_json(answer)
        return
    console().print(
        f"{answer['trials']:,} trials: {answer['known']:,} already known, "
        f"[bold]{answer['to_compute']:,}[/] to compute"
    )
    if answer["to_compute"]:
        console().print(f"device time {_device_time(answer['device_seconds'])}", highlight=False)
        console().print(_plan_table(answer["estimators"]))
    _warn(answer)


def status(
    sweep: Annotated[
        str | None, typer.Argument(help="Sweep id; without it the newest sweeps are listed.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one sweep, or the newest ones."""
    with Client(url) as client:
        if sweep is None:
            _list_sweeps(client, as_json)
            return
        answer = client.sweep(sweep)
    if as_json:
        print_json(answer)
    else:
        console().print(_sweep_table([answer]))
        _conclude(client, answer)


def checked(file: str) -> str:
    """The text of a sweep file that is known to be valid, so that mistakes show without a server.

    Raises:
        InvalidSettings: the file cannot be read.
        SpecError: it is not a valid sweep.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"cannot read the sweep file {file}: {error}") from None
    load_sweep(text, source=file)
    return text


def _wait(client: Client, sweep: str, *, quiet: bool) -> dict[str, Any]:
    try:
        return watch(client, [sweep], quiet=quiet)[0]
    except KeyboardInterrupt:
        again = f"heunboard status {sweep}, or {client.url}/sweeps/{sweep}"
        console(stderr=True).print(f"The sweep goes on. To look again: {again}", highlight=False)
        raise


def _announce(client: Client, sweep: dict[str, Any]) -> None:
    known = sweep["progress"]["counts"].get("succeeded", 0)
    console().print(
        f"Sweep [bold]{sweep['id']}[/] {escape(sweep['name'])}: "
        f"{sweep['trials']:,} trials, {known:,} already known{_cost(sweep['plan'])}"
        f"\n{client.url}/sweeps/{sweep['id']}",
        highlight=False,
    )


def _cost(plan: dict[str, Any]) -> str:
    """The device time as a line of its own, if there is anything to compute."""
    return f"\ndevice time {_device_time(plan['device_seconds'])}" if plan["to_compute"] else ""


def _device_time(time: dict[str, Any]) -> str:
    """``about 3 h 10 min (2 h 5 min to 5 h 0 min; from 12 finished attempts)``."""
    attempts = time["attempts"]
    basis = "shipped rates of another machine" if not attempts else _finished_attempts(attempts)
    low, expected, high = (duration(time[name]) for name in ("low", "expected", "high"))
    return f"about {expected} ({low} to {high}; from {basis})"


def _finished_attempts(number: int) -> str:
    return "1 finished attempt" if number == 1 else f"{number:,} finished attempts"


def _plan_table(estimators: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("estimator")
    for name in ("trials", "known", "to compute", "device time", "from", "to"):
        table.add_column(name, justify="right")
    for line in estimators:
        time = line["device_seconds"]
        table.add_row(
            escape(line["estimator"]),
            *(f"{line[name]:,}" for name in ("trials", "known", "to_compute")),
            *(duration(time[name]) for name in ("expected", "low", "high")),
        )
    return table


def _warn(plan: dict[str, Any]) -> None:
    if plan["warning"]:
        console(stderr=True).print(f"[yellow]warning[/] {escape(plan['warning'])}", highlight=False)


def is_terminal() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirm(plan: dict[str, Any]) -> bool:
    """Ask before much is submitted; whether there was a question, which was answered with yes."""
    _warn(plan)
    if not plan["warning"]:
        return False
    typer.confirm("Submit it?", abort=True, err=True)
    return True


def _conclude(client: Client, sweep: dict[str, Any]) -> None:
    out = console()
    if sweep["finished_at"] is not None:
        out.print(_outcome(sweep), highlight=False)
    print_warning(out, sweep["fallbacks"])
    for failure in sweep["failures"]:
        out.print(f"[red]failed[/] {escape(failure['label'])}: {escape(failure['error'])}", highlight=False)
        for line in (failure["traceback"] or "").splitlines()[-TRACEBACK_LINES:]:
            out.print(f"    {escape(line)}", style="dim", highlight=False)
    if sweep["failures_left_out"]:
        out.print(f"and {sweep['failures_left_out']:,} more failures")
    for board in sweep["boards"]:
        command = f"heunboard board {board['id'][:SHORT_ID]} --sweep {sweep['id']}"
        out.print(f"{command}   [dim]{escape(board['title'])}[/]", highlight=False)
        out.print(f"    {client.url}{board['page']}", style="dim", highlight=False, soft_wrap=True)


def _outcome(sweep: dict[str, Any]) -> str:
    taken = datetime.fromisoformat(sweep["finished_at"]) - datetime.fromisoformat(sweep["created_at"])
    state = f"[{STATE_STYLES[sweep['state']]}]{sweep['state']}[/]"
    return f"{state}: {counts_text(sweep['progress']['counts'])} in {duration(taken.total_seconds())}"


def _list_sweeps(client: Client, as_json: bool) -> None:
    page = client.newest_sweeps(LISTED)
    if as_json:
        print_json(page)
        return
    if not page["sweeps"]:
        console().print("No sweeps yet: heunboard submit FILE")
        return
    console().print(_sweep_table(page["sweeps"]))
    if page["next_page_token"]:
        console().print(f"and older ones: {client.url}/sweeps")


def _sweep_table(sweeps: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "name", "state", "trials", "progress", "time left"):
        table.add_column(name)
    for sweep in sweeps:
        progress = sweep["progress"]
        share = 100 * progress["steps_done"] // progress["steps_total"] if progress["steps_total"] else 0
        table.add_row(
            str(sweep["id"]),
            escape(sweep["name"]),
            sweep["state"],
            counts_text(progress["counts"]),
            f"{share} %",
            duration(progress["seconds_left"]),
        )
    return table
