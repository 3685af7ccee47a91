"""The commands, and how their errors end the process: see :mod:`service.exit_status`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.sweep import Issue, SpecError
from estimators.registry import PluginError
from service.cli import (
    attempts,
    boards,
    certify,
    comparisons,
    controls,
    data,
    doctor,
    lists,
    nodes,
    servers,
    suite_files,
    suites,
    sweeps,
    tokens,
)
from service.client import ApiError, ClientError, InvalidAddress
from service.errors import HeunboardError, InvalidSettings
from service.exit_status import ExitStatus, in_words
from workers.version import package_version

app = typer.Typer(
    name="heunboard",
    help="Compare gradient estimators for discrete latent variables.",
    epilog=f"Exit status: {in_words()}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heunboard {package_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """What may stand before a command."""


servers.register(app)
sweeps.register(app)
controls.register(app)
nodes.register(app)
attempts.register(app)
suites.register(app)
suite_files.register(app)
boards.register(app)
lists.register(app)
comparisons.register(app)
certify.register(app)
data.register(app)
doctor.register(app)
tokens.register(app)


def main() -> None:
    """Run the command line; errors that a user can mend are printed without a traceback.

    Ctrl-C is turned into the status 130 by typer.
    """
    try:
        app()
    except SpecError as error:
        _end(ExitStatus.WRONG_INPUT, [str(issue) for issue in error.issues])
    except ApiError as error:
        places = [Issue(one.pointer, one.message, one.suggestion) for one in error.problem.errors]
        wrong_input = error.status in (400, 404, 413, 422)
        _end(
            ExitStatus.WRONG_INPUT if wrong_input else ExitStatus.FAILED,
            [str(place) for place in places] or [str(error)],
        )
    except (InvalidSettings, InvalidAddress, PluginError) as error:
        _end(ExitStatus.WRONG_INPUT, [str(error)])
    except (HeunboardError, ClientError) as error:
        _end(ExitStatus.FAILED, [str(error)])


def _end(status: ExitStatus, lines: list[str]) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for line in lines:
        console.print(f"[bold red]error[/] {escape(line)}", highlight=False)
    sys.exit(status)
