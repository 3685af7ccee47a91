"""Wiring of ``heunboard dispatch``: queue + launcher + dispatcher, until a signal stops the process."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from service.errors import InvalidSettings
from service.processes.agreement import require_server, tell_broken_plugins
from service.processes.children import stop_on_signals
from service.settings import Settings
from workers import delivery, spool
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.leftovers import remove_leftovers
from workers.orders import WorkerConfig
from workers.ports import CheckpointRecords, Launcher

if TYPE_CHECKING:
    from service.queue.cohorts import Queue

DELIVERY_SECONDS = 5.0
"""For which a new dispatcher waits for the server, if a dead worker has left something for it."""

LauncherName = Literal["auto", "ray", "local"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchOptions:
    """Options of ``heunboard dispatch``.

    Attributes:
        worker_url: address of the web service as the workers reach it.
        launcher: ``ray``, ``local`` (subprocesses), or ``auto``: Ray where it is installed.
        ray_address: a cluster, or ``auto`` for the one this machine belongs to; ``None`` starts a local Ray.
        slots: attempts at the same time on this machine; ``None``: one per CPU (or per GPU).
        device: torch device of the workers; ``None``: ``cuda`` where Ray has GPUs, else ``cpu``.
        gpus_each: GPUs that an attempt takes on Ray, where there are any.
        resources: what else of a node an attempt takes on Ray.
        data_dir: where data sets lie on the workers; ``None`` for the default there.
        insecure_dev: accept a Ray cluster without token authentication.
        owner: name of this dispatcher: it takes over what one of the same name has left, so no two that run
            may share one; ``None``: a name of its own.
        ready_fd: an open file that is told when the workers' processes are ready, by a line.
    """

    worker_url: str
    launcher: LauncherName = "auto"
    ray_address: str | None = None
    slots: int | None = None
    device: str | None = None
    gpus_each: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict)
    data_dir: str | None = None
    insecure_dev: bool = False
    owner: str | None = None
    ready_fd: int | None = None


def dispatch(settings: Settings, options: DispatchOptions) -> None:
    """Run the dispatcher until SIGINT or SIGTERM; then its attempts stop, with a last checkpoint.

    Call it in the main thread of the process: only there signals can be received.

    Raises:
        InvalidSettings: the launcher is not installed, nothing that is can open the store of checkpoints, or
            the server is of a version that does not go with this one.
        DatabaseOutOfDate: a server's database is of another version.
    """
    tell_broken_plugins()
    require_server(options.worker_url)
    owner = options.owner or name_of_its_own()
    rules = DispatcherSettings(
        owner=owner,
        max_lanes=settings.max_lanes,
        lease_seconds=settings.lease_seconds,
        stop_seconds=settings.stop_seconds,
    )
    stop = threading.Event()
    courier = delivery.Courier(options.worker_url, spool.default_folder())
    with stop_on_signals(stop), contextlib.closing(build_launcher(settings, options)) as launcher:
        launcher.prepare()  # first: it takes longest, and goes on by itself
        remove_leftovers(_logs(settings))
        with stop_on_signals(stop), contextlib.closing(courier):  # again: Ray has put a handler in place
            queue = _open_queue(settings)
            _sweep_checkpoints(settings, queue, stop)
            # Before it takes over: what is given up then can tell nothing any more.
            delivery.deliver(spool.default_folder(), options.worker_url, patience=DELIVERY_SECONDS)
            courier.start()
            told = _teller(options.ready_fd)
            Dispatcher(queue, launcher, rules, courier=courier, on_ready=told).run(stop)


def name_of_its_own() -> str:
    """A dispatcher's name that no other has."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"


def build_launcher(settings: Settings, options: DispatchOptions) -> Launcher:
    """The launcher that the options ask for; Ray is imported only for Ray's.

    Raises:
        InvalidSettings: Ray was asked for and is not installed, or its cluster lets anybody in.
    """
    config = WorkerConfig(
        url=options.worker_url,
        data_dir=options.data_dir,
        checkpoints=settings.checkpoint_store,
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    if _use_ray(options):
        return _build_ray_launcher(config, options)
    from workers.local_launcher import LocalLauncher

    return LocalLauncher(
        config,
        slots=options.slots or os.cpu_count() or 1,
        log_dir=_logs(settings),
        device=options.device or "cpu",
    )


def _build_ray_launcher(config: WorkerConfig, options: DispatchOptions) -> Launcher:
    # An extra, and half a second of imports.
    from workers.ray_launcher import InsecureCluster, RayLauncher

    try:
        return RayLauncher(
            config,
            address=options.ray_address,
            slots=options.slots,
            device=options.device,
            gpus_each=options.gpus_each,
            resources=options.resources,
            insecure_dev=options.insecure_dev,
        )
    except InsecureCluster as error:
        raise InvalidSettings(str(error)) from None


def _logs(settings: Settings) -> Path:
    return settings.data_home / "attempts"


def _teller(fd: int | None) -> Callable[[], None]:
    """Writes a line to the open file, if there is one, and closes it."""

    def tell() -> None:
        if fd is not None:
            with open(fd, "wb") as file:
                file.write(b"ready\n")

    return tell


def _sweep_checkpoints(settings: Settings, records: CheckpointRecords, stop: threading.Event) -> None:
    """Have a thread remove checkpoints that nobody needs, until ``stop`` is set."""
    from workers.checkpoint_store import FsspecStore, NoStore  # as above
    from workers.sweeping import keep_swept

    if settings.checkpoint_store is None:
        return
    try:
        store = FsspecStore(settings.checkpoint_store)
    except NoStore as error:
        raise InvalidSettings(f"{error}; name another place with --checkpoints, or switch them off") from None
    threading.Thread(target=keep_swept, args=(store, records, stop), name="sweep", daemon=True).start()


def _open_queue(settings: Settings) -> Queue:
    # Here, so that the launcher need not wait for these imports.
    from service.queue.cohorts import Queue
    from service.queue.reports import QueueRules
    from service.storage.engine import open_engine
    from service.storage.migrations import prepare

    engine = open_engine(settings.database)
    prepare(engine)
    return Queue(engine, rules=QueueRules.of(settings))


def _use_ray(options: DispatchOptions) -> bool:
    installed = importlib.util.find_spec("ray") is not None
    if options.launcher == "ray" and not installed:
        raise InvalidSettings("the Ray launcher needs Ray: pip install 'heunboard[ray]', or --launcher local")
    return options.launcher == "ray" or (options.launcher == "auto" and installed)
