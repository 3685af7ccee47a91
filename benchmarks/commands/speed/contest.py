"""Two sides in turns, A B A B: in a round one side has all cores, the other waits blocked."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.side import NAMES, LastWord, Name, serve
from benchmarks.process import allocator, compile_cache

PATIENCE = 600.0
"""Seconds within which a process has to answer; compiling takes most of a minute on a busy machine."""

Note = Callable[[str], None]


class SideFailed(Exception):
    """A process of a contest ended or hung; what it wrote says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SideResult:
    """One side of a contest.

    Attributes:
        rates: steps per second of all its processes together, one number per round.
        first_step_seconds: from the start of a process to its first steps, the slowest process.
        peak_bytes: resident memory at most, the largest process.
        matmul: libraries that its processes chose for matmul on a CPU; none for the reference, which
            takes what torch takes.
        forms: how its steps were done (``loop``, ``steps`` or ``eager``); none for the reference.
    """

    rates: tuple[float, ...]
    first_step_seconds: float
    peak_bytes: int
    matmul: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Median over rounds."""
        return statistics.median(self.rates)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """What a contest measured.

    Attributes:
        case: what both sides trained.
        processes: single-thread processes of each side.
        ours, reference: the two sides.
    """

    case: Case
    processes: int
    ours: SideResult
    reference: SideResult

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours to the reference's, one number per pair of rounds that followed each other."""
        pairs = zip(self.ours.rates, self.reference.rates, strict=True)
        return tuple(ours / reference for ours, reference in pairs)

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str | None:
        """``goal`` and ``must`` name the highest level reached, ``MISSED`` that there is none; ``None`` for a
        case without a must."""
        if self.case.must is None:
            return None
        if self.case.goal is not None and self.ratio >= self.case.goal:
            return "goal"
        return "must" if self.ratio >= self.case.must else "MISSED"

    def milliseconds(self, side: SideResult) -> float:
        """Wall-clock time of one step of one trial on one core, with all cores busy."""
        return 1e3 * self.processes / side.rate

    def trials_per_hour(self, side: SideResult) -> float:
        """Whole trials of published length, all cores together, start-up left out."""
        return 3600 * side.rate / self.case.steps_per_trial


def hold(case: Case, *, processes: int, rounds: int, seconds: float, warm_up: int, note: Note) -> Contest:
    """Start both sides, let them take turns, end them.

    Args:
        case: what to train.
        processes: of each side, one per core.
        rounds: turns of each side.
        seconds: of a turn.
        warm_up: steps of every trial before the first turn.
        note: called with a line about what is being done.

    Raises:
        SideFailed: a process ended early or hung.
    """
    with ExitStack() as stack:
        teams: dict[Name, Team] = {}
        for side in NAMES:
            note(f"starting {side}")
            teams[side] = stack.enter_context(Team(side, case, processes, warm_up))
        rates: dict[Name, list[float]] = {side: [] for side in NAMES}
        for number in range(1, rounds + 1):
            for side in NAMES:
                rates[side].append(teams[side].turn(seconds))
            note(f"round {number} of {rounds}: ratio {rates['ours'][-1] / rates['reference'][-1]:.2f}")
        lasts = {side: team.dismiss() for side, team in teams.items()}
        results = {
            side: SideResult(
                rates=tuple(rates[side]),
                first_step_seconds=team.first_step_seconds,
                peak_bytes=max(last.peak_bytes for last in lasts[side]),
                matmul=tuple(sorted({last.matmul for last in lasts[side] if last.matmul})),
                forms=tuple(sorted({form for last in lasts[side] for form in last.forms})),
            )
            for side, team in teams.items()
        }
    return Contest(case=case, processes=processes, **results)


class Team:
    """The processes of one side; ready, and waiting, once constructed."""

    def __init__(self, side: Name, case: Case, processes: int, warm_up: int) -> None:
        self._what = f"{side} in {case.name}"
        self._members: list[tuple[BaseProcess, Connection]] = []
        try:
            with worker_environment():
                for index in range(processes):
                    self._start(side, case, index, warm_up)
            self.first_step_seconds: float = max(self._answers())
        except BaseException:
            self._end()
            raise

    def turn(self, seconds: float) -> float:
        """Work for a while, all processes at the same time; steps per second of all together."""
        self._tell(seconds)
        return math.fsum(work.steps / work.seconds for work in self._answers())

    def dismiss(self) -> list[LastWord]:
        """Let the processes end; what each had to say."""
        self._tell(None)
        return self._answers()

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self, side: Name, case: Case, index: int, warm_up: int) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=serve,
            args=(side, case, index, there),
            kwargs={"warm_up": warm_up, "started": time.monotonic()},
            daemon=True,
        )
        with _ctrl_c_ignored():
            process.start()
        there.close()
        self._members.append((process, here))

    def _tell(self, message: float | None) -> None:
        for process, line in self._members:
            try:
                line.send(message)
            except BrokenPipeError:
                raise self._ended(process) from None

    def _answers(self) -> list[Any]:
        return [self._answer(process, line) for process, line in self._members]

    def _answer(self, process: BaseProcess, line: Connection) -> Any:
        if not line.poll(PATIENCE):
            raise SideFailed(f"{self._what} gave no answer within {PATIENCE:g} s")
        try:
            return line.recv()
        except EOFError:
            raise self._ended(process) from None

    def _ended(self, process: BaseProcess) -> SideFailed:
        process.join()
        return SideFailed(
            f"a process of {self._what} ended with status {process.exitcode}; its error, if any, is above"
        )

    def _end(self) -> None:
        for process, line in self._members:
            line.close()
            process.kill()
            process.join()


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which reaches the whole group: this process ends them.

    One that comes just then is lost, and has to be pressed again.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def worker_environment() -> Iterator[None]:
    """Processes started inside get the allocator's settings and the folders of programs that workers have."""
    added = allocator.environment(os.environ) | compile_cache.environment(os.environ)
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
