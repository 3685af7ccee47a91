"""``heunboard token create``, ``list``, ``revoke``, and ``heunboard audit``, on the database itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.output import AsJson, console, print_json
from service.settings import load_settings
from service.states import AuditOutcome, Scope

if TYPE_CHECKING:
    from sqlalchemy import Engine

MOST = 500
"""Entries that are listed."""

STYLES = {"done": "green", "refused": "red", "failed": "yellow"}

_app = typer.Typer(
    name="token",
    help="Make, list and revoke access tokens, in the database that HEUNBOARD_DATA_HOME or "
    "HEUNBOARD_DATABASE_URL names.\n\nFrom the first token on, everything needs one. Commands and the client "
    "take theirs from HEUNBOARD_TOKEN, or from the file that HEUNBOARD_TOKEN_FILE names.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app)
    app.command()(audit)


@_app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, to tell it from others.")],
    scope: Annotated[
        Scope,
        typer.Option(help="read: look; submit: also submit, and control own sweeps; admin: everything."),
    ] = Scope.SUBMIT,
    owner: Annotated[
        str | None,
        typer.Option(help="Whose sweeps it submits and controls.", show_default="as NAME"),
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="Days until it expires.", show_default="it does not")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A new file for the token, which its owner alone can read.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once; only a hash of it is kept.

    Examples:

      heunboard token create ada --scope admin

      heunboard token create ci --owner ada --days 90 --file ci.token
    """
    from service.access import tokens
    from service.resources import access

    descriptor = None if file is None else _new_file(file)
    engine = _database()
    first = not tokens.any_made(engine)
    made = tokens.create(engine, name=name, scope=scope, owner=owner, days=days)
    shown: dict[str, Any] = access.new(made).model_dump(mode="json")
    if descriptor is not None:
        with os.fdopen(descriptor, "w") as out:
            out.write(f"{made.secret}\n")
        shown |= {"secret": None, "file": str(file)}
    if as_json:
        print_json(shown)
    else:
        _tell(shown, first)


@_app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List tokens, newest first: whose, what they allow, until when, when they were used last.

    Examples:

    * heunboard token list
    * heunboard token list --json
    """
    from service.resources import access

    found = access.list_tokens(_database(), limit=MOST).model_dump(mode="json")["tokens"]
    if as_json:
        print_json({"tokens": found})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "owner", "scope", "created", "expires", "last used", ""):
        table.add_column(column)
    for one in found:
        moments = [_day(one[at]) for at in ("created_at", "expires_at", "last_used_at")]
        texts = (one["id"], escape(one["name"]), escape(one["owner"]), one["scope"])
        table.add_row(*texts, *moments, "[red]revoked[/]" if one["revoked_at"] else "")
    console().print(table if found else "There are no tokens: heunboard token create NAME --scope admin")


@_app.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `heunboard token list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a token from now on, and whoever signed in with it. A running server knows within 5 seconds.

    Examples:

    * heunboard token revoke 3f9a1c
    """
    from service.access import tokens
    from service.resources import access

    row = tokens.revoke(_database(), id)
    if as_json:
        print_json(access.shown(row).model_dump(mode="json"))
    else:
        typer.echo(f"token {row.public_id} ({row.name}) of {row.owner} is revoked")


def audit(
    outcome: Annotated[AuditOutcome | None, typer.Option(help="Only what ended so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and from where, and what was refused; from the database itself.

    Examples:

    * heunboard audit
    * heunboard audit --outcome refused --limit 200
    """
    from service.resources import access

    found = access.list_audit(_database(), limit=limit, outcome=outcome).model_dump(mode="json")["entries"]
    if as_json:
        print_json({"entries": found})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("when", "who", "from", "action", "subject", "outcome"):
        table.add_column(column)
    for one in found:
        ended = f"[{STYLES[one['outcome']]}]{one['outcome']}[/] {escape(one['detail'])}"
        texts = (one["at"][:19], one["who"], one["address"], one["action"], one["subject"])
        table.add_row(*map(escape, texts), ended)
    console().print(table if found else "Nothing was recorded yet.")


def _database() -> Engine:
    """The database of the settings, of this version, made if it is embedded and was not there."""
    from service.processes.children import keep_private
    from service.storage.engine import open_engine
    from service.storage.migrations import prepare

    settings = load_settings()
    keep_private(settings.data_home)
    engine = open_engine(settings.database)
    prepare(engine)
    return engine


def _new_file(file: Path) -> int:
    """A file that was not there, private from its first byte on."""
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise typer.BadParameter(
            f"cannot make {file}: {error.strerror}; name a file that is not there"
        ) from None


def _tell(shown: dict[str, Any], first: bool) -> None:
    """The token alone on standard output, so that it can be passed on; the rest beside it."""
    err = console(stderr=True)
    expires = f" until {_day(shown['expires_at'])}" if shown["expires_at"] else ""
    what = f"token {shown['id']} of {shown['owner']}, scope {shown['scope']}{expires}"
    if shown["secret"]:
        err.print(f"{escape(what)}. It is shown this once; keep it:", highlight=False)
        typer.echo(shown["secret"])
    else:
        err.print(f"{escape(what)} is in {escape(shown['file'])}", highlight=False)
    if first:
        err.print(
            "It is the first: from now on everything needs a token. Commands take theirs from "
            "HEUNBOARD_TOKEN or HEUNBOARD_TOKEN_FILE, pages from /sign-in.",
            highlight=False,
        )
    if first and shown["scope"] != "admin":
        err.print(
            "It is no administrator's: sweeps of others, and those from before, which belong to nobody, are "
            "steered with a token of scope admin: heunboard token create NAME --scope admin",
            highlight=False,
        )


def _day(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "–"
