"""``heunboard reproduce``: a table or figure of a paper, from one command to its report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from benchmarks.suites.schema import TIERS
from service.cli import completion, exhibits, measuring, plans, suite_reports, suite_states
from service.cli.exhibits import Exhibit
from service.cli.output import AsJson, Url, console, counts_text, print_json
from service.cli.progress_bar import watch
from service.client import Client
from service.resources.schemas import Plan, Reproduction, SweepLine
from service.resources.suite_schemas import SuiteReport

REPORTS = Path("reports")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reproduce)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        name: ``SUITE/EXHIBIT``, or ``SUITE`` for all that have the tier.
        tier: how.
        retry: submit again what failed or was cancelled.
        yes: do not ask.
        device: where a command of an exhibit measures.
        quiet: nothing but one JSON document on standard output, and no progress.
    """

    name: str
    tier: str
    retry: bool
    yes: bool
    device: str
    quiet: bool


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE[/EXHIBIT]",
            help="A table or figure of a paper, or all of them.",
            autocompletion=completion.exhibit_names,
        ),
    ] = None,
    tier: Annotated[
        str | None, typer.Option(help=f"How much of it: {', '.join(TIERS)}.", autocompletion=completion.tiers)
    ] = None,
    every: Annotated[
        bool, typer.Option("--list", help="Show all tables and figures and how far each tier is.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the reports.")] = REPORTS,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Submit and end; the same command later writes the report.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Submit trials again that failed or were cancelled.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="End with 1 if a number is not reproduced or a claim contradicted, too."
        ),
    ] = False,
    device: Annotated[
        str, typer.Option(help="Where exhibits are measured that a command measures: cpu, cuda or cuda:N.")
    ] = "cpu",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before more than a day of device time.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Reproduce a table or figure of a paper: submit, wait, write the report.

    What is known already is not computed again.

    Ctrl-C leaves the sweeps to go on: the same command resumes.

    The report goes to DIR/SUITE/EXHIBIT-TIER.md, .tex and .json, a figure's picture beside it.

    Status 0: every trial succeeded, whatever the verdicts.

    Examples:

    * heunboard reproduce --list
    * heunboard reproduce --list reinmax-2023
    * heunboard reproduce reinmax-2023/figure1 --tier smoke
    * heunboard reproduce reinmax-2023 --tier smoke
    """
    _check(name, tier, every)
    with Client(url) as client:
        if every:
            _list(client, name, as_json)
            return
        wish = Wish(name=str(name), tier=str(tier), retry=retry, yes=yes, device=device, quiet=as_json)
        suite_reports.check_folder(out)
        try:
            good = _reproduce(client, wish, out, check=check, wait=not no_wait)
        except KeyboardInterrupt:
            again = shlex.join(_command(wish, out, url))
            text = f"Sweeps that were submitted go on. To resume: {again}"
            console(stderr=True).print(escape(text), highlight=False, soft_wrap=True)
            raise
    if not good:
        raise typer.Exit(1)


def _check(name: str | None, tier: str | None, every: bool) -> None:
    if every and tier is not None:
        raise typer.BadParameter("--list shows every tier; leave out --tier")
    if not every and name is None:
        raise typer.BadParameter("give SUITE/EXHIBIT, as reinmax-2023/figure1; --list shows all")
    if not every and tier is None:
        raise typer.BadParameter(f"--tier says how much of it: {', '.join(TIERS)}")


def _command(wish: Wish, out: Path, url: str | None) -> list[str]:
    """The command that goes on from here."""
    given = {"--out": None if out == REPORTS else str(out), "--url": url}
    more = [word for option, value in given.items() if value is not None for word in (option, value)]
    return ["heunboard", "reproduce", wish.name, "--tier", wish.tier, *more]


def _list(client: Client, name: str | None, as_json: bool) -> None:
    answer = client.suites()
    if name is not None:
        answer = suite_states.only(client, answer, name)
    if as_json:
        print_json(answer)
    else:
        suite_states.show(client, answer)


def _reproduce(client: Client, wish: Wish, out: Path, *, check: bool, wait: bool) -> bool:
    """Measure, submit, wait, report; whether it ended well."""
    wanted = exhibits.having(client, wish.name, wish.tier)
    if not wish.quiet:
        exhibits.announce(wanted, wish.tier)
    good = all([_measured(client, wish, one) for one in wanted if one.line.command is not None])
    found: list[Reproduction] = []
    if any(one.line.command is None for one in wanted):
        found = _submit(client, wish, exhibits.cheaper(wanted, wish.tier))
        if not wait:
            _tell_submitted(client, wish, found)
            return good
        found = _follow(client, wish, found)
        good &= _outcome(found, quiet=wish.quiet)
    reports = _report(client, wish, wanted, out)
    return good and not (check and any(map(suite_reports.is_doubtful, reports)))


def _measured(client: Client, wish: Wish, exhibit: Exhibit) -> bool:
    return measuring.measure(
        client,
        exhibit.name,
        exhibits.tier_of(exhibit, wish.tier),
        str(exhibit.line.command),
        device=wish.device,
        quiet=wish.quiet,
    )


def _submit(client: Client, wish: Wish, cheaper: Sequence[str]) -> list[Reproduction]:
    """Submit what is wanted by now, after a question if it is much."""
    plan = client.plan_suite(wish.name, wish.tier)
    if not wish.quiet:
        _show_plan(plan)
    if wish.yes or not plans.is_terminal() or not plans.confirmed(plan, cheaper):
        plans.warn(plan, cheaper)
    return client.reproduce(wish.name, wish.tier, retry=wish.retry)


def _show_plan(plan: Plan) -> None:
    console().print(plans.counts(plan))
    if plan.to_compute:
        console().print(f"device time {plans.device_time(plan.device_seconds)}", highlight=False)


def _tell_submitted(client: Client, wish: Wish, found: list[Reproduction]) -> None:
    if wish.quiet:
        print_json(found[0] if "/" in wish.name else found)
        return
    for sweep in _sweeps(found):
        console().print(f"sweep {sweep.id} {escape(sweep.name)}  {client.url}/sweeps/{sweep.id}")
    for one in found:
        if one.rungs > 1:
            more = "; the same command goes on to the next" if one.rung < one.rungs else ""
            text = f"{escape(one.exhibit)}: rung {one.rung} of {one.rungs}{more}"
            console().print(text, highlight=False)


def _follow(client: Client, wish: Wish, found: list[Reproduction]) -> list[Reproduction]:
    """Wait, and submit the next rung, until nothing is left to wait for."""
    while not all(one.finished for one in found):
        pending = [sweep.id for sweep in _sweeps(found) if sweep.finished_at is None]
        if not pending and not any(one.added for one in found):
            break  # what is missing was cancelled
        if pending:
            watch(client, pending, quiet=wish.quiet)
        found = client.reproduce(wish.name, wish.tier)
    return found


def _outcome(found: list[Reproduction], *, quiet: bool) -> bool:
    """Whether every trial succeeded; what did not is told on standard error."""
    bad = [sweep for sweep in _sweeps(found) if sweep.state != "succeeded"]
    for sweep in [] if quiet else bad:
        counts = counts_text(sweep.progress.counts)
        text = f"{escape(sweep.name)}: {counts}; heunboard status {sweep.id} says why, --retry tries again"
        console(stderr=True).print(text, highlight=False)
    return not bad and all(one.finished for one in found)


def _sweeps(found: list[Reproduction]) -> list[SweepLine]:
    """The sweeps of all exhibits, each once."""
    return list({sweep.id: sweep for one in found for sweep in one.sweeps}.values())


def _report(client: Client, wish: Wish, wanted: Sequence[Exhibit], out: Path) -> list[SuiteReport]:
    """Write the reports and print what they say."""
    written = [suite_reports.write(client, one.name, wish.tier, out) for one in wanted]
    reports = [report for report, _ in written]
    if wish.quiet:
        print_json(reports[0] if "/" in wish.name else reports)
    else:
        for report, files in written:
            suite_reports.show(console(), report, files, client.url)
    return reports
