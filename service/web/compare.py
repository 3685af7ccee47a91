"""The page that holds an estimator against others: a paired plot, a table, what can be concluded."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from service.dependencies import (
    EngineDep,
    Margin,
    Metric,
    OptionalFirst,
    OptionalOthers,
    OtherBoard,
    Select,
)
from service.resources import boards, comparison_words, comparisons, numbers
from service.resources.board_schemas import Board
from service.resources.colours import colours
from service.resources.comparison_schemas import ComparedCell, Comparison, HeldAgainst
from service.resources.comparisons import Question
from service.resources.labels import metric_header
from service.resources.metrics import known_metrics, metric_info
from service.resources.schemas import PREFIX
from service.web.paired import paired_plot
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CHIPS = {"better": "succeeded", "worse": "failed", "equivalent": "running", "undecided": ""}
SIGNS = {"better": "✓", "worse": "✗", "equivalent": "≈", "undecided": "?"}


@router.get("/boards/{id}/compare")
def compare_page(
    engine: EngineDep,
    id: str,
    a: OptionalFirst = None,
    b: OptionalOthers = None,
    board: OtherBoard = None,
    metric: Metric = None,
    select: Select = None,
    margin: Margin = 0.0,
) -> HTMLResponse:
    """A comparison; without ``a`` and ``b`` that of the two best of the board."""
    shown = boards.show_board(engine, id, select=select, report=[])
    first, others = _choice(shown, a, b, elsewhere=board is not None)
    asked = Question(
        first=first, others=others, board=id, other_board=board, metric=metric, select=select, margin=margin
    )
    found = comparisons.compare(engine, asked) if first and others else None
    return page("compare.html", section="boards", **_form(shown, asked), **_shown(found, asked))


def _choice(board: Board, a: str | None, b: list[str] | None, *, elsewhere: bool) -> tuple[str, list[str]]:
    """What is compared: what is asked for, else the best against the next one."""
    names = [row.estimator for row in board.rows]
    first = a or (names[0] if names else "")
    if b:
        return first, list(dict.fromkeys(one for one in b if one != first or elsewhere))
    return first, [name for name in names if name != first][:1]


def _form(board: Board, asked: Question) -> dict[str, Any]:
    """What can be chosen, and what is."""
    names = {row.estimator: row.title for row in board.rows}
    known = {asked.first, *asked.others}
    return {
        "board": board,
        "asked": asked,
        "estimators": [*names.items(), *((one, one) for one in sorted(known - names.keys()) if one)],
        "metrics": known_metrics(board.task.id),
        "metric": asked.metric or board.select,
        "unit": metric_info(board.task.id, asked.metric or board.select).unit,
        "api": f"{PREFIX}/boards/{board.id}/compare?{_query(asked)}",
    }


def _query(asked: Question) -> str:
    """The question as an address holds it."""
    named = {"board": asked.other_board, "metric": asked.metric, "select": asked.select}
    pairs = [("a", asked.first), *(("b", other) for other in asked.others)]
    pairs += [(name, value) for name, value in named.items() if value is not None]
    return urlencode([*pairs, *([("margin", f"{asked.margin:g}")] if asked.margin else [])])


def _shown(found: Comparison | None, asked: Question) -> dict[str, Any]:
    """The comparisons in words and positions; none where a board has fewer than two estimators."""
    if found is None:
        return {"found": None, "rows": [], "header": ""}
    cells = [found.first, *(one.other for one in found.comparisons)]
    styles = colours(cell.estimator for cell in cells)
    return {
        "found": found,
        "header": metric_header(found.metric),
        "first": _cell(found.first, found.comparisons[0].other, styles),
        "rows": [_row(found.first, one, asked, styles) for one in found.comparisons],
    }


def _cell(cell: ComparedCell, beside: ComparedCell, styles: dict[str, str]) -> dict[str, str]:
    return {
        "name": comparison_words.name(cell, beside),
        "setting": numbers.setting(**dict(cell.setting)),
        "colour": styles[cell.estimator],
        "mean": numbers.five_digits(cell.mean),
        "href": f"/estimators/{cell.estimator}",
    }


def _row(first: ComparedCell, held: HeldAgainst, asked: Question, styles: dict[str, str]) -> dict[str, Any]:
    one, other = _cell(first, held.other, styles), _cell(held.other, first, styles)
    low, high = held.low, held.high
    half = None if low is None or high is None else (high - low) / 2
    decimals = numbers.decimals_for(half, held.mean or 0.0)
    signed = [numbers.text(value, decimals, signed=True) for value in (held.mean, low, high)]
    return {
        "held": held,
        "first": one,
        "other": other,
        "better_by": signed[0],
        "interval": "–" if half is None else f"{signed[1]} to {signed[2]}",
        "p": "–" if held.test == "none" else comparison_words.p_text(held.p_adjusted).removeprefix("= "),
        "detectable": "–" if held.detectable is None else numbers.compact(held.detectable),
        "needed": "–" if held.seeds_needed is None else f"{held.seeds_needed:,}",
        "chip": CHIPS[held.verdict],
        "sign": SIGNS[held.verdict],
        "plot": paired_plot(held, margin=asked.margin, first=one["name"], other=other["name"]),
        "values": [_pair(pair.seed, pair.first, pair.second, pair.better_by) for pair in held.pairs],
    }


def _pair(seed: int, *values: float | None) -> dict[str, Any]:
    first, second, better_by = values
    return {
        "seed": seed,
        "first": numbers.five_digits(first),
        "second": numbers.five_digits(second),
        "better_by": "–" if better_by is None else f"{better_by:+.3g}".replace("-", "−"),
    }
