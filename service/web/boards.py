"""The pages of boards: all of them, and one with its table, curves and provenance."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from estimators.info import Value
from service.dependencies import EngineDep, PageToken, Report, Select
from service.resources import boards, fallbacks, metrics
from service.resources.board_schemas import Board
from service.resources.labels import metric_header, metric_label
from service.resources.schemas import MetricInfo
from service.web.board_files import files
from service.web.curves import training_curves
from service.web.leaderboard import leaderboard
from service.web.render import PAGE, next_page, page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

RELEASES = ("heunboard", "torch")
"""What of a board's provenance is named by its version."""

SPLITS = {"train": "training", "valid": "validation", "test": "test"}


@router.get("/")
def boards_page(engine: EngineDep, page_token: PageToken = None) -> HTMLResponse:
    """All boards."""
    found = boards.list_boards(engine, limit=PAGE, page_token=page_token)
    following = next_page("/", found.next_page_token)
    return page("boards.html", section="boards", boards=found.boards, next_page=following)


@router.get("/boards/{id}")
def board_page(engine: EngineDep, id: str, select: Select = None, report: Report = None) -> HTMLResponse:
    """One board; the address holds which metric chooses and which are shown."""
    board = boards.show_board(engine, id, select=select, report=report)
    return page("board.html", section="boards", **board_context(board))


def board_context(board: Board) -> dict[str, Any]:
    """Everything that ``board.html`` shows."""
    chosen, *others = board.metrics
    return {
        "board": board,
        "goal": board.goal,
        "chosen": _describe(chosen),
        "others": [_describe(m) for m in others],
        "default": _default(board),
        "selectable": _selectable(board),
        "files": files(board),
        "provenance": provenance(board, chosen),
        "warning": fallbacks.warning([dict(one) for one in board.fallbacks]),
        **leaderboard(board),
        **training_curves(board, chosen),
    }


def provenance(board: Board, chosen: MetricInfo) -> list[tuple[str, str]]:
    """Terms and texts of "How this board was computed"."""
    shown = sum(row.n for row in board.rows)
    tried = sorted({row.settings_tried for row in board.rows})
    settings = "–" if not tried else str(tried[0]) if len(tried) == 1 else f"{tried[0]} to {tried[-1]}"
    seeds = sorted({row.n for row in board.rows})
    span = "–" if not seeds else str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    waiting = ", ".join(f"{n:,} {s}" for s, n in board.counts.items() if n and s != "succeeded")
    pairs = [
        ("Trials", f"{shown:,} shown, {board.trials:,} in the board" + (f" ({waiting})" if waiting else "")),
        ("Settings tried", f"{settings} for each estimator"),
        ("Chosen on", f"{metric_label(chosen)} ({SPLITS[chosen.split]} data), mean of {span} seeds"),
        ("Task", ", ".join(_assignment(k, v) for k, v in board.task.parameters.items())),
    ]
    versions = [f"{board.task.id} {board.task.version}"]
    versions += [f"{row.estimator} {row.version}" for row in board.rows]
    versions += [f"{name} {', '.join(found)}" for name, found in board.versions.items() if name in RELEASES]
    pairs.append(("Versions", "; ".join(versions)))
    if board.versions.get("device"):
        pairs.append(("Computed on", "; ".join(board.versions["device"])))
    if board.versions.get("executor"):
        pairs.append(("Steps done as", "; ".join(board.versions["executor"])))
    return [*pairs, ("Metric", chosen.description)]


def _assignment(name: str, value: Value) -> str:
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"


def _describe(metric: MetricInfo) -> dict[str, str]:
    label, header = metric_label(metric), metric_header(metric)
    return {"title": metric.title, "label": label, "header": header}


def _selectable(board: Board) -> list[dict[str, str]]:
    """Every metric that the task reports, in its order, with the page on which it chooses."""
    return [
        {"name": metric.name, "title": metric.title, "href": _chosen_by(board, metric.name)}
        for metric in metrics.known_metrics(board.task.id)
    ]


def _chosen_by(board: Board, select: str) -> str:
    """The page with another choosing metric; one that was reported changes places with the present one."""
    report = [board.select if name == select else name for name in board.report]
    if (select, report) == (board.default_select, board.default_report):
        return f"/boards/{board.id}"
    return metrics.board_path(board.id, select, report)


def _default(board: Board) -> dict[str, Any] | None:
    """The task's own rule and its page, where the board is shown by another one."""
    if (board.select, board.report) == (board.default_select, board.default_report):
        return None
    select, *report = (
        metric_label(metrics.metric_info(board.task.id, name))
        for name in (board.default_select, *board.default_report)
    )
    return {"select": select, "report": report, "href": f"/boards/{board.id}"}
