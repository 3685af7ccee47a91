"""``heunboard up``, ``serve``, ``dispatch`` and ``db upgrade``, ``backup``, ``restore``."""

from __future__ import annotations

import ipaddress
import math
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.suites import reading
from service.cli.output import AsJson, console, print_json
from service.client import default_url
from service.errors import InvalidSettings
from service.settings import Settings, load_settings

GRACE_S = 10  # for requests under way when the web service is asked to end

Launcher = Literal["auto", "ray", "local"]

EndWithParent = Annotated[bool, typer.Option("--end-with-parent", hidden=True)]
Slots = Annotated[
    int | None, typer.Option(min=1, help="Cohorts computed at the same time; default one per CPU or GPU.")
]
LauncherOption = Annotated[Launcher, typer.Option(help="Where cohorts run; auto: Ray where it is installed.")]
Checkpoints = Annotated[
    str | None,
    typer.Option(
        help="Where checkpoints of running trials lie, as the workers reach it: a directory, an address that "
        "fsspec knows (s3://bucket/folder), or off.",
        show_default="HEUNBOARD_CHECKPOINTS, or a folder of the data directory",
    ),
]
InsecureDev = Annotated[
    bool,
    typer.Option(
        "--insecure-dev", help="Allow what is safe only behind a trusted network, such as no access tokens."
    ),
]

database = typer.Typer(name="db", help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(serve)
    app.command()(dispatch)
    app.add_typer(database)


def up(
    data: Annotated[
        Path | None, typer.Option(help="Data directory.", show_default="HEUNBOARD_DATA_HOME")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8000,
    launcher: LauncherOption = "auto",
    slots: Slots = None,
    checkpoints: Checkpoints = None,
    as_json: AsJson = False,
) -> None:
    """Start everything on this machine: pages, API, dispatcher and a local Ray. Ctrl-C ends it.

    Examples:

    * heunboard up
    * heunboard up --port 0 --slots 2 --launcher local
    * heunboard up --data ~/results --checkpoints off
    """
    from service.processes.children import keep_private
    from service.processes.up import Tell, UpOptions
    from service.processes.up import up as run

    settings = _settings(checkpoints, **({} if data is None else {"data_home": data.absolute()}))
    keep_private(settings.data_home)
    err = Console(stderr=True, soft_wrap=True)

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "data_home": str(settings.data_home), "pid": os.getpid()})
        else:
            _greet(url, settings.data_home)

    def workers_ready() -> None:
        if as_json:
            print_json({"workers": "ready"})
        else:
            console().print("[dim]The workers are ready.[/]")

    def notify(line: str) -> None:
        err.print(f"[bold yellow]warning[/] {escape(line)}", highlight=False)

    def ending() -> None:
        if not as_json:
            console().print("[dim]Ending: what runs keeps its last checkpoint, some seconds.[/]")

    _warn_of_missing_suites()
    tell = Tell(ready=ready, workers_ready=workers_ready, warning=notify, ending=ending)
    run(settings, UpOptions(port=port, launcher=launcher, slots=slots), tell)
    if not as_json:
        console().print("Heunboard has ended; its data stay.")


def _warn_of_missing_suites() -> None:
    """Name folders of suites that do not exist: what is misspelt there would only be missing from lists."""
    for folder in reading.missing():
        text = f"[bold yellow]warning[/] {reading.FOLDERS} names {escape(folder)}, which is no folder"
        Console(stderr=True, soft_wrap=True).print(text, highlight=False)


