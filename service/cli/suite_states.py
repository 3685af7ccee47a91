"""``heunboard reproduce --list``: every table and figure, how far its tiers are, and what they showed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from service.cli import exhibits
from service.cli.output import console
from service.cli.suite_reports import claims_text, verdicts_text
from service.client import ApiError, Client
from service.resources.schemas import BrokenSuite, ExhibitLine, SuiteLine, SuiteList, TierLine

NEVER = "never tried"
DONE = "done"


def show(client: Client, answer: SuiteList) -> None:
    """Print the answer of :meth:`Client.suites`, with the verdicts of tiers that are done."""
    broken = list(answer.broken)
    for suite in answer.suites:
        console().print(f"\n[bold]{escape(suite.id)}[/]  {escape(suite.title)}", highlight=False)
        if suite.exhibits:
            console().print(_table(client, suite, broken))
    exhibits.tell_broken(broken)


def only(client: Client, answer: SuiteList, name: str) -> SuiteList:
    """Of the answer of :meth:`Client.suites` what ``SUITE`` or ``SUITE/EXHIBIT`` names.

    Raises:
        ApiError: there is no such thing; the message names the nearest.
    """
    suite, slash, exhibit = name.partition("/")
    broken = [
        one
        for one in answer.broken
        if one.id in (suite, name) or (not slash and one.id.startswith(f"{suite}/"))
    ]
    if not broken:
        (client.exhibit if slash else client.suite)(name)
    suites = [
        one.model_copy(
            update={"exhibits": [line for line in one.exhibits if not slash or line.id == exhibit]}
        )
        for one in answer.suites
        if one.id == suite
    ]
    return SuiteList(suites=suites, broken=broken)


def state(exhibit: ExhibitLine, tier: TierLine) -> str:
    """``never tried``, ``12 of 153`` trials, or ``done``; of a command, ``measured on`` which devices."""
    if exhibit.command is not None:
        devices = ", ".join(map(escape, tier.measured_on))
        return f"measured on {devices}" if devices else NEVER
    if not tier.ended:
        return NEVER
    return DONE if tier.ended >= tier.trials else f"{tier.ended:,} of {tier.trials:,}"


def _table(client: Client, suite: SuiteLine, broken: list[BrokenSuite]) -> Table:
    """Its exhibits; of which no report can be made is added to ``broken``."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("exhibit", "title", "tier", "trials", "state", "numbers", "claims"):
        table.add_column(name, justify="right" if name == "trials" else "left")
    for exhibit in suite.exhibits:
        names = [escape(exhibit.id), escape(exhibit.title)]
        for row in _rows(client, suite.id, exhibit, broken):
            table.add_row(*names, *row)
            names = ["", ""]
    return table


def _rows(client: Client, suite: str, exhibit: ExhibitLine, broken: list[BrokenSuite]) -> Iterator[list[str]]:
    """A line a tier."""
    for tier in exhibit.tiers:
        reached = state(exhibit, tier)
        row = [tier.tier, "" if exhibit.command else f"{tier.trials:,}", reached]
        if reached == DONE or tier.measured_on:
            row += _verdicts(client, f"{suite}/{exhibit.id}", tier.tier, broken)
        yield row


def _verdicts(client: Client, name: str, tier: str, broken: list[BrokenSuite]) -> list[str]:
    try:
        report = client.suite_report(name, tier)
    except ApiError as error:
        broken.append(BrokenSuite(id=f"{name}, tier {tier}", detail=str(error)))
        return ["cannot be used", ""]
    return [verdicts_text(report), claims_text(report)]
