"""``heunboard nodes``, ``drain`` and ``undrain``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli import completion
from service.cli.output import AsJson, Url, console, moment_text, print_json
from service.client import Client
from service.resources.schemas import Node

STYLES = {"ready": "green", "draining": "cyan", "drained": "dim", "quarantined": "red", "away": "yellow"}

NodeName = Annotated[
    str,
    typer.Argument(
        metavar="NODE", help="A name that `heunboard nodes` lists.", autocompletion=completion.node_names
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(nodes)
    app.command()(drain)
    app.command()(undrain)


def nodes(url: Url = None, as_json: AsJson = False) -> None:
    """List where trials are computed: device, slots, state.

    Examples:

    * heunboard nodes
    * heunboard nodes --json
    """
    with Client(url) as client:
        found = client.nodes()
    if as_json:
        print_json({"nodes": found})
    else:
        _show(found)


def drain(node: NodeName, url: Url = None, as_json: AsJson = False) -> None:
    """Let a node become idle: its attempts stop and go on elsewhere, nothing begins there.

    Examples:

    * heunboard drain gpu-3
    """
    with Client(url) as client:
        _tell(client.drain(node), as_json)


def undrain(node: NodeName, url: Url = None, as_json: AsJson = False) -> None:
    """Let a node take attempts again, whether it was drained or under quarantine.

    Examples:

    * heunboard undrain gpu-3
    """
    with Client(url) as client:
        _tell(client.undrain(node), as_json)


def _tell(node: Node, as_json: bool) -> None:
    if as_json:
        print_json(node)
    else:
        _show([node])


def _show(found: list[Node]) -> None:
    out = console()
    if not found:
        out.print("No node has been heard of within a day: heunboard up, or heunboard dispatch")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("node", "state", "device", "busy", "idle", "last heard of"):
        table.add_column(name)
    for node in found:
        state = f"[{STYLES[node.state]}]{node.state}[/]"
        if node.quarantined_until:
            state += f" until {moment_text(node.quarantined_until)}"
        cells = (str(node.busy), str(node.idle), moment_text(node.heard_at))
        table.add_row(escape(node.name), state, escape(node.device), *cells)
    out.print(table)
    for node in found:
        if node.warning:
            out.print(f"[yellow]warning[/] {escape(node.name)}: {escape(node.warning)}", highlight=False)
