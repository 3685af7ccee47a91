"""Names in an exhibit's file that mean nothing, each with its place and the nearest name. No torch.

Every tier's sweep files are made, and metrics, estimators, boards, levels and columns looked up in what they
compute. :mod:`benchmarks.suites.reading` asks when it reads a suite.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.suites import claim_checks, tiers
from benchmarks.suites.claim_checks import Known
from benchmarks.suites.schema import ExhibitFile, PublishedSection, SuiteFile, TierSection
from benchmarks.suites.sections import unknown
from benchmarks.sweep import Issue, SpecError, Sweep
from benchmarks.sweep_file.issues import at
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.diagnostic_metrics import diagnostic_metric
from estimators import registry as estimators

Row = Mapping[str, str]
"""A line of a CSV file: column -> text."""

NUMBERS = ("mean", "sd", "n")
_ALWAYS = ("estimator", "metric", "mean")
COMMAND_METRICS = {"efficiency": ("seconds", "megabytes")}
"""What a command measures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What an exhibit is checked with.

    Attributes:
        name: of the exhibit, as in ``reinmax-2023/table2``.
        file: what its file says.
        lists: its lists of sweeps by name, another exhibit's where it has those.
        table: name of a CSV file -> its rows.
    """

    name: str
    file: ExhibitFile
    lists: tiers.Lists
    table: Callable[[str], Sequence[Row]]


def suite(file: SuiteFile) -> Iterator[Issue]:
    """Tasks and parameters under ``words`` and ``stands_for`` that there are none of."""
    for key, section in (("words", file.words), ("stands_for", file.stands_for)):
        for task, parameters in section.items():
            path = at(f"/{key}", task)
            if task not in tasks.available():
                yield unknown(path, "task", task, tasks.available())
            else:
                yield from _parameters(path, task, list(parameters), inside=True)


def exhibit(source: Source) -> Iterator[Issue]:
    """Everything that is wrong with an exhibit whose sections are as they must be."""
    shapes = list(tiers.wrong_shapes(source.file, source.lists))
    yield from shapes
    yield from _published_numbers(source)
    if shapes:
        return
    wrong = list(dict.fromkeys(_of_tiers(source)))
    yield from wrong
    if not wrong:
        yield from _of_results(source)


def _of_tiers(source: Source) -> Iterator[Issue]:
    """What is wrong with the sweeps; the same mistake of several tiers comes several times."""
    file = source.file
    for name, section in file.tiers.items():
        seeds = [] if section.halving is None else section.halving.seeds
        if any(one >= other for one, other in itertools.pairwise(seeds)):
            yield Issue(f"/tiers/{name}/halving/seeds", f"must rise from rung to rung, is {seeds}.")
        if file.command is None:
            yield from _of_tier(source, name, section)


def _of_tier(source: Source, name: str, section: TierSection) -> Iterator[Issue]:
    if section.sweeps not in source.lists:
        yield unknown(f"/tiers/{name}/sweeps", "list of sweeps", section.sweeps, list(source.lists))
        return
    boards = list(tiers.boards(section, source.lists))
    for i, one in enumerate(section.only):
        if not any(tiers.fits(board.task, one) for board in boards):
            given = sorted({name for board in boards for name in board.task if name != "id"})
            yield from claim_checks.no_board(
                f"/tiers/{name}/only/{i}", one, given, f"the list {section.sweeps!r}"
            )
    made = list(tiers.documents(source.name, source.file, source.lists, name))
    if not made and not section.only:
        yield Issue(f"/tiers/{name}/sweeps", f"the list {section.sweeps!r} has no sweeps.")
    yield from tiers.issues(made)


def _of_results(source: Source) -> Iterator[Issue]:
    """What is asked of the results, and of boards and estimators that give none."""
    file = source.file
    known = _known(source)
    if file.command is not None:
        metrics = COMMAND_METRICS[file.command]
        for path, name in (
            ("/select", file.select),
            *((f"/report/{i}", n) for i, n in enumerate(file.report)),
        ):
            if name not in metrics:
                yield unknown(path, "metric", name, metrics)
    yield from _margins(file)
    for i, name in enumerate(file.median):
        yield from claim_checks.estimator(f"/median/{i}", name, known)
    yield from claim_checks.claims(file, known)
    if file.figure is not None:
        yield from claim_checks.figure(file.figure, known)


def _margins(file: ExhibitFile) -> Iterator[Issue]:
    given = {"/margins": file.margins} | {
        f"/tiers/{name}/margins": t.margins for name, t in file.tiers.items()
    }
    for path, margins in given.items():
        for name in margins:
            if name not in file.report:
                yield unknown(at(path, name), "metric under `report`", name, file.report)


def _known(source: Source) -> Known:
    """What the exhibit's tiers compute."""
    file = source.file
    rows = [row for _, row in published_rows(source)]
    if file.command is not None:
        names = {f"{row['estimator']}-{row['num_draws']}" for row in rows if row.get("num_draws")}
        return Known(
            metrics=COMMAND_METRICS[file.command],
            estimators={row["estimator"]: {} for row in rows} | {name: {} for name in names},
            boards=[{"problem": row["problem"]} for row in rows],
            levels=[],
        )
    sweeps: list[Sweep] = [
        one.sweep() for tier in file.tiers for one in tiers.documents(source.name, file, source.lists, tier)
    ]
    return claim_checks.of_sweeps(sweeps, _labels(source))