def _greet(url: str, data_home: Path) -> None:
    address = "" if default_url() == url else f" --url {url}"
    out = Console(soft_wrap=True)
    out.print(f"Heunboard is up: [bold]{url}[/]   (Ctrl-C ends it)", highlight=False)
    out.print(f"[dim]Data and logs are in {data_home}[/]", highlight=False)
    out.print(f"[dim]Next, in another terminal: heunboard submit FILE --wait{address}[/]", highlight=False)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    insecure_dev: InsecureDev = False,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    end_with_parent: EndWithParent = False,
) -> None:
    """Run the web service: REST API, pages and the reports of workers.

    Examples:

    * heunboard serve
    * heunboard serve --host 0.0.0.0 --port 8080
    """
    from service.app import create_app
    from service.processes.agreement import tell_broken_plugins
    from service.processes.children import collect_garbage_rarely, keep_private, take_turns_quickly
    from service.processes.children import end_with_parent as follow
    from service.processes.up import listen
    from service.processes.web import WebServer, server_config
    from service.resources import certificates, keeping, measurements
    from service.storage.engine import open_engine
    from service.storage.migrations import prepare
    from workers.logs import configure

    settings = load_settings()
    configure("web", form=settings.log_format)
    _require_loopback(host, insecure_dev, settings)
    _warn_of_missing_suites()
    keep_private(settings.data_home)
    for folder in (certificates.FOLDER, measurements.FOLDER):
        keeping.remove_leftovers(settings.data_home / folder)
    listener = listen(host, port) if fd is None else socket.socket(fileno=fd)
    engine = open_engine(settings.database)
    prepare(engine)
    if end_with_parent:
        follow()
    app = create_app(settings, engine)
    config = server_config(
        app,
        log_config=None,  # as all processes log
        log_level="info",
        timeout_graceful_shutdown=GRACE_S,
    )
    tell_broken_plugins()
    collect_garbage_rarely()
    take_turns_quickly()
    typer.echo(f"listening on http://{host}:{listener.getsockname()[1]}")
    server = WebServer(
        config,
        draining=app.state.leaving.set,
        drain_seconds=settings.drain_seconds,
        ending=app.state.hub.close,
    )
    server.run(sockets=[listener])


def dispatch(
    worker_url: Annotated[str, typer.Option(help="Address of the web service as the workers reach it.")],
    launcher: LauncherOption = "auto",
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster; auto for the one of this machine; default a local Ray.")
    ] = None,
    slots: Slots = None,
    checkpoints: Checkpoints = None,
    gpus_each: Annotated[
        float, typer.Option(min=0.01, help="GPUs that a cohort takes on Ray: 0.5 puts two on each.")
    ] = 1.0,
    resource: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AMOUNT", help="What else of a Ray node a cohort takes; may be repeated."),
    ] = None,
    insecure_dev: InsecureDev = False,
    owner: Annotated[
        str | None,
        typer.Option(
            help="Name of this dispatcher, which takes over what one of the same name has left; no two that "
            "run may share one. Default: a name of its own."
        ),
    ] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    end_with_parent: EndWithParent = False,
) -> None:
    """Run the dispatcher: plan queued trials into cohorts and launch them.

    Examples:

    * heunboard dispatch --worker-url http://web:8000 --launcher ray --ray-address auto
    * heunboard dispatch --worker-url http://127.0.0.1:8000 --launcher local --slots 4
    """
    from service.processes.children import STOP_LIMIT_S, keep_private
    from service.processes.children import end_with_parent as follow
    from service.processes.dispatch import DispatchOptions, name_of_its_own
    from service.processes.dispatch import dispatch as run
    from service.processes.reattaching import keep_running
    from workers.logs import configure

    if ray_address is not None and not end_with_parent:
        named = [] if owner else ["--owner", name_of_its_own()]
        limit = STOP_LIMIT_S + load_settings().stop_seconds
        again = [*sys.argv[1:], *named]
        raise typer.Exit(keep_running(again, lambda line: typer.echo(line, err=True), stop_limit=limit))
    if end_with_parent:
        follow()
    options = DispatchOptions(
        worker_url=worker_url,
        launcher=launcher,
        ray_address=ray_address,
        slots=slots,
        gpus_each=_share(gpus_each),
        resources=dict(_amount(text) for text in resource or ()),
        data_dir=os.environ.get("HEUNBOARD_DATA_DIR") or None,
        insecure_dev=insecure_dev,
        owner=owner,
        ready_fd=ready_fd,
    )
    settings = _settings(checkpoints)
    configure("dispatcher", form=settings.log_format)
    keep_private(settings.data_home)
    run(settings, options)


