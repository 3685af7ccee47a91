"""What claims and figures ask of results: metrics, estimators, boards and levels that there are. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.suites import tiers
from benchmarks.suites.schema import ClaimSection, ExhibitFile, FigureSection, Scalar, TestSection
from benchmarks.suites.sections import unknown
from benchmarks.sweep import Issue, Sweep
from benchmarks.sweep_file.issues import nearest
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.diagnostic_metrics import diagnostic_metric
from estimators import registry as estimators
from estimators.info import Value

_NEEDS = {
    "best": ("estimator",),
    "better": ("estimator", "than"),
    "bound": ("estimator", "low or high"),
    "setting": ("estimator", "parameter", "low or high"),
    "ratio": ("estimator", "than", "low or high"),
    "order": ("than",),
}
"""Kind of a test -> the keys that it cannot do without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the tiers of an exhibit compute, all together.

    Attributes:
        metrics: those that every board reports.
        estimators: id -> hyper-parameters and their values.
        boards: values of task parameters.
        levels: metric and label of what is known or published of a board.
        probed: estimator -> others that are measured at the parameters that it trains, in every tier.
        settings: estimator -> how many settings it has on a board, at most.
    """

    metrics: Sequence[str]
    estimators: Mapping[str, Mapping[str, Value]]
    boards: Sequence[Mapping[str, Value]]
    levels: Collection[tuple[str, str]]
    probed: Mapping[str, Collection[str]] = field(default_factory=dict)
    settings: Mapping[str, int] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """Names of task parameters."""
        return sorted({name for board in self.boards for name in board})


def of_sweeps(sweeps: Sequence[Sweep], levels: Sequence[tuple[str, str]]) -> Known:
    """What these compute, with levels that their tasks know and others."""
    boards = list(dict.fromkeys(board for sweep in sweeps for board in sweep.boards()))
    own = [
        (one.metric, one.label) for board in boards for one in tasks.get(board.id).references(board.values)
    ]
    reported = [[metric.name for metric in tasks.get(board.id).metrics] for board in boards]
    return Known(
        metrics=[name for name in reported[0] if all(name in names for names in reported)]
        if reported
        else [],
        estimators={
            component.id: {**component.values, "lr": lr, "optimizer": optimizer.id}
            for sweep in sweeps
            for grid in sweep.estimators
            for component, optimizer, lr in grid
        },
        boards=[board.values for board in boards],
        levels=list(dict.fromkeys([*own, *levels])),
        probed=_probed(sweeps),
        settings=_settings(sweeps),
    )


def _probed(sweeps: Sequence[Sweep]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for sweep in sweeps:
        others = {one.id for one in sweep.diagnostics.estimators} if sweep.diagnostics else set()
        for cell in sweep.cells():
            own = found.setdefault(cell.estimator.id, set(others))
            own &= others
    return found


def _settings(sweeps: Sequence[Sweep]) -> dict[str, int]:
    by_board = (Counter((cell.task, cell.estimator.id) for cell in sweep.cells()) for sweep in sweeps)
    found: dict[str, int] = {}
    for counted in by_board:
        for (_, estimator), number in counted.items():
            found[estimator] = max(number, found.get(estimator, 0))
    return found


def claims(file: ExhibitFile, known: Known) -> Iterator[Issue]:
    """Everything that is wrong with the claims of an exhibit."""
    for i, claim in enumerate(file.claims):
        for j, test in enumerate(claim.tests):
            path = f"/claims/{i}/tests/{j}"
            yield from _missing(path, test)
            yield from metric(f"{path}/metric", test.metric, known)
            yield from _estimators(path, test, known)
            yield from _interval(path, test, known)
            yield from _boards(path, test, known)
        yield from _one_metric(f"/claims/{i}/tests", claim)
        if claim.on is not None:
            named = [name for test in claim.tests for name in (test.estimator, *test.than) if name]
            yield from _common(
                f"/claims/{i}/on", claim.on, known, [test.metric for test in claim.tests], named
            )
            for j, test in enumerate(claim.tests):
                if not test.than:
                    yield Issue(f"/claims/{i}/tests/{j}", "a test at common parameters needs than.")


def figure(section: FigureSection, known: Known) -> Iterator[Issue]:
    """Everything that is wrong with how a figure is drawn."""
    yield from metric("/figure/metric", section.metric, known)
    if section.on is not None:
        yield from _common("/figure/on", section.on, known, [section.metric])
    for i, name in enumerate(section.panels):
        if name not in known.parameters:
            yield unknown(f"/figure/panels/{i}", "task parameter", name, known.parameters)
    names = sorted({name for values in known.estimators.values() for name in values})
    if section.across is not None and section.across not in names:
        yield unknown("/figure/across", "hyper-parameter", section.across, names)
    if section.kind == "heatmap" and section.across is None:
        yield Issue("/figure", "a heat map needs `across`, the hyper-parameter on its axis.")
    labels = list(dict.fromkeys(label for _, label in known.levels))
    for i, label in enumerate(section.levels):
        if label not in labels:
            yield unknown(f"/figure/levels/{i}", "level", label, labels)


def _common(
    path: str, on: str, known: Known, metrics: Sequence[str], estimators: Sequence[str] = ()
) -> Iterator[Issue]:
    """Why nothing, or not one model, is measured at the parameters that an estimator trains."""
    missing = [name for name in dict.fromkeys(estimators) if name not in {on, *known.probed.get(on, ())}]
    undiagnosed = [name for name in metrics if diagnostic_metric(name) is None]
    if on not in known.settings:
        yield unknown(path, "estimator of this exhibit", on, list(known.settings))
    elif undiagnosed:
        yield Issue(path, f"{undiagnosed[0]} is no diagnostic metric; only those are measured of others.")
    elif known.settings[on] > 1:
        yield Issue(path, f"{on} has {known.settings[on]} settings; common parameters are those of one.")
    elif missing or not known.probed[on]:
        what = ", ".join(missing) or "any other"
        yield Issue(path, f"diagnostics.estimators of {on} does not measure {what} in every tier.")


def metric(path: str, name: str, known: Known) -> Iterator[Issue]:
    """A metric that not every board reports; diagnostic ones are checked with the sweeps."""
    if name not in known.metrics and diagnostic_metric(name) is None:
        yield unknown(path, "metric", name, known.metrics)


def estimator(path: str, name: str, known: Known) -> Iterator[Issue]:
    """An estimator that there is none of; one that no tier tries is no mistake, claims then say so."""
    names = list(dict.fromkeys([*known.estimators, *estimators.available()]))
    if name not in names:
        yield unknown(path, "estimator", name, names)


def no_board(path: str, board: Mapping[str, Scalar], names: Sequence[str], where: str) -> Iterator[Issue]:
    """Why no board has these task parameters: there is no such parameter, or no such value."""
    wrong = [name for name in board if name not in names]
    for name in wrong:
        yield unknown(path, f"task parameter of {where}", name, names)
    if not wrong:
        given = ", ".join(f"{name} {value}" for name, value in board.items())
        yield Issue(path, f"no board of {where} has {given}.")


def _missing(path: str, test: TestSection) -> Iterator[Issue]:
    has = {
        "estimator": test.estimator is not None,
        "than": bool(test.than),
        "parameter": test.parameter is not None,
        "low or high": test.low is not None or test.high is not None,
    }
    for key in _NEEDS[test.kind]:
        if not has[key]:
            yield Issue(path, f"a test of kind {test.kind!r} needs {key}.")


def _estimators(path: str, test: TestSection, known: Known) -> Iterator[Issue]:
    named = [(f"{path}/estimator", test.estimator)] if test.estimator else []
    for place, name in [*named, *((f"{path}/than/{i}", name) for i, name in enumerate(test.than))]:
        yield from estimator(place, str(name), known)
    settings = known.estimators.get(test.estimator or "")
    if test.parameter is not None and settings is not None and test.parameter not in settings:
        what = f"hyper-parameter of {test.estimator}"
        yield unknown(f"{path}/parameter", what, test.parameter, sorted(settings))


def _interval(path: str, test: TestSection, known: Known) -> Iterator[Issue]:
    """Ends that are labels where only numbers can be, or of levels that no board has."""
    labels = [label for name, label in known.levels if name == test.metric]
    for key, end in (("low", test.low), ("high", test.high)):
        if not isinstance(end, str):
            continue
        if test.kind != "bound":
            message = f"{end!r} is no number; only `bound` takes the label of a level."
            yield Issue(f"{path}/{key}", message)
        elif end not in labels:
            hint = nearest(end, labels)
            yield Issue(f"{path}/{key}", f"no level {end!r} of {test.metric} is known on any board.", hint)


def _boards(path: str, test: TestSection, known: Known) -> Iterator[Issue]:
    for i, board in enumerate(test.boards):
        if not any(tiers.fits(values, board) for values in known.boards):
            yield from no_board(f"{path}/boards/{i}", board, known.parameters, "any tier")


def _one_metric(path: str, claim: ClaimSection) -> Iterator[Issue]:
    names = list(dict.fromkeys(test.metric for test in claim.tests))
    if len(names) > 1:
        yield Issue(path, f"all tests of a claim read one metric, these read {', '.join(names)}.")
