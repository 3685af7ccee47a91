"""Tables and figures of papers that a command is about, and what a tier changes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import typer
from rich.markup import escape

from benchmarks.sweep_file.issues import nearest
from service.cli.output import console
from service.client import Client
from service.resources.schemas import BrokenSuite, ExhibitLine, TierLine

CHEAPER = ("reduced", "budget")
"""Tiers that take less than the published protocol, in which a paper's sentences can be decided."""


class Exhibit(NamedTuple):
    """A table or figure by its full name, ``SUITE/EXHIBIT``."""

    name: str
    line: ExhibitLine


def having(client: Client, name: str, tier: str) -> list[Exhibit]:
    """The exhibits that ``SUITE`` or ``SUITE/EXHIBIT`` names and that have the tier.

    Those of a suite that cannot be used are told on standard error.

    Raises:
        BadParameter: none has it.
    """
    if "/" in name:
        found = [Exhibit(name, client.exhibit(name))]
    else:
        suite = client.suite(name)
        found = [Exhibit(f"{suite.id}/{one.id}", one) for one in suite.exhibits]
        tell_broken(suite.broken)
    if not found:
        raise typer.BadParameter(f"{name} has no table or figure that can be used")
    chosen = [one for one in found if any(known.tier == tier for known in one.line.tiers)]
    if not chosen:
        known = list(dict.fromkeys(known.tier for one in found for known in one.line.tiers))
        guess = nearest(tier, known)
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise typer.BadParameter(f"{name} has no tier {tier!r}; there are {', '.join(known)}{hint}")
    return chosen


def tell_broken(broken: Sequence[BrokenSuite]) -> None:
    """Say on standard error which suites and exhibits the server cannot use, and why."""
    for one in broken:
        text = f"[red]cannot be used[/] {escape(one.id)}: {escape(one.detail)}"
        console(stderr=True).print(text, highlight=False, soft_wrap=True)


def announce(exhibits: Sequence[Exhibit], tier: str) -> None:
    """Say what the tier changes of what was published."""
    for one in exhibits:
        changes = tier_of(one, tier).changes or "Nothing is changed of the published protocol."
        console().print(f"[bold]{escape(one.name)}[/] {tier}: {escape(changes)}", highlight=False)


def tier_of(exhibit: Exhibit, tier: str) -> TierLine:
    """What the server says of a tier that the exhibit has."""
    return next(one for one in exhibit.line.tiers if one.tier == tier)


def cheaper(exhibits: Sequence[Exhibit], tier: str) -> list[str]:
    """Tiers that take less than ``full``, where it is that and every exhibit has them."""
    if tier != "full":
        return []
    known = [{one.tier for one in each.line.tiers} for each in exhibits if each.line.command is None]
    return [name for name in CHEAPER if known and all(name in names for names in known)]
