"""``heunboard submit``, ``plan`` and ``status``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from benchmarks.suites.schema import TIERS
from benchmarks.sweep import load_sweep
from service.cli import completion, exhibits, plans
from service.cli.output import STATE_STYLES, AsJson, Url, console, counts_text, print_json, print_warning
from service.cli.progress_bar import watch
from service.client import Client, Sweep
from service.errors import InvalidSettings
from service.resources.numbers import counted, duration
from service.resources.schemas import Plan, SweepDetail, SweepLine

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

    Examples:

    * heunboard submit examples/polynomial.yaml
    * heunboard submit examples/polynomial.yaml --wait
    * heunboard submit - --yes --json < sweep.yaml
    """
    text = checked(file)
    with Client(url) as client:
        asked = not yes and plans.is_terminal() and plans.confirmed(client.plan(text))
        sweep = client.submit(text)
        if sweep.plan is not None and not asked:
            plans.warn(sweep.plan)
        if not as_json:
            _announce(sweep)
        answer = wait_for(client, sweep.id, quiet=as_json) if wait else sweep.answer
        if as_json:
            print_json(answer)
        elif wait:
            conclude(client, answer)
    if wait and answer.state != "succeeded":
        raise typer.Exit(1)


def plan(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A sweep file (YAML or JSON); - reads standard input."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="SUITE[/EXHIBIT]",
            help="A table or figure of a paper, or all of them.",
            autocompletion=completion.exhibit_names,
        ),
    ] = None,
    tier: Annotated[
        str | None, typer.Option(help=f"With --suite: {', '.join(TIERS)}.", autocompletion=completion.tiers)
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say what submitting would compute and how long one device takes; nothing is stored.

    It is of a sweep file, or of a tier of a suite.

    Examples:

    * heunboard plan examples/polynomial.yaml
    * heunboard plan --suite reinmax-2023/table2 --tier full
    """
    text = _planned(file, suite, tier)
    with Client(url) as client:
        if text is None:
            _plan_suite(client, str(suite), str(tier), as_json=as_json)
            return
        answer = client.plan(text)
    if as_json:
        print_json(answer)
    else:
        plans.show(answer)


def _plan_suite(client: Client, name: str, tier: str, *, as_json: bool) -> None:
    """Print what the tier changes and what it costs."""
    wanted = exhibits.having(client, name, tier)
    if as_json:
        print_json(client.plan_suite(name, tier))
        return
    exhibits.announce(wanted, tier)
    for one in wanted:
        if one.line.command is not None:
            text = f"{escape(one.name)} is measured by a command on the device at hand: it has no trials"
            console().print(text, highlight=False)
    if any(one.line.command is None for one in wanted):
        plans.show(client.plan_suite(name, tier), exhibits.cheaper(wanted, tier))


def _planned(file: str | None, suite: str | None, tier: str | None) -> str | None:
    """The sweep file to plan; ``None`` where a suite is to be planned."""
    if (file is None) == (suite is None):
        got = "neither" if file is None else "both"
        raise typer.BadParameter(f"give a sweep file, or --suite SUITE/EXHIBIT with --tier; got {got}")
    if (suite is None) != (tier is None):
        raise typer.BadParameter(f"--suite and --tier belong together; tiers are {', '.join(TIERS)}")
    return None if file is None else checked(file)


def status(
    sweep: Annotated[
        str | None,
        typer.Argument(
            help="Sweep id; without it the newest sweeps are listed.", autocompletion=completion.sweep_ids
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one sweep, or the newest ones.

    Examples:

    * heunboard status
    * heunboard status 7
    * heunboard status 7 --json
    """
    with Client(url) as client:
        if sweep is None:
            _list_sweeps(client, as_json)
            return
        answer = client.sweep(sweep).answer
    if as_json:
        print_json(answer)
    else:
        console().print(_sweep_table([answer]))
        conclude(client, answer)


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


def wait_for(client: Client, sweep: str, *, quiet: bool) -> SweepDetail:
    """Wait for the end of a sweep, with its progress; Ctrl-C ends the waiting and not the sweep."""
    try:
        return watch(client, [sweep], quiet=quiet)[0]
    except KeyboardInterrupt:
        again = f"heunboard watch {sweep}, or {client.url}/sweeps/{sweep}"
        stop = f"heunboard pause {sweep}, or heunboard cancel {sweep}"
        text = f"The sweep goes on. To look again: {again}\nTo stop it: {stop}"
        console(stderr=True).print(text, highlight=False)
        raise


def _announce(sweep: Sweep) -> None:
    known = sweep.progress.counts.get("succeeded", 0)
    cost = "" if sweep.plan is None else _cost(sweep.plan)
    console().print(
        f"Sweep [bold]{sweep.id}[/] {escape(sweep.name)}: "
        f"{counted(sweep.answer.trials, 'trial')}, {known:,} already known{cost}\n{sweep.url}",
        highlight=False,
    )


def _cost(plan: Plan) -> str:
    """The device time as a line of its own, if there is anything to compute."""
    return f"\ndevice time {plans.device_time(plan.device_seconds)}" if plan.to_compute else ""


def conclude(client: Client, sweep: SweepDetail) -> None:
    """Print the outcome of a sweep, its first failures, and where its boards are."""
    out = console()
    if sweep.finished_at is not None:
        out.print(_outcome(sweep, sweep.finished_at), highlight=False)
    print_warning(out, sweep.fallbacks)
    for failure in sweep.failures:
        what = "failed" if failure.diverged_at is None else "diverged"
        out.print(f"[red]{what}[/] {escape(failure.label)}: {escape(failure.error)}", highlight=False)
        for line in (failure.traceback or "").splitlines()[-TRACEBACK_LINES:]:
            out.print(f"    {escape(line)}", style="dim", highlight=False)
    if sweep.failures_left_out:
        out.print(f"and {sweep.failures_left_out:,} more failures")
    for board in sweep.boards:
        command = f"heunboard board {board.id[:SHORT_ID]} --sweep {sweep.id}"
        out.print(f"{command}   [dim]{escape(board.title)}[/]", highlight=False)
        out.print(f"    {client.url}{board.page}", style="dim", highlight=False, soft_wrap=True)
    if more := sweep.boards_total - len(sweep.boards):
        out.print(f"and {more:,} more boards: {client.url}/api/v1/sweeps/{sweep.id}/boards", highlight=False)


def _outcome(sweep: SweepDetail, finished_at: datetime) -> str:
    taken = finished_at - sweep.created_at
    state = f"[{STATE_STYLES[sweep.state]}]{sweep.state}[/]"
    return f"{state}: {counts_text(sweep.progress.counts)} in {duration(taken.total_seconds())}"


def _list_sweeps(client: Client, as_json: bool) -> None:
    page = client.newest_sweeps(LISTED)
    if as_json:
        print_json(page)
        return
    if not page.sweeps:
        console().print("No sweeps yet: heunboard submit FILE")
        return
    console().print(_sweep_table(page.sweeps))
    if page.next_page_token:
        console().print(f"and older ones: {client.url}/sweeps")


def _sweep_table(sweeps: Sequence[SweepLine]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "name", "state", "trials", "progress", "time left"):
        table.add_column(name)
    for sweep in sweeps:
        progress = sweep.progress
        share = 100 * progress.steps_done // progress.steps_total if progress.steps_total else 0
        table.add_row(
            str(sweep.id),
            escape(sweep.name),
            sweep.state,
            counts_text(progress.counts),
            f"{share} %",
            duration(progress.seconds_left),
        )
    return table
