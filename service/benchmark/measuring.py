"""Both sides in turns: the scripts of a round, then one server after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.benchmark import scripts
from service.benchmark.cases import Case, Mode, Workers, spread
from service.benchmark.ours import Turn, compute, new_server
from service.benchmark.report import Report, Row

Note = Callable[[str], None]
KINDS: tuple[Workers, ...] = ("starting", "fresh", "warm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How cases are measured.

    Attributes:
        slots: scripts at the same time, and attempts at the same time of a server.
        rounds: turns of each side; ``None``: as many as the case says.
        scripts: trials that are run as scripts; ``None``: as many as the case says.
    """

    slots: int
    rounds: int | None = None
    scripts: int | None = None


def measure(case: Case, modes: Sequence[Mode], settings: Settings, report: Report, note: Note) -> None:
    """Add the rows of a case to the report, and to the rows what each round brings.

    Raises:
        ScriptFailed: a script ended with an error.
        SweepFailed: trials of a sweep did not succeed.
        HeunboardError: a server did not start.
    """
    rows: dict[Mode, Row] = {}
    trials = len(case.trials(0))
    measured = scripts_of(case, trials, settings)
    rounds = settings.rounds or case.rounds
    for number in range(rounds):
        place = f"round {number + 1} of {rounds}"
        note(f"{place}: {measured} scripts")
        theirs = scripts.run(spread(case.trials(number), measured), processes=settings.slots)
        for mode, turn in _sweeps(case, modes, settings, note):
            if mode not in rows:
                rows[mode] = Row(case=case, mode=mode, trials=trials, measured=measured)
                report.rows.append(rows[mode])
            rows[mode].ours.append(turn)
            rows[mode].scripts.append(theirs * trials / measured)
            note(f"{place}: {mode}: ratio {rows[mode].ratios[-1]:.2f}")


def scripts_of(case: Case, trials: int, settings: Settings) -> int:
    """How many trials are run as scripts: as many as wanted, rounded up to whole turns of all slots."""
    wanted = settings.scripts or case.scripts or trials
    return min(trials, -(-wanted // settings.slots) * settings.slots)


def _sweeps(case: Case, modes: Sequence[Mode], settings: Settings, note: Note) -> Iterator[tuple[Mode, Turn]]:
    """One sweep in each of the modes.

    Fresh and warm workers of equal launcher and cache share a server, whose first sweep warms them up for the
    second.
    """
    for launcher, cache in dict.fromkeys((mode.launcher, mode.cache) for mode in modes):
        starting, fresh, warm = (Mode(launcher=launcher, workers=kind, cache=cache) for kind in KINDS)
        for turns in ([starting], [fresh, warm]):
            wanted = [mode for mode in turns if mode in modes]
            if not wanted:
                continue
            note(f"{wanted[0]}: starting a server")
            with new_server(turns[0], slots=settings.slots) as (client, _):
                for turn, mode in enumerate(turns[: turns.index(wanted[-1]) + 1]):
                    done = compute(client, case.document(turn), slots=settings.slots)
                    if mode in wanted:
                        yield mode, done
