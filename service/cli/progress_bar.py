"""One progress bar over sweeps: on a terminal it moves, in a log it is a line for every tenth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress

from service.cli.output import console, counts_text
from service.client import Client
from service.resources.numbers import duration_between
from service.resources.schemas import SweepDetail, SweepLine
from service.states import FINAL

LOOK_S = 0.5
EACH_S = 0.1  # more between two looks for every sweep: looking must not take the machine from computing
ALMOST = 0.99  # of a sweep whose steps are done and whose results are not stored yet


def watch(client: Client, ids: Sequence[str], *, quiet: bool = False) -> list[SweepDetail]:
    """Wait until all sweeps are done, with a bar on standard error; returns them whatever their outcome."""
    err = Console(stderr=True, quiet=True) if quiet else console(stderr=True)
    display = _Bar(err) if err.is_terminal else _Lines(err)
    with display:
        for sweeps in client.follow(ids, interval=max(LOOK_S, EACH_S * len(ids))):
            display.show(sweeps)
    return sweeps


def share(sweeps: Sequence[SweepLine]) -> float:
    """Which part is done, from 0 to 1: steps within a sweep, the mean over sweeps.

    Steps of different tasks cost too differently to be added up. A sweep is done when its results are
    stored, which is a moment after its last step.
    """
    return sum(_share(sweep) for sweep in sweeps) / len(sweeps)


def time_left(sweeps: Sequence[SweepLine]) -> str:
    """The server's estimate in words, that of the longest sweep; it says of how many, where others have not
    been measured yet and may take far longer."""
    pending = [sweep.progress for sweep in sweeps if sweep.state not in FINAL]
    measured = [(one.seconds_left, one) for one in pending if one.seconds_left is not None]
    if not measured:
        return ""
    _, longest = max(measured, key=lambda one: one[0])
    left = f"{duration_between(longest.seconds_left_low, longest.seconds_left_high)} left"
    return left if len(measured) == len(pending) else f"{left} for {len(measured)} of {len(pending)} sweeps"


def _share(sweep: SweepLine) -> float:
    progress = sweep.progress
    if sweep.state in FINAL or not progress.steps_total:
        return 1.0
    done = progress.steps_done / progress.steps_total
    return min(done, ALMOST)


def _description(sweeps: Sequence[SweepLine]) -> str:
    counts: Counter[str] = Counter()
    for sweep in sweeps:
        counts.update(sweep.progress.counts)
    name = f"sweep {sweeps[0].id}" if len(sweeps) == 1 else f"{len(sweeps)} sweeps"
    return f"{name}: {counts_text(counts)}"


class _Bar:
    """Drawn again and again, for terminals."""

    def __init__(self, err: Console) -> None:
        columns = (
            "{task.description}",
            BarColumn(finished_style="green"),
            "{task.fields[percent]}",
            "[cyan]{task.fields[left]}[/]",
        )
        self._progress = Progress(*columns, console=err)
        self._line = self._progress.add_task("", total=1.0, percent="", left="")

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, sweeps: Sequence[SweepLine]) -> None:
        """Draw what is known now."""
        done = share(sweeps)
        self._progress.update(
            self._line,
            description=_description(sweeps),
            completed=done,
            percent=_percent(done),
            left=time_left(sweeps),
        )


class _Lines:
    """A line for every tenth that is done, for logs."""

    def __init__(self, err: Console) -> None:
        self._err = err
        self._tenths = -1

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, sweeps: Sequence[SweepLine]) -> None:
        """Print when another tenth is done."""
        done = share(sweeps)
        if int(10 * done) > self._tenths:
            self._tenths = int(10 * done)
            parts = (_description(sweeps), _percent(done), time_left(sweeps))
            self._err.print(", ".join(part for part in parts if part), highlight=False)


def _percent(done: float) -> str:
    """100 % only when all is done."""
    return f"{int(100 * done)} %"