def _labels(source: Source) -> list[tuple[str, str]]:
    """Metric and label of published numbers."""
    return [
        (metric.format_map(row), section.label.format_map(row))
        for section, row in published_rows(source)
        for metric in section.metrics
    ]


def published_rows(source: Source) -> Iterator[tuple[PublishedSection, Row]]:
    """The rows that the sections under ``published`` choose, of sections whose columns are there."""
    for section in source.file.published:
        rows, wrong = _table("", section, source)
        for row in () if wrong else rows:
            if all(row[name] == value for name, value in section.where.items()):
                yield section, row


def _published_numbers(source: Source) -> Iterator[Issue]:
    for i, section in enumerate(source.file.published):
        path = f"/published/{i}"
        if section.task not in tasks.available():
            yield unknown(f"{path}/task", "task", section.task, tasks.available())
            continue
        yield from _parameters(f"{path}/same", section.task, section.same)
        yield from _parameters(f"{path}/protocol", section.task, list(section.protocol))
        rows, wrong = _table(path, section, source)
        yield from wrong or _rows(path, section, rows, source.file.command)


def _table(path: str, section: PublishedSection, source: Source) -> tuple[Sequence[Row], list[Issue]]:
    """The rows of a section's file, and what is wrong with file and columns."""
    try:
        rows = source.table(section.file)
    except SpecError as error:
        return (), [Issue(f"{path}/file", one.message, one.suggestion) for one in error.issues]
    columns = () if source.file.command is None else ("problem",)
    return rows, list(_columns(path, section, rows, columns))


def _parameters(path: str, task: str, names: Sequence[str], *, inside: bool = False) -> Iterator[Issue]:
    known = [p.name for p in tasks.get(task).parameters]
    for name in names:
        if name not in known:
            yield unknown(at(path, name) if inside else path, f"parameter of {task}", name, known)


def _columns(
    path: str, section: PublishedSection, rows: Sequence[Row], columns: Sequence[str]
) -> Iterator[Issue]:
    if not rows:
        yield Issue(f"{path}/file", f"{section.file} has no rows.")
        return
    templates = (section.label, section.source, *section.metrics)
    filled = [name for text in templates for _, name, _, _ in string.Formatter().parse(text) if name]
    for name in dict.fromkeys((*_ALWAYS, *columns, *section.where, *section.same, *filled)):
        if name not in rows[0]:
            yield unknown(path, f"column of {section.file}", name, list(rows[0]))


def _rows(path: str, section: PublishedSection, rows: Sequence[Row], command: str | None) -> Iterator[Issue]:
    """Numbers that are none, and metrics and estimators that there are none of, in rows that are chosen."""
    chosen = [
        (line, row)
        for line, row in enumerate(rows, start=2)
        if all(row[name] == value for name, value in section.where.items())
    ]
    if not chosen:
        yield Issue(f"{path}/where", f"no row of {section.file} has these values.")
    for line, row in chosen:
        place = f"{section.file}, line {line}"
        for name in NUMBERS:
            if (row.get(name) or name == "mean") and not _is_number(row.get(name)):
                yield Issue(path, f"{place}: {name} must be a number, is {row.get(name)!r}.")
        if row["estimator"] and row["estimator"] not in estimators.available():
            yield unknown(path, f"estimator in {place}:", row["estimator"], estimators.available())
        for template in section.metrics:
            yield from _metric(path, place, section.task, template.format_map(row), command)


def _metric(path: str, place: str, task: str, name: str, command: str | None) -> Iterator[Issue]:
    names = [one.name for one in tasks.get(task).metrics] if command is None else COMMAND_METRICS[command]
    if name not in names and (command is not None or diagnostic_metric(name) is None):
        yield unknown(path, f"metric of {task} in {place}:", name, names)


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
