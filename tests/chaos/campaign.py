"""A campaign: faults on a running arena, one after the other, and what came of it."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError

from tests.chaos import results
from tests.chaos.arena import Arena, Progress, Rules, arena
from tests.chaos.faults import Fault
from tests.chaos.results import Doubled, Result
from tests.support.processes import until

LOOK_SECONDS = 0.1
MOST_STORIES = 5
GIVEN_UP_SECONDS = 120.0
START_SECONDS = 300.0  # a first start loads torch and compiles, beside whatever else the machine does
MOMENT_SECONDS = 4.0
END_SECONDS = 600.0
LONGEST_PAUSE_SECONDS = 2.0
VISIT_SECONDS = 0.5
PAGES = ("/sweeps", "/api/v1/sweeps", "/", "/readyz")
EXPECTED = (200, 503)
"""What a visitor may see: pages, or that the database is away."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Struck:
    """A fault that happened.

    Attributes:
        name: its kind.
        lasted: seconds from its beginning to its end.
        recovery: seconds from its end until every dispatcher's attempts had made steps that the server knew
            of; infinite when that did not happen.
    """

    name: str
    lasted: float
    recovery: float


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What came of a campaign.

    Attributes:
        struck: the faults.
        sweeps: how many sweeps were submitted.
        results: of all trials.
        doubled: what is there twice or missing in between.
        refused: reports that the fence refused.
        stale_writes: attempts of which something was stored after they were given up; means nothing after
            the clock was stepped.
        steps_done, steps_needed: of all attempts together, and of one for each trial.
        seen: what a visitor of the pages saw: HTTP status -> how often; 0 for no answer.
        seconds: that it took.
    """

    struck: list[Struck] = field(default_factory=list)
    sweeps: int = 0
    results: dict[str, Result] = field(default_factory=dict)
    doubled: Doubled = field(default_factory=lambda: Doubled(0, 0, 0))
    refused: int = 0
    stale_writes: int = 0
    steps_done: int = 0
    steps_needed: int = 0
    seen: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def lost(self) -> int:
        """Trials without a result."""
        return sum(one.state != "succeeded" for one in self.results.values())

    def unlike(self, undisturbed: Mapping[str, Result]) -> int:
        """Trials whose result is not, bit for bit, that of an undisturbed run."""
        return sum(one != undisturbed.get(key) for key, one in self.results.items())

    def unexpected(self) -> int:
        """Answers that were neither a page nor 503."""
        return sum(count for status, count in self.seen.items() if status and status not in EXPECTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a campaign does.

    Attributes:
        backend: the kind of database.
        rules: of the arena.
        faults: which faults happen there, in order.
        sweeps: what is computed meanwhile, as many as are needed to keep it busy.
        seed: of what is left to chance.
    """

    backend: str
    rules: Rules
    faults: Callable[[Arena, random.Random], Sequence[Fault]]
    sweeps: Sequence[dict[str, Any]]
    seed: int = 0


def run(plan: Plan, folder: Path, say: Say) -> Outcome:
    """Strike, and wait until every trial of the sweeps that were submitted has ended."""
    began = time.monotonic()
    outcome = Outcome()
    chance = random.Random(plan.seed)
    with arena(folder, plan.backend, plan.rules) as made:
        with visited(made.url, outcome.seen):
            faults = plan.faults(made, chance)
            with kept_busy(made, plan.sweeps, outcome):
                until(Watch(made).all_move, "the first attempts compute", limit=START_SECONDS)
                for number, fault in enumerate(faults, 1):
                    time.sleep(chance.uniform(0, LONGEST_PAUSE_SECONDS))  # so that it strikes at any moment
                    outcome.struck.append(strike(made, fault, chance))
                    say(f"{number:4}  {_line(outcome.struck[-1])}")
            finish(made)
        _judge(outcome, made)
        for story in results.stories(made.engine)[:MOST_STORIES]:
            say(story)
    outcome.seconds = time.monotonic() - began
    return outcome


class NotComputed(Exception):
    """Without any fault a trial fails: there is nothing to compare with. The message says why."""


