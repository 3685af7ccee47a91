"""Attempts as Ray tasks, on a local Ray of its own or on a cluster. The only file that imports Ray.

Ray gives processes and slots and nothing else: the queue stays in the database, which also decides what is
tried again (``max_retries=0``); results travel over HTTP, so a task returns one word. A process is kept for
the next attempt, with the torch it has loaded and the programs it has compiled; those that are free when the
dispatcher starts load it then.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ray
import ray.exceptions
from ray._raylet import (  # type: ignore[attr-defined] # missing in Ray's stubs
    AuthenticationTokenLoader,
    Config,
)

from benchmarks.process import compile_cache
from workers import delivery, spool
from workers.orders import (
    ATTEMPTS_PER_PROCESS,
    FAILED,
    WITHHELD,
    Order,
    WorkerConfig,
    execute,
    worker_environment,
)
from workers.ports import Claim, Exit
from workers.warming import warm_up

_log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 80_000_000  # about Ray's minimum; nothing big travels through it
CAPACITY_SECONDS = 5.0  # nodes come and go; how long a count of the slots is believed
FOLDERS, PREFIX = "/tmp", "hb-"
"""Of local Rays. Short, whatever TMPDIR is: Unix sockets lie there, whose names are limited to 107 bytes."""
VITAL = frozenset({"gcs_server", "raylet"})
"""Processes without which a local Ray does nothing."""
INFRASTRUCTURE = (
    ray.exceptions.NodeDiedError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.ObjectLostError,  # among them: the owner died
    ray.exceptions.RaySystemError,
    ray.exceptions.RpcError,
    ray.exceptions.RuntimeEnvSetupError,
    ray.exceptions.TaskUnschedulableError,
    ray.exceptions.GetTimeoutError,
)
"""What Ray says of an attempt that its own process did not end. ``WorkerCrashedError`` is not among them: a
process may well die of what it computes."""
HEAD_AWAY_SECONDS = 10
"""For which Ray's head may be away before Ray ends this process, by default a minute. Its attempts are lost
with it; whoever keeps it running starts another, which attaches to the head that comes back. A local Ray's is
replaced before, unless it dies while Ray waits for it."""
RESULT_SECONDS = 10.0  # a finished task's word is at hand; a node that dies now must not hang the dispatcher
PROBE_SECONDS = 30.0
ERROR_CHARACTERS = 4_000

# A client that offers no token. Exit status 0: the cluster let it in.
PROBE = (
    "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).check_alive([], timeout=5)"
)


class InsecureCluster(Exception):
    """The Ray cluster runs whatever anybody who reaches it sends."""


@ray.remote(max_calls=ATTEMPTS_PER_PROCESS, max_retries=0)
def _attempt(order_json: str) -> str:
    """Carry out one order in a Ray worker.

    After an error the process retires: a CUDA context may be broken or memory held, and later attempts in it
    would fail for a reason that is not their own. The failure itself is already reported.
    """
    _set_environment()
    ending = execute(Order.from_json(order_json))
    if ending == FAILED:
        os._exit(1)
    return ending


@ray.remote(max_calls=ATTEMPTS_PER_PROCESS, max_retries=0)
def _prepare(device: str, url: str) -> None:
    """Load in a Ray worker what its attempts will need, and deliver what dead ones of its host have left."""
    _set_environment()
    warm_up(device)
    delivery.deliver(spool.default_folder(), url)


def _set_environment() -> None:
    # On a cluster whoever started the node decided its environment; this much can still be set in a process.
    os.environ.update(compile_cache.environment(os.environ))


class RayLauncher:
    """Implements :class:`workers.ports.Launcher` on Ray; one per process, which is the Ray driver.

    Ray keeps its state in the process and reads its configuration from environment variables, so making a
    launcher sets ``RAY_USAGE_STATS_ENABLED``, and for a local Ray ``RAY_AUTH_MODE`` and a token.

    A local Ray whose head or only node has died is replaced: the driver would wait for its head for a minute
    and then be ended, and tasks would go to a node that is no more.

    Args:
        config: what the workers need to know.
        address: of a cluster, or ``auto`` for the one this machine belongs to; ``None`` starts a local Ray.
        slots: processes of a local Ray on a machine without a GPU; default: one per CPU.
        device: torch device of the workers; ``None``: ``cuda`` where the cluster has GPUs, else ``cpu``.
        gpus: GPUs of a local Ray; ``None``: those that Ray finds.
        insecure_dev: accept a cluster without token authentication.
        clock: monotonic seconds.

    Raises:
        InsecureCluster: a client without a token was let in.
        ConnectionError: there is no cluster at ``address``.
    """

    def __init__(
        self,
        config: WorkerConfig,
        *,
        address: str | None = None,
        slots: int | None = None,
        device: str | None = None,
        gpus: int | None = None,
        insecure_dev: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._device = device
        self._clock = clock
        self._running: dict[int, ray.ObjectRef[str]] = {}
        self._lost: list[Exit] = []
        self._preparing: list[ray.ObjectRef[None]] = []
        self._counted_at: float | None = None
        self._resources: dict[str, float] = {}
        self._folder: _Folder | None = None
        self._local_slots, self._local_gpus = slots or len(os.sched_getaffinity(0)), gpus
        if address is None:
            self._start_local()
        else:
            _connect(address, insecure_dev)

    def prepare(self) -> None:
        """Have a process of every free slot load torch.

        It holds the slot meanwhile: an attempt that waits for it would have to load the same. Slots that
        others use and nodes that join later are left out, so that no cluster grows for this.
        """
        self.slots()  # so that the kind of slot is known
        try:
            free = ray.available_resources()  # type: ignore[no-untyped-call] # untyped in Ray
            count = int(free.get("GPU" if self._has_gpus else "CPU", 0))
            task = _prepare.options(name="warm-up", **self._slot)
            self._preparing = [task.remote(self._slot_device(), self._config.url) for _ in range(count)]
        except ray.exceptions.RayError as error:
            _log.warning("worker processes could not be prepared: %s", error)

    def preparing(self) -> int:
        """How many processes are still getting ready."""
        if self._preparing:
            _, self._preparing = ray.wait(self._preparing, num_returns=len(self._preparing), timeout=0)
        return len(self._preparing)

    def slots(self) -> int:
        """GPUs of the cluster, or its CPUs when it has none; counted anew every few seconds."""
        self._replace_dead()
        now = self._clock()
        if self._counted_at is None or now - self._counted_at >= CAPACITY_SECONDS:
            self._resources = dict(ray.cluster_resources())  # type: ignore[no-untyped-call] # untyped in Ray
            self._counted_at = now
        return int(self._resources.get("GPU" if self._has_gpus else "CPU", 0))

    def side_by_side(self) -> bool:
        """Whether the lanes of an attempt run at the same time."""
        return self._slot_device() != "cpu"

    def submit(self, claim: Claim) -> None:
        """Submit the attempt as one Ray task that takes a slot; ``poll`` tells when that is not possible."""
        order = self._config.order(claim, self._slot_device())
        name = f"cohort-{claim.cohort_id}-a{claim.number}"
        task = _attempt.options(name=name, **self._slot)
        try:
            self._running[claim.attempt_id] = task.remote(order.to_json())
        except ray.exceptions.RayError as error:
            self._lose(claim.attempt_id, _describe(error))

    def poll(self, timeout: float) -> Sequence[Exit]:
        """Attempts that ended since the last call; waits up to ``timeout`` seconds for the first."""
        self._replace_dead()
        if self._lost or not self._running:
            lost, self._lost = self._lost, []
            return lost
        attempts = {ref: attempt_id for attempt_id, ref in self._running.items()}
        ready, rest = ray.wait(list(attempts), num_returns=1, timeout=timeout)
        if ready and rest:
            ready += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        for ref in ready:
            del self._running[attempts[ref]]
        return [_exit(attempts[ref], ref) for ref in ready]

    def kill(self, attempt_id: int) -> None:
        """End the attempt's process without asking it; ``poll`` reports its end."""
        if (ref := self._running.get(attempt_id)) is not None:
            ray.cancel(ref, force=True)

    def close(self) -> None:
        """End all attempts and leave Ray; a local Ray ends with it."""
        for attempt_id in self._running:
            self.kill(attempt_id)
        self._running.clear()
        self._leave()

    def _leave(self) -> None:
        ray.shutdown()
        if self._folder is not None:
            self._folder.remove()

    def _lose(self, attempt_id: int, reason: str) -> None:
        self._running.pop(attempt_id, None)
        self._lost.append(Exit(attempt_id=attempt_id, error=reason, infrastructure=True))

    def _replace_dead(self) -> None:
        """Start the local Ray again when one of its vital processes has ended; its attempts are lost."""
        if self._folder is None or not (dead := _dead_processes()):
            return
        reason = f"the local Ray is replaced: its {' and '.join(dead)} died"
        _log.error("%s", reason)
        for attempt_id in list(self._running):
            self._lose(attempt_id, reason)
        self._preparing.clear()
        self._leave()
        self._start_local()
        self._counted_at = None
        self.prepare()

    def _slot_device(self) -> str:
        self.slots()  # so that the kind of slot is known
        return self._device or ("cuda" if self._has_gpus else "cpu")

    @property
    def _has_gpus(self) -> bool:
        return self._resources.get("GPU", 0) >= 1

    @property
    def _slot(self) -> dict[str, int]:
        """What of a node one attempt takes."""
        return {"num_cpus": 1, "num_gpus": 1 if self._has_gpus else 0}

    def _start_local(self) -> None:
        _sweep_folders()
        self._folder = _Folder()
        _require_token_in(self._folder.path)
        with _worker_environment():
            ray.init(
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                num_cpus=self._local_slots,
                num_gpus=self._local_gpus,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(self._folder.path / "ray"),
            )


