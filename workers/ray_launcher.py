"""Attempts as Ray tasks, on a local Ray of its own or on a cluster. The only file that imports Ray.

Ray gives processes and slots and nothing else: the queue stays in the database, which also decides what is
tried again (``max_retries=0``); results travel over HTTP, so a task returns one word. A process is kept for
the next attempt, with the torch it has loaded and the programs it has compiled; those that are free when the
dispatcher starts load it then.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray._raylet import (  # type: ignore[attr-defined] # missing in Ray's stubs
    AuthenticationTokenLoader,
    Config,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmarks.process import compile_cache
from workers import delivery, fate, logs, marked_logs, spool
from workers.orders import (
    ATTEMPTS_PER_PROCESS,
    FAILED,
    WITHHELD,
    Order,
    WorkerConfig,
    execute,
    worker_environment,
)
from workers.ports import Claim, Exit, NodeReport
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
replaced before; while it starts, this process ends with it."""
RESULT_SECONDS = 10.0  # a finished task's word is at hand; a node that dies now must not hang the dispatcher
PROBE_SECONDS = 30.0
ERROR_CHARACTERS = 4_000

WORKER_LOGS = "worker-*.err"
LOOKS_AT_LOG, LOG_PAUSE = 5, 0.2
"""How often the log of a process that died is looked into, and the seconds between."""
LOG_SECONDS = 5.0
"""In which the nodes of a cluster say whether they have it."""
NODE_ID = "ray.io/node-id"
"""The label by which tasks keep away from nodes."""
LOG_LIMITS = {"RAY_ROTATION_MAX_BYTES": "10000000", "RAY_ROTATION_BACKUP_COUNT": "1"}
"""Of each log file of a local Ray, which may run for months."""

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
    _set_up()
    order = Order.from_json(order_json)
    marked_logs.mark(order.attempt_id)
    ending = execute(order, node=_here())
    if ending == FAILED:
        os._exit(1)
    return ending


@ray.remote(max_calls=ATTEMPTS_PER_PROCESS, max_retries=0)
def _prepare(device: str, url: str) -> None:
    """Load in a Ray worker what its attempts will need, and deliver what dead ones of its host have left."""
    _set_up()
    warm_up(device)
    delivery.deliver(spool.default_folder(), url)


def _set_up() -> None:
    # A worker that is asked to end does so at once, as those of the other launcher do. Ray would raise
    # something wherever the computation is, and whoever catches it there takes it for the trial's own.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # On a cluster whoever started the node decided its environment; this much can still be set in a process.
    os.environ.update(compile_cache.environment(os.environ))
    logs.configure("worker")


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
        gpus_each: GPUs that an attempt takes where there are any; several with a part of one share it.
        resources: what else of a node an attempt takes, by the names that its Ray was started with.
        insecure_dev: accept a cluster without token authentication.
        clock: monotonic seconds.

    Raises:
        InsecureCluster: a client without a token was let in, or others can read the token.
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
        gpus_each: float = 1.0,
        resources: Mapping[str, float] | None = None,
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
        self._nodes: list[tuple[str, dict[str, Any]]] = []
        self._avoided: frozenset[str] = frozenset()
        self._gpus_each, self._others = gpus_each, dict(resources or {})
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
        try:
            count = sum(node.free for node in self.nodes() if node.name not in self._avoided)
            task = _prepare.options(name="warm-up", **self._slot())
            self._preparing = [task.remote(self._slot_device(), self._config.url) for _ in range(count)]
        except ray.exceptions.RayError as error:
            _log.warning("worker processes could not be prepared: %s", error)

    def preparing(self) -> int:
        """How many processes are still getting ready."""
        if self._preparing:
            _, self._preparing = ray.wait(self._preparing, num_returns=len(self._preparing), timeout=0)
        return len(self._preparing)

    def slots(self) -> int:
        """Attempts that the nodes which are not avoided can run together; counted anew every few seconds."""
        self._replace_dead()
        self._count()
        return sum(
            _fits(node["Resources"], self._needs) for name, node in self._nodes if name not in self._avoided
        )

    def nodes(self) -> Sequence[NodeReport]:
        """The nodes of the cluster that can run attempts, and what Ray says is free there."""
        self._replace_dead()
        self._count()
        available = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call] # untyped in Ray
        needs, device = self._needs, self._slot_device()
        found = []
        for name, node in self._nodes:
            if slots := _fits(node["Resources"], needs):
                free = _free(node["Resources"], available.get(node["NodeID"], {}), needs)
                found.append(NodeReport(name=name, device=device, slots=slots, free=free))
        return found

    def avoid(self, names: Collection[str]) -> None:
        """Let nothing begin on nodes of these names from now on."""
        self._avoided = frozenset(names)

    def side_by_side(self) -> bool:
        """Whether the lanes of an attempt run at the same time."""
        return self._slot_device() != "cpu"

    def submit(self, claim: Claim) -> None:
        """Submit the attempt as one Ray task that takes a slot; ``poll`` tells when that is not possible."""
        order = self._config.order(claim, self._slot_device())
        name = f"cohort-{claim.cohort_id}-a{claim.number}"
        task = _attempt.options(name=name, **self._slot())
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

    def _count(self) -> None:
        now = self._clock()
        if self._counted_at is None or now - self._counted_at >= CAPACITY_SECONDS:
            self._nodes = _named(ray.nodes())  # type: ignore[no-untyped-call] # untyped in Ray
            self._counted_at = now

    def _slot_device(self) -> str:
        self._count()  # so that the kind of slot is known
        return self._device or ("cuda" if self._has_gpus else "cpu")

    @property
    def _has_gpus(self) -> bool:
        return any(node["Resources"].get("GPU", 0) >= self._gpus_each for _, node in self._nodes)

    @property
    def _needs(self) -> dict[str, float]:
        """What of a node one attempt takes."""
        return {"CPU": 1, **({"GPU": self._gpus_each} if self._has_gpus else {}), **self._others}

    def _slot(self) -> dict[str, Any]:
        """Options of a task that takes a slot of a node that is not avoided."""
        self._count()
        gpus = self._gpus_each if self._has_gpus else 0
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "resources": self._others}
        if away := [node["NodeID"] for name, node in self._nodes if name in self._avoided]:
            options["label_selector"] = {NODE_ID: f"!in({', '.join(away)})"}
        return options

    def _start_local(self) -> None:
        _sweep_folders()
        self._folder = _Folder()
        _require_token_in(self._folder.path)
        # Ray waits half a minute for a raylet that died on its way, or ends this process some seconds later.
        with fate.shared_with(VITAL), _worker_environment():
            ray.init(
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                num_cpus=self._local_slots,
                num_gpus=self._local_gpus,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(self._folder.path / "ray"),
            )


