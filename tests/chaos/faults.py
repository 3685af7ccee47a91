"""What can go wrong, one kind after the other; each comes back when the fault itself is over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.storage.engine import write
from tests.chaos.arena import Arena, freeze, kill, terminate, thaw
from tests.support.processes import until

BEYOND_A_LEASE_SECONDS = 8.0
"""Leases that ran out are looked for every five seconds; then somebody else has the cohort."""
WAKES_LATER_SECONDS = 4.0
HOUR = 3600.0


Strike = Callable[[Arena, random.Random], None]
"""Makes a fault happen; the random numbers choose among victims and lengths."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: for the report.
        strike: see :data:`Strike`.
        launcher: the launcher that it needs.
        backend: the kind of database that it needs.
    """

    name: str
    strike: Strike
    launcher: str | None = None
    backend: str | None = None

    def fits(self, arena: Arena) -> bool:
        """Whether it can happen there."""
        backend = "sqlite" if arena.server is None else "postgresql"
        return self.launcher in (None, *arena.rules.launchers) and self.backend in (None, backend)


def _kill_worker(launcher: str) -> Strike:
    def strike(arena: Arena, chance: random.Random) -> None:
        kill([chance.choice(until(lambda: arena.workers(launcher), f"a worker of {launcher}"))])

    return strike


def _end_worker(launcher: str) -> Strike:
    """As Ray does with the workers of a dispatcher that is gone, and a machine that is shut down with all."""

    def strike(arena: Arena, chance: random.Random) -> None:
        terminate(chance.choice(until(lambda: arena.workers(launcher), f"a worker of {launcher}")))

    return strike


def _freeze_worker(launcher: str) -> Strike:
    def strike(arena: Arena, chance: random.Random) -> None:
        worker = chance.choice(until(lambda: arena.workers(launcher), f"a worker of {launcher}"))
        _frozen(arena, [worker])

    return strike


def _kill_part(name: str) -> Strike:
    def strike(arena: Arena, _chance: random.Random) -> None:
        kill(until(lambda: arena.part(name), name))

    return strike


def _kill_service(name: str) -> Strike:
    return lambda arena, _chance: kill([arena.pid(name)])


def _freeze_web(arena: Arena, _chance: random.Random) -> None:
    _frozen(arena, [arena.pid("web")])


def _freeze_node(launcher: str) -> Strike:
    """The machine of a dispatcher stands still while others take what it had; then it wakes up.

    The dispatcher wakes last: it would end its workers before they have reported.
    """

    def strike(arena: Arena, _chance: random.Random) -> None:
        dispatcher, *others = arena.node(launcher)
        freeze([dispatcher])
        try:
            _frozen(arena, others)
            time.sleep(WAKES_LATER_SECONDS)  # the fault itself
        finally:
            thaw([dispatcher])

    return strike


def _frozen(arena: Arena, pids: Sequence[int]) -> None:
    freeze(pids)
    try:
        time.sleep(arena.rules.lease_seconds + BEYOND_A_LEASE_SECONDS)  # the fault itself
    finally:
        thaw(pids)


def _kill_all(arena: Arena, _chance: random.Random) -> None:
    launchers = arena.rules.launchers
    kill([pid for name in ("web", *launchers) for pid in (arena.node(name))])
    if arena.server is not None:
        arena.server.kill()
        arena.server.start()


def _step_clock(arena: Arena, chance: random.Random) -> None:
    """At most an hour away from the right time, so that forward and back come in turns."""
    arena.step_clock(-arena.shift or chance.choice((HOUR, -HOUR)))


def _kill_database(seconds: Callable[[Arena, random.Random], float]) -> Strike:
    def strike(arena: Arena, chance: random.Random) -> None:
        assert arena.server is not None
        arena.server.kill()
        time.sleep(seconds(arena, chance))  # the fault itself
        arena.server.start()

    return strike


def _kill_backend(arena: Arena, chance: random.Random) -> None:
    """One of PostgreSQL's processes: the server ends all connections and recovers."""
    assert arena.server is not None
    kill([chance.choice(arena.server.processes()[1:])])


def _lock_database(arena: Arena, _chance: random.Random) -> None:
    with write(arena.engine):
        time.sleep(arena.rules.lease_seconds + BEYOND_A_LEASE_SECONDS)  # the fault itself


FAULTS = (
    Fault("local worker killed", _kill_worker("local"), launcher="local"),
    Fault("Ray worker killed", _kill_worker("ray"), launcher="ray"),
    Fault("local worker asked to end", _end_worker("local"), launcher="local"),
    Fault("Ray worker asked to end", _end_worker("ray"), launcher="ray"),
    Fault("raylet killed", _kill_part("raylet"), launcher="ray"),
    Fault("Ray's head (GCS) killed", _kill_part("gcs_server"), launcher="ray"),
    Fault("dispatcher (local) killed", _kill_service("local"), launcher="local"),
    Fault("dispatcher (Ray) killed", _kill_service("ray"), launcher="ray"),
    Fault("web killed", _kill_service("web")),
    Fault("all killed at once", _kill_all),
    Fault("local worker frozen for longer than a lease", _freeze_worker("local"), launcher="local"),
    Fault("Ray worker frozen for longer than a lease", _freeze_worker("ray"), launcher="ray"),
    Fault("node (local) frozen for longer than a lease", _freeze_node("local"), launcher="local"),
    Fault("node (Ray) frozen for longer than a lease", _freeze_node("ray"), launcher="ray"),
    Fault("web frozen for longer than a lease", _freeze_web),
    Fault("clock stepped by an hour", _step_clock),
    Fault("PostgreSQL killed", _kill_database(lambda _, chance: chance.uniform(0, 3)), backend="postgresql"),
    Fault(
        "PostgreSQL away for longer than a lease",
        _kill_database(lambda arena, _: arena.rules.lease_seconds + BEYOND_A_LEASE_SECONDS),
        backend="postgresql",
    ),
    Fault("a process of PostgreSQL killed", _kill_backend, backend="postgresql"),
    Fault("SQLite locked for longer than a lease", _lock_database, backend="sqlite"),
)
"""All kinds; those that fit an arena come in turns, shuffled."""

NODE_FROZEN = tuple(fault for fault in FAULTS if fault.name.startswith("node"))
"""After which reports of attempts that were given up are certain to come."""


def draw(arena: Arena, count: int, chance: random.Random) -> list[Fault]:
    """``count`` faults in random order, every kind that fits as often as any other, give or take one."""
    kinds = [fault for fault in FAULTS if fault.fits(arena)]
    drawn: list[Fault] = []
    while len(drawn) < count:
        chance.shuffle(kinds)
        drawn += kinds
    return drawn[:count]
