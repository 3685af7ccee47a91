"""A board as a table of texts: what Markdown, LaTeX and the static file show, before anything is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scoring.ranking import rank
from service.resources import numbers
from service.resources.board_schemas import Board, BoardRow, Standing, Summary
from service.resources.labels import metric_header, metric_label
from service.resources.schemas import MetricInfo

ARROWS = {"minimize": "↓", "maximize": "↑"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A metric of a row; ``best``: no other is better that can be told apart from it."""

    value: str
    sd: str
    best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An estimator at its chosen setting."""

    rank: str
    estimator: str
    title: str
    setting: str
    numbers: tuple[Number, ...]
    interval: str
    to_best: str
    evaluations: str
    cost: str
    tried: str
    seeds: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardTable:
    """The table, and what is said above and below it.

    Attributes:
        headers: of the metrics, the choosing one first.
        label: of the table in a LaTeX document.
        caption: what it shows, in sentences.
        rows: ranked, best first.
        unranked: title and reason of the others.
        sources: where quoted numbers are from.
        provenance: terms and texts of how it was computed.
    """

    id: str
    title: str
    headers: tuple[str, ...]
    label: str
    caption: str
    rows: tuple[Row, ...]
    unranked: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]


def table(board: Board) -> BoardTable:
    """A board in words and digits."""
    best = {metric.name: _best(board, metric) for metric in board.metrics}
    return BoardTable(
        id=board.id,
        title=board.title,
        headers=tuple(f"{metric_header(one)} {ARROWS[one.goal]}" for one in board.metrics),
        label=f"tab:heunboard-{board.id[:8]}",
        caption=" ".join(_caption(board)),
        rows=tuple(_row(board, row, best) for row in board.rows),
        unranked=tuple((row.title, row.reason) for row in board.unranked),
        sources=tuple(_sources(board)),
        provenance=tuple(_provenance(board)),
    )


def rank_text(standing: Standing) -> str:
    """``2–4``, or ``3`` where the rank is sure."""
    low, high = standing.rank_low, standing.rank_high
    return str(low) if low == high else f"{low}–{high}"


def _caption(board: Board) -> list[str]:
    chosen, *others = board.metrics
    lowest = "lowest" if board.goal == "minimize" else "highest"
    parts = [
        f"{board.title}: mean ± standard deviation over seeds, each estimator at the setting with the "
        f"{lowest} {metric_label(chosen)}" + (f", {board.select_label}." if board.select_label else ".")
    ]
    if others:
        parts.append(f"Not used to choose: {', '.join(metric_label(one) for one in others)}.")
    if len(board.rows) > 1:
        parts.append(
            "Bold: the best and all that cannot be told apart from it (paired over common seeds, 5 % after "
            "Holm)."
        )
    if any(row.standing.rank_low < row.standing.rank_high for row in board.rows):
        parts.append("Ranks are intervals.")
    return parts


def _best(board: Board, metric: MetricInfo) -> set[str]:
    """The best by a metric and those that tie with it; nobody where there is nothing to be better than."""
    if len(board.rows) < 2:
        return set()
    if metric.name == board.select:
        return {row.estimator for row in board.rows if row.standing.tied_with_best}
    values = {
        row.estimator: {one.seed: one.value for one in row.metrics[metric.name].seeds}
        for row in board.rows
        if metric.name in row.metrics
    }
    standings = rank(values, "maximize" if metric.goal == "maximize" else "minimize").standings
    return {name for name, standing in standings.items() if standing.tied_with_best}


def _row(board: Board, row: BoardRow, best: dict[str, set[str]]) -> Row:
    chosen = row.metrics.get(board.select)
    cost = row.cost
    return Row(
        rank=rank_text(row.standing),
        estimator=row.estimator,
        title=row.title,
        setting=numbers.setting(**dict(row.setting)),
        numbers=tuple(
            _number(row.metrics.get(one.name), row.estimator in best[one.name]) for one in board.metrics
        ),
        interval=_interval(chosen),
        to_best=_to_best(row),
        evaluations="–" if cost.evaluations_per_step is None else f"{cost.evaluations_per_step:,}",
        cost="–" if cost.relative is None else f"{cost.relative:.2f}×",
        tried=f"{row.settings_tried:,}",
        seeds=f"{row.n}" if row.n == row.seeds_wanted else f"{row.n} of {row.seeds_wanted}",
    )


def _number(summary: Summary | None, best: bool) -> Number:
    if summary is None:
        return Number(value="–", sd="", best=False)
    digits = numbers.split_digits(summary.mean, _half(summary))
    sd = "" if summary.sd is None else f"± {numbers.compact(summary.sd)}"
    return Number(value="".join(digits), sd=sd, best=best)


def _half(summary: Summary) -> float | None:
    return None if summary.low is None or summary.high is None else (summary.high - summary.low) / 2


def _interval(summary: Summary | None) -> str:
    if summary is None or summary.low is None or summary.high is None:
        return "–"
    decimals = numbers.decimals_for(_half(summary), summary.mean)
    return f"{numbers.text(summary.low, decimals)} to {numbers.text(summary.high, decimals)}"


def _to_best(row: BoardRow) -> str:
    one = row.standing.to_best
    if one is None:
        return "best"
    if one.mean is None:
        return "–"
    half = None if one.low is None or one.high is None else (one.high - one.low) / 2
    return numbers.text(one.mean, numbers.decimals_for(half, one.mean), signed=True)


def _sources(board: Board) -> list[str]:
    """Every quoted number's origin once."""
    quoted = [one for row in board.rows for one in row.references] + board.references
    lines = [
        f"{one.label}: {numbers.origin(one.source, n=one.n, slip=one.slip)}."
        + (f" Not like with like: {one.comparable.rstrip('.')}." if one.comparable else "")
        for one in quoted
    ]
    return list(dict.fromkeys(lines))


def _provenance(board: Board) -> list[tuple[str, str]]:
    settings = sorted({row.settings_tried for row in board.rows})
    chosen = board.metrics[0]
    pairs = [
        ("Board", board.id),
        (
            "Chosen by",
            f"{metric_label(chosen)}, {board.interval.method} intervals over {board.interval.over}",
        ),
        ("Settings tried", " to ".join(map(str, _ends(settings))) or "–"),
        ("Task", f"{board.task.id} version {board.task.version}"),
        ("Versions", "; ".join(f"{row.title} {row.version}" for row in board.rows)),
    ]
    pairs += [(name.capitalize(), "; ".join(found)) for name, found in board.versions.items() if found]
    pairs.append(("Different code", " ".join(board.mixed_code)))
    if board.repeat is not None:
        pairs += [("Data", f"{one.name}, {one.digest[:16]}…") for one in board.repeat.data]
        pairs.append(("Device time", numbers.duration(board.repeat.device_seconds_spent)))
        pairs.append(("Compute again", board.repeat.command))
    return [(term, text) for term, text in pairs if text]


def _ends(ordered: Sequence[int]) -> list[int]:
    return list(dict.fromkeys([*ordered[:1], *ordered[-1:]]))