def undisturbed(sweeps: Sequence[dict[str, Any]], folder: Path) -> dict[str, Result]:
    """The results of the sweeps when nothing goes wrong.

    Raises:
        NotComputed: a trial failed all the same, for want of its data, say.
    """
    with arena(folder, "sqlite", Rules(launchers=("local",), slots=2)) as made:
        while made.submit_next(sweeps) < len(sweeps):
            time.sleep(LOOK_SECONDS)  # until there is room for the next one
        finish(made)
        if errors := results.errors(made.engine):
            raise NotComputed(f"without any fault {len(errors)} trials fail; the first: {errors[0]}")
        return results.results(made.engine)


def strike(made: Arena, fault: Fault, chance: random.Random) -> Struck:
    """Let it happen, and watch until everything runs again."""
    began = over = time.monotonic()
    try:
        fault.strike(made, chance)
        over = time.monotonic()
        watch = Watch(made)
        until(watch.all_move, "all slots compute again", limit=GIVEN_UP_SECONDS)
    except AssertionError:
        return Struck(name=fault.name, lasted=over - began, recovery=math.inf)
    return Struck(name=fault.name, lasted=over - began, recovery=watch.moved_at() - over)


def finish(made: Arena) -> None:
    """Wait until no trial waits or runs."""
    until(lambda: _left(made) == 0, "all trials have ended", limit=END_SECONDS)


@contextmanager
def kept_busy(made: Arena, sweeps: Sequence[dict[str, Any]], outcome: Outcome) -> Iterator[None]:
    """Somebody submits the next sweep whenever little is left to compute."""

    def submit() -> None:
        outcome.sweeps = made.submit_next(sweeps)

    with _repeated(submit, pause=VISIT_SECONDS):
        yield


@contextmanager
def visited(url: str, seen: Counter[int]) -> Iterator[None]:
    """Somebody looks at the pages all the time."""
    with httpx.Client(base_url=url, timeout=60, headers={"Accept": "text/html"}) as client:

        def visit() -> None:
            for page in PAGES:
                seen[_status(client, page)] += 1

        with _repeated(visit, pause=VISIT_SECONDS):
            yield


@contextmanager
def _repeated(act: Callable[[], None], *, pause: float) -> Iterator[None]:
    """Do it again and again in a thread of its own, until the block ends."""
    leaving = threading.Event()

    def run() -> None:
        while not leaving.wait(pause):
            act()

    thread = threading.Thread(target=run, name="somebody", daemon=True)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()


def _status(client: httpx.Client, page: str) -> int:
    with suppress(httpx.TransportError):
        return client.get(page).status_code
    return 0


class Watch:
    """Watches whether attempts of every dispatcher make steps that the server knows of.

    A report that was under way when its worker was killed looks like a step, and a worker may outlive for a
    moment what it depends on. So an attempt counts only when it makes steps again, a moment after the first,
    or when it is a new one that has finished.
    """

    def __init__(self, made: Arena) -> None:
        self._made = made
        self._before: dict[int, int] | None = None
        self._first: dict[int, tuple[int, float]] = {}
        self._moved: dict[str, float] = {}

    def all_move(self) -> bool:
        """Whether all do by now; what they had done is what they had at the first call."""
        now = self._made.progress()
        if now is None:
            return False
        if self._before is None:
            self._before = {one.attempt: one.steps for one in now}
        for one in now:
            since = self._since(one)
            if since is not None:
                self._moved[one.owner] = min(since, self._moved.get(one.owner, since))
        return self._moved.keys() >= set(self._made.rules.launchers)

    def moved_at(self) -> float:
        """When the last of them began to."""
        return max(self._moved.values())

    def _since(self, one: Progress) -> float | None:
        """Since when it makes steps, if that is certain."""
        assert self._before is not None
        if one.steps <= self._before.get(one.attempt, 0):
            return None
        steps, at = self._first.setdefault(one.attempt, (one.steps, time.monotonic()))
        again = one.steps > steps and time.monotonic() - at >= MOMENT_SECONDS
        return at if again or (one.finished and one.attempt not in self._before) else None


def _left(made: Arena) -> int | None:
    with suppress(SQLAlchemyError):
        return made.unfinished()
    return None


def _judge(outcome: Outcome, made: Arena) -> None:
    outcome.results = results.results(made.engine)
    outcome.doubled = results.doubled(made.engine)
    outcome.refused = results.refused(made.engine)
    outcome.stale_writes = results.stale_writes(made.engine)
    outcome.steps_done, outcome.steps_needed = results.steps(made.engine)


def _line(struck: Struck) -> str:
    return f"{struck.name:46} {struck.lasted:6.1f} s, running again after {struck.recovery:5.1f} s"