def _named(nodes: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Ray's nodes that are alive, each with a name that is the same when it comes back: the one that it was
    started with, or that of its machine; with a part of its id where several have the same."""
    alive = [node for node in nodes if node["Alive"]]
    names = [
        node["NodeManagerHostname"] if node["NodeName"] == node["NodeManagerAddress"] else node["NodeName"]
        for node in alive
    ]
    return [
        (name if names.count(name) == 1 else f"{name}-{node['NodeID'][:8]}", node)
        for name, node in zip(names, alive, strict=True)
    ]


@functools.cache
def _here() -> str | None:
    """Name of the node of this worker process."""
    id = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call] # untyped in Ray
    return next((name for name, node in _named(nodes) if node["NodeID"] == id), None)


def _fits(has: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many attempts fit into all that a node has; none takes parts of two GPUs."""

    def times(name: str, each: float) -> int:
        if name == "GPU" and each < 1:
            return int(has.get(name, 0)) * _parts(1.0, each)
        return _parts(has.get(name, 0), each)

    return min(times(name, each) for name, each in needs.items())


def _free(has: Mapping[str, float], available: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many of them fit beside what is there, if that are attempts, too."""
    there = max(-_parts(available.get(name, 0) - has.get(name, 0), each) for name, each in needs.items())
    return max(0, _fits(has, needs) - there)


def _parts(amount: float, each: float) -> int:
    """How often ``each`` goes into ``amount``, rounded down; added up in ten-thousandths, as Ray does."""
    return round(1e4 * amount) // round(1e4 * each)


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
        _protect_token()
        return
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    _protect_token()
    AuthenticationTokenLoader.instance().reset_cache()  # of an earlier local Ray in this process


def _configure() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(HEAD_AWAY_SECONDS))
    Config.initialize("")  # Ray read its configuration when it was imported; this reads it again


def _protect_token() -> None:
    """See that only this user can read the file with the cluster's token: Ray before 2.60.1 makes it readable
    for everybody, and who has it runs code on the cluster.

    Raises:
        InsecureCluster: others can, and it is not this user's to mend.
    """
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if "RAY_AUTH_TOKEN" in os.environ or not path.is_file():
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return
    try:
        path.chmod(0o600)
    except OSError as error:
        raise InsecureCluster(
            f"others can read the cluster's token in {path} (mode {mode:04o}), and its mode cannot be "
            f"changed ({error.strerror}): give it the mode 0600, or pass --insecure-dev"
        ) from error
    _log.warning(
        "others could read the cluster's token in %s (mode %04o); now only its owner can", path, mode
    )


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """What the processes of a local Ray inherit; a runtime environment would end the prestart of workers."""
    before = dict(os.environ)
    added = worker_environment(before) | {name: before.get(name, limit) for name, limit in LOG_LIMITS.items()}
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
    if not insecure_dev:
        _protect_token()
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
        end = None if fault else _end_of_log(attempt_id) or _end_of_log_elsewhere(attempt_id)
        told = _describe(error) + (f"; its log ends:\n{end}" if end else "")
        return Exit(attempt_id=attempt_id, error=told, infrastructure=fault)
    return Exit(attempt_id=attempt_id, error=None)


def _end_of_log(attempt_id: int) -> str | None:
    """What the attempt's process wrote last, if it ran on this node.

    Ray passes it on through a pipe: a moment after the process has died the end may not be in the file yet.
    """
    node = ray._private.worker.global_worker.node
    if node is None:
        return None
    folder = Path(node.get_logs_dir_path())
    for _ in range(LOOKS_AT_LOG):
        if (end := marked_logs.tail(folder, WORKER_LOGS, attempt_id)) is not None:
            return end
        time.sleep(LOG_PAUSE)
    return None


@ray.remote(num_cpus=0, max_retries=0)
def _end_of_log_there(attempt_id: int) -> str | None:
    """The same on the node where this task runs."""
    return _end_of_log(attempt_id)


def _end_of_log_elsewhere(attempt_id: int) -> str | None:
    """The same of whichever other node has it and answers in time."""
    here = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call] # untyped in Ray
    others = [node["NodeID"] for node in nodes if node["Alive"] and node["NodeID"] != here]
    asked = [
        _end_of_log_there.options(scheduling_strategy=NodeAffinitySchedulingStrategy(id, soft=False)).remote(
            attempt_id
        )
        for id in others
    ]
    answered = ray.wait(asked, num_returns=len(asked), timeout=LOG_SECONDS)[0] if asked else []
    for answer in answered:
        with contextlib.suppress(ray.exceptions.RayError):
            end: str | None = ray.get(answer, timeout=RESULT_SECONDS)
            if end is not None:
                return end
    return None


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:ERROR_CHARACTERS]}"
