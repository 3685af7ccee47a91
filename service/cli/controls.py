"""What people do with sweeps that are there: ``heunboard watch``, ``pause``, ``cancel`` and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from service.cli import completion
from service.cli.output import STATE_STYLES, AsJson, Url, console, counts_text, print_json
from service.cli.sweeps import conclude, wait_for
from service.client import Client
from service.resources.schemas import SweepLine

SweepId = Annotated[
    str, typer.Argument(metavar="SWEEP", help="Id of the sweep.", autocompletion=completion.sweep_ids)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (watch, pause, resume, cancel, retry, delete, restore):
        app.command()(command)
    # A negative number is no option.
    app.command(context_settings={"ignore_unknown_options": True})(priority)


def watch(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Wait for the end of a sweep, with its progress; the exit status is the outcome.

    Examples:

    * heunboard watch 7
    """
    with Client(url) as client:
        found = wait_for(client, sweep, quiet=as_json)
        if as_json:
            print_json(found)
        else:
            conclude(client, found)
    if found.state != "succeeded":
        raise typer.Exit(1)


def pause(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Compute nothing more of a sweep for now; what runs stops at its next segment and keeps its place.

    Examples:

    * heunboard pause 7
    * heunboard resume 7
    """
    _act(url, as_json, lambda client: client.pause(sweep))


def resume(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Go on with a sweep that is paused or cancelled.

    Examples:

    * heunboard resume 7
    """
    _act(url, as_json, lambda client: client.resume(sweep))


def cancel(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Give up what a sweep has not computed yet. Results stay; trials that other sweeps want go on.

    Examples:

    * heunboard cancel 7
    """
    _act(url, as_json, lambda client: client.cancel(sweep))


def retry(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Queue the trials of a sweep again that failed or were cancelled.

    Examples:

    * heunboard retry 7
    """
    _act(url, as_json, lambda client: client.retry(sweep))


def delete(
    sweep: SweepId,
    forever: Annotated[
        bool, typer.Option("--forever", help="At once, with the trials that no other sweep wants.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Put a sweep into the bin, cancelled; `heunboard restore` takes it out again, for some days.

    Examples:

    * heunboard delete 7
    * heunboard delete 7 --forever
    """
    with Client(url) as client:
        client.delete(sweep, forever=forever)
    if as_json:
        print_json({"id": sweep, "forever": forever})
        return
    gone = f"Sweep {escape(sweep)} is gone, with the trials that no other sweep wants."
    binned = f"Sweep {escape(sweep)} is in the bin: heunboard restore {escape(sweep)}"
    console().print(gone if forever else binned, highlight=False)


def restore(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Take a deleted sweep out of the bin; what it lacked when it was deleted stays cancelled.

    Examples:

    * heunboard restore 7
    """
    _act(url, as_json, lambda client: client.restore(sweep))


def priority(
    sweep: SweepId,
    value: Annotated[int, typer.Argument(metavar="PRIORITY", help="Higher runs first; 0 is usual.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a sweep go before those of lower priority, or after those of higher; what runs is not disturbed.

    Examples:

    * heunboard priority 7 10
    * heunboard priority 7 -1
    """
    _act(url, as_json, lambda client: client.set_priority(sweep, value))


def _act(url: str | None, as_json: bool, act: Callable[[Client], SweepLine]) -> None:
    with Client(url) as client:
        sweep = act(client)
    if as_json:
        print_json(sweep)
        return
    counts = sweep.progress.counts
    state = f"[{STATE_STYLES.get(sweep.state, 'default')}]{sweep.state}[/]"
    text = f"Sweep [bold]{sweep.id}[/] {escape(sweep.name)}: {state}"
    text += f", priority {sweep.priority}: {counts_text(counts)}"
    if sweep.held != "active" and counts["running"]:
        text += "; what runs stops at its next segment"
    console().print(text, highlight=False)
