"""The page of a board: its table, and what answers four questions about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import Engine
from starlette.responses import HTMLResponse

from estimators.info import Value
from service.dependencies import EngineDep, IntervalQuery, Report, Select
from service.resources import boards, fallbacks, metrics, numbers
from service.resources.board_schemas import Board
from service.resources.boards import INTERVALS
from service.resources.labels import metric_header, metric_label
from service.resources.schemas import MetricInfo
from service.web.address import Address, rule
from service.web.board_costs import costs
from service.web.board_details import row_details
from service.web.board_files import files
from service.web.board_states import empty_state
from service.web.curves import training_curves
from service.web.leaderboard import leaderboard
from service.web.luck import luck
from service.web.names import names
from service.web.render import page, templates
from service.web.tuning import tuning

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

RELEASES = ("heunboard", "torch")
"""What of a board's provenance is named by its version."""

SPLITS = {"train": "training", "valid": "validation", "test": "test"}

MOST_OPEN = 20
"""Rows that one address opens."""

Scale = Annotated[Literal["all"] | None, Query(description="What the axis of intervals spans.")]
Opened = Annotated[list[str] | None, Query(alias="open", max_length=MOST_OPEN)]


@router.get("/boards/{id}")
def board_page(
    engine: EngineDep,
    id: str,
    select: Select = None,
    report: Report = None,
    interval: IntervalQuery = "t",
    scale: Scale = None,
    opened: Opened = None,
) -> HTMLResponse:
    """One board; the address holds which metric chooses, which are shown, and what is open."""
    board = boards.show_board(engine, id, select=select, report=report, interval=interval)
    there = names(board)
    known = tuple(id for id in dict.fromkeys(opened or ()) if id in there)
    address = Address(
        board=board.id,
        **rule(board, board.select, board.report),
        interval=None if interval == "t" else interval,
        scale=scale,
        opened=known,
    )
    details = {id: row_details(engine, board, id) for id in known}
    return page("board.html", section="boards", details=details, **board_context(board, address))


@router.get("/boards/{id}/estimators/{estimator}")
def board_row(
    engine: EngineDep, id: str, estimator: str, select: Select = None, report: Report = None
) -> HTMLResponse:
    """The part of a board's page that its script fetches when a row is opened."""
    return HTMLResponse(row_part(engine, id, estimator, select=select, report=report))


def row_part(engine: Engine, id: str, estimator: str, *, select: str | None, report: list[str] | None) -> str:
    """What one row opens to."""
    board = boards.show_board(engine, id, select=select, report=report)
    opened = row_details(engine, board, estimator)
    return templates().get_template("_board_row.html").render(board=board, opened=opened)


def board_context(board: Board, address: Address) -> dict[str, Any]:
    """Everything that ``board.html`` shows but what is open."""
    chosen, *others = board.metrics
    named = names(board)
    return {
        "board": board,
        "named": named,
        "goal": board.goal,
        "chosen": _describe(chosen),
        "others": [_describe(m) for m in others],
        "default": _default(board),
        "selectable": _selectable(board, address),
        "files": files(board),
        "permalink": str(address),
        "task_values": ", ".join(_assignment(k, v) for k, v in board.task.parameters.items()),
        "other_interval": _other_interval(address),
        "provenance": provenance(board, chosen),
        "repeat_time": numbers.duration(board.repeat.device_seconds) if board.repeat else "",
        "empty": [] if board.rows else empty_state(board),
        "warning": fallbacks.warning(board.fallbacks),
        **leaderboard(board, address),
        **tuning(board, named),
        **luck(board),
        **costs(board, named),
        **training_curves(board, chosen, named),
    }


def _other_interval(address: Address) -> dict[str, str]:
    """The interval that is not shown, and its page."""
    if address.interval is None:
        return {"title": INTERVALS["bootstrap"].method, "href": address.but(interval="bootstrap")}
    return {"title": INTERVALS["t"].method, "href": address.but(interval=None)}


def provenance(board: Board, chosen: MetricInfo) -> list[tuple[str, str]]:
    """Terms and texts of "How this board was computed"."""
    shown = sum(row.n for row in board.rows)
    waiting = ", ".join(f"{n:,} {s}" for s, n in board.counts.items() if n and s != "succeeded")
    pairs = [
        ("Trials", f"{shown:,} shown, {board.trials:,} in the board" + (f" ({waiting})" if waiting else "")),
        ("Settings tried", _span(row.settings_tried for row in board.rows)),
        ("Chosen on", _chosen_on(board, chosen)),
        *_repeat(board),
        ("Versions", _versions(board)),
        ("Computed on", "; ".join(board.versions.get("device", ()))),
        ("Steps done as", "; ".join(board.versions.get("executor", ()))),
        (
            "Intervals",
            f"{board.interval.method}, {100 * board.interval.level:g} %, over {board.interval.over}",
        ),
        ("Statistics", f"version {board.scoring_version}"),
        ("Metric", chosen.description),
    ]
    return [(term, text) for term, text in pairs if text]


def _repeat(board: Board) -> list[tuple[str, str]]:
    found = board.repeat
    if found is None:
        return []
    data = "; ".join(f"{one.name} {one.digest[:12]}" for one in found.data)
    return [
        ("Seeds", ", ".join(map(str, found.seeds))),
        ("Data", data),
        ("Revision", ", ".join(one[:12] for one in found.revisions)),
        ("Device time", f"{numbers.duration(found.device_seconds) or '0 s'} for what is shown, "
         f"about {numbers.duration(found.device_seconds_spent) or '0 s'} with all settings"),
    ]  # fmt: skip


def _chosen_on(board: Board, chosen: MetricInfo) -> str:
    label = f"{metric_label(chosen)} ({SPLITS[chosen.split]} data)"
    if not board.rows:
        return label
    seeds = _span(row.n for row in board.rows)
    return f"{label}, mean of {seeds} seeds; a setting needs {board.enough_seeds}"


def _versions(board: Board) -> str:
    versions = [f"{board.task.id} {board.task.version}"]
    versions += [f"{row.estimator} {row.version}" for row in board.rows]
    versions += [
        f"{name} {', '.join(found)}" for name, found in board.versions.items() if name in RELEASES and found
    ]
    return "; ".join(versions)


def _span(counts: Iterable[int]) -> str:
    """``3`` or ``3 to 10``; empty of nothing."""
    found = sorted(set(counts))
    return " to ".join(map(str, dict.fromkeys([found[0], found[-1]]))) if found else ""


def _assignment(name: str, value: Value) -> str:
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"


def _describe(metric: MetricInfo) -> dict[str, str]:
    label, header = metric_label(metric), metric_header(metric)
    return {"name": metric.name, "title": metric.title, "label": label, "header": header}


def _selectable(board: Board, address: Address) -> list[dict[str, str]]:
    """Every metric that the task reports, in its order, with the page on which it chooses."""
    return [
        {"name": metric.name, "title": metric.title, "href": address.chosen_by(board, metric.name)}
        for metric in metrics.known_metrics(board.task.id)
    ]


def _default(board: Board) -> dict[str, Any] | None:
    """The task's own rule and its page, where the board is shown by another one."""
    if (board.select, board.report) == (board.default_select, board.default_report):
        return None
    select, *report = (
        metric_label(metrics.metric_info(board.task.id, name))
        for name in (board.default_select, *board.default_report)
    )
    return {"select": select, "report": report, "href": f"/boards/{board.id}"}