class _Folder:
    """A local Ray's folder, with a lock that the system releases however this process ends."""

    def __init__(self) -> None:
        made = Path(tempfile.mkdtemp(prefix="hb.", dir=FOLDERS))
        self._lock = (made / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Under this name only now: who sweeps never sees it without its lock.
        self.path = made.rename(made.with_name(made.name.replace("hb.", PREFIX, 1)))

    def remove(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _sweep_folders() -> None:
    """Remove the folders of this user's local Rays whose dispatcher was killed."""
    for lock in Path(FOLDERS).glob(f"{PREFIX}*/lock"):
        # What fails is another user's, or of a dispatcher that runs.
        with contextlib.suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _require_token_in(folder: Path) -> None:
    """Give a local Ray a fresh token in a file that only this user can read, unless one is set."""
    os.environ["RAY_AUTH_MODE"] = "token"
    _configure()
    if "RAY_AUTH_TOKEN" in os.environ or Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "/nowhere")).is_file():
        return
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    AuthenticationTokenLoader.instance().reset_cache()  # of an earlier local Ray in this process


def _configure() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(HEAD_AWAY_SECONDS))
    Config.initialize("")  # Ray read its configuration when it was imported; this reads it again


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """What the processes of a local Ray inherit; a runtime environment would end the prestart of workers."""
    before = dict(os.environ)
    added = worker_environment(before)
    os.environ.update(added)
    for name in WITHHELD & os.environ.keys():
        del os.environ[name]
    try:
        yield
    finally:
        for name in WITHHELD | added.keys():
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _connect(address: str, insecure_dev: bool) -> None:
    _configure()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    gcs = ray.get_runtime_context().gcs_address
    if not insecure_dev and _admits_strangers(gcs):
        ray.shutdown()
        raise InsecureCluster(
            f"the Ray cluster at {gcs} accepts clients without a token, so anybody who reaches it can "
            "run code on it. Set RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN_PATH for every Ray process "
            "and for this one, or pass --insecure-dev on a machine that nobody else can reach"
        )


def _admits_strangers(gcs_address: str) -> bool:
    """Whether the cluster answers a client that has no token.

    Asked from another process, because Ray reads its authentication settings once per process.
    """
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    result = subprocess.run(
        [sys.executable, "-c", PROBE, gcs_address],
        env=stranger | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PROBE_SECONDS,
    )
    return result.returncode == 0 or "AuthenticationError" not in result.stderr


def _dead_processes() -> list[str]:
    """Vital processes of the local Ray that have ended."""
    node = ray._private.worker.global_worker.node
    return sorted(VITAL & {kind for kind, _ in node.dead_processes()}) if node is not None else []


def _exit(attempt_id: int, ref: ray.ObjectRef[str]) -> Exit:
    """How a finished task ended."""
    try:
        ray.get(ref, timeout=RESULT_SECONDS)
    except ray.exceptions.RayError as error:
        fault = isinstance(error, INFRASTRUCTURE)
        return Exit(attempt_id=attempt_id, error=_describe(error), infrastructure=fault)
    return Exit(attempt_id=attempt_id, error=None)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:ERROR_CHARACTERS]}"
