"""``heunboard data``: which data sets are on this machine, whether they are right, and fetching them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from benchmarks.datasets import files
from benchmarks.datasets.catalogue import CATALOGUE, DataSet
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum
from benchmarks.datasets.inventory import Entry, fetch, inventory
from service.cli.output import AsJson, console, print_json

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Data sets; without a name all of them.", autocompletion=lambda: [*CATALOGUE]),
]

_STYLES = {"here": "green", "right": "green", "wrong": "red", "missing": "yellow"}

_app = typer.Typer(
    name="data",
    help="List, check and fetch the data sets that tasks read.\n\nThey are looked for in HEUNBOARD_DATA_DIR, "
    "then in the cache of the user, then on public mirrors. A worker fetches what it needs by itself.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(_app)


@_app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Show all data sets, and what of them is on this machine.

    Examples:

    * heunboard data list
    """
    _show(_chosen(None), check=False, as_json=as_json)


@_app.command()
def check(names: Names = None, as_json: AsJson = False) -> None:
    """Read files and compare their contents with the checksums of the catalogue.

    The status is 1 if a file that is here is wrong; one that is missing is no error unless it was named.

    Examples:

    * heunboard data check
    * heunboard data check mnist
    """
    found = _show(_chosen(names), check=True, as_json=as_json)
    bad = ("wrong", "missing") if names else ("wrong",)
    if any(entry.state in bad for entries in found for entry in entries):
        raise typer.Exit(1)


@_app.command("fetch")
def fetch_missing(names: Names = None, as_json: AsJson = False) -> None:
    """Fetch what is missing into the cache; the status is 1 if something cannot be had.

    Examples:

    * heunboard data fetch
    * heunboard data fetch mnist
    """
    errors: dict[str, str | None] = {}
    for data_set in _chosen(names):
        errors[data_set.id] = None
        try:
            with console(stderr=True).status(f"{data_set.title}..."):
                fetch(data_set)
        except (DatasetUnavailable, WrongChecksum) as error:
            errors[data_set.id] = str(error)
            console(stderr=True).print(f"[bold red]error[/] {escape(str(error))}", highlight=False)
        else:
            if not as_json:
                console().print(f"[green]here[/] {escape(data_set.title)}", highlight=False)
    if as_json:
        print_json([{"id": id, "here": error is None, "error": error} for id, error in errors.items()])
    if any(errors.values()):
        raise typer.Exit(1)


def _chosen(names: list[str] | None) -> list[DataSet]:
    for name in names or ():
        if name not in CATALOGUE:
            raise typer.BadParameter(f"no data set {name!r}; there are {', '.join(CATALOGUE)}")
    return [CATALOGUE[name] for name in names or CATALOGUE]


def _show(data_sets: list[DataSet], *, check: bool, as_json: bool) -> list[list[Entry]]:
    found = [inventory(data_set, check=check) for data_set in data_sets]
    if as_json:
        print_json([_json(one, entries) for one, entries in zip(data_sets, found, strict=True)])
        return found
    table = Table("data set", "file", "", "size", "where")
    for data_set, entries in zip(data_sets, found, strict=True):
        for i, entry in enumerate(entries):
            state = f"[{_STYLES[entry.state]}]{entry.state}[/]"
            size = f"{entry.bytes / 1e6:.1f} MB" if entry.path else ""
            where = escape(str(entry.path or ""))
            table.add_row(escape(data_set.title) if i == 0 else "", entry.file.name, state, size, where)
    out = console()
    out.print(table)
    for data_set in data_sets:
        if data_set.stand_in:
            out.print(f"[dim]{escape(data_set.title)}: {escape(data_set.stand_in)}.[/]", highlight=False)
    places = [str(place) for place in (files.environment_dir(), files.cache_dir()) if place]
    out.print(f"[dim]Looked for in {escape(', then '.join(places))}.[/]", highlight=False)
    return found


def _json(data_set: DataSet, entries: list[Entry]) -> dict[str, Any]:
    return {
        "id": data_set.id,
        "title": data_set.title,
        "digest": data_set.digest,
        "stand_in": data_set.stand_in,
        "files": [
            {
                "name": entry.file.name,
                "sha256": entry.file.sha256,
                "state": entry.state,
                "path": None if entry.path is None else str(entry.path),
                "bytes": entry.bytes,
                "message": entry.message,
                "addresses": files.addresses(data_set, entry.file),
            }
            for entry in entries
        ],
    }