@database.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the database to the version of this program.

    Examples:

    * heunboard db upgrade
    * HEUNBOARD_DATABASE_URL=postgresql://db/heunboard heunboard db upgrade --json
    """
    from service.processes.children import keep_private
    from service.storage.engine import open_engine
    from service.storage.migrations import current
    from service.storage.migrations import upgrade as apply

    settings = load_settings()
    keep_private(settings.data_home)
    engine = open_engine(settings.database)
    before = current(engine)
    apply(engine)
    after = current(engine)
    shown = engine.url.render_as_string(hide_password=True)
    if as_json:
        print_json({"database": shown, "before": before, "after": after})
    elif before == after:
        typer.echo(f"{shown} is up to date (revision {after})")
    else:
        typer.echo(f"{shown}: upgraded from {before or 'an empty database'} to revision {after}")


@database.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file; its owner alone can read it.")],
    as_json: AsJson = False,
) -> None:
    """Copy the whole database into a file, while it is in use.

    Examples:

    * heunboard db backup monday.backup
    """
    from service.storage.backup import backup as copy
    from service.storage.engine import open_engine
    from service.storage.migrations import require_current

    engine = open_engine(load_settings().database)
    require_current(engine)
    copy(engine, file)
    shown, size = engine.url.render_as_string(hide_password=True), file.stat().st_size
    if as_json:
        print_json({"database": shown, "file": str(file), "bytes": size})
    else:
        typer.echo(f"{shown} is in {file} ({size / 1e6:,.1f} MB)")


@database.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `heunboard db backup` wrote.")], as_json: AsJson = False
) -> None:
    """Fill an empty database from a copy; one of an earlier version is upgraded.

    Published certificates, measurements and checkpoints are files of the data directory: copy them, too.

    Examples:

    * heunboard db restore monday.backup
    """
    from service.processes.children import keep_private
    from service.storage.backup import restore as fill
    from service.storage.engine import open_engine
    from service.storage.migrations import current
    from service.storage.migrations import upgrade as apply

    settings = load_settings()
    keep_private(settings.data_home)
    engine = open_engine(settings.database)
    before = fill(engine, file)
    apply(engine)
    shown = engine.url.render_as_string(hide_password=True)
    if as_json:
        print_json({"database": shown, "file": str(file), "before": before, "after": current(engine)})
    else:
        typer.echo(f"{shown} was made from {file} (revision {before}, now {current(engine)})")


def _settings(checkpoints: str | None, **others: Path) -> Settings:
    """The settings of the environment, but for what options say."""
    return load_settings(**others, **({} if checkpoints is None else {"checkpoints": checkpoints}))


def _share(gpus: float) -> float:
    """A part of one GPU, or several whole ones: Ray gives nothing else."""
    if gpus > 1 and gpus != int(gpus):
        raise typer.BadParameter(f"--gpus-each is {gpus:g}; from 1 on it is a whole number")
    return gpus


def _amount(text: str) -> tuple[str, float]:
    """A resource and how much of it, from ``NAME=AMOUNT``."""
    name, _, amount = text.partition("=")
    try:
        each = float(amount)
    except ValueError:
        each = math.nan
    if not name or not 0 < each < math.inf:
        raise typer.BadParameter(f"--resource is {text!r}; write NAME=AMOUNT, as in big_memory=1")
    return name, each


def _require_loopback(host: str, insecure_dev: bool, settings: Settings) -> None:
    """Without access tokens, whoever reaches the port can do everything.

    Raises:
        InvalidSettings: ``host`` is not this machine alone, nobody is told apart, and ``insecure_dev`` is not
            set.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback or insecure_dev or settings.auth == "required" or _has_tokens(settings):
        return
    raise InvalidSettings(
        f"refusing to listen on {host}: there are no access tokens, so whoever reaches the port could submit "
        "work. Make the first with `heunboard token create NAME --scope admin`, or set "
        "HEUNBOARD_AUTH=required and make it later; or listen on 127.0.0.1. --insecure-dev does without, if "
        "the network in front of it is trusted"
    )


def _has_tokens(settings: Settings) -> bool:
    """Whether a token was made, in a database that may not be there yet; nothing is made or upgraded."""
    from sqlalchemy.engine import make_url

    from service.access import tokens
    from service.storage.engine import open_engine

    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return False
    engine = open_engine(settings.database)
    try:
        return tokens.any_made(engine)
    finally:
        engine.dispose()
