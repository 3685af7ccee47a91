"""What pages, the API and the command line show of sweeps."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from service.errors import NotFound
from service.resources import describe, metrics, paging, schemas
from service.resources.costs import costs
from service.resources.remaining import progress, trials_by_state
from service.states import SweepState, TrialState, sweep_state
from service.storage.engine import database_clock, read
from service.storage.queries import boards, sweeps, trials
from service.storage.queries.boards import BoardRow
from service.storage.queries.sweeps import BoardRule, CellRow, Search, SweepRow
from service.storage.queries.trials import TrialRow

LONGEST_ID = 10
"""Digits that no id has."""
SHOWN_CHOICES = 200
"""Owners, and tags, that a list of sweeps offers to search by."""
SHOWN_FAILURES = 20
"""Failures with their tracebacks on the page of a sweep; the list of its trials has all."""
SHOWN_SEEDS = 3_000
"""Trials that are named one by one on a page of cells; where it has more, none is."""
SHOWN_BOARDS = 20
"""Boards in the answer on a sweep; the list of its boards has all."""


def list_sweeps(
    engine: Engine,
    *,
    limit: int,
    page_token: str | None = None,
    deleted: bool = False,
    search: Search = Search(),  # noqa: B008 - it is frozen
) -> schemas.SweepList:
    """Newest first: those that are there, or those in the bin, all of them or those searched for.

    Raises:
        InvalidPageToken: the token is not one of this list's.
    """
    kind = "sweeps-deleted" if deleted else "sweeps"
    before = paging.last_id(kind, page_token)
    with read(engine) as connection:
        rows = sweeps.sweep_rows(connection, limit=limit + 1, before=before, deleted=deleted, search=search)
        lines = _lines(connection, rows[:limit])
    more = paging.token(kind, rows[limit - 1].id) if len(rows) > limit else None
    return schemas.SweepList(sweeps=lines, next_page_token=more)


def asked_for(*, owner: str = "", state: SweepState | None = None, tag: str = "", q: str = "") -> Search:
    """What is asked of a list of sweeps; an empty text asks for nothing."""
    words = tuple(q.replace("\0", "").split())
    return Search(owner=owner or None, state=state, tag=tag or None, words=words)


def choices(engine: Engine) -> tuple[list[str], list[str]]:
    """Owners and tags that sweeps can be searched by."""
    with read(engine) as connection:
        return (
            sweeps.all_owners(connection, limit=SHOWN_CHOICES),
            sweeps.all_tags(connection, limit=SHOWN_CHOICES),
        )


def show_sweep(engine: Engine, sweep_id: str) -> schemas.SweepDetail:
    """A sweep with its first boards and failures.

    Raises:
        NotFound: there is no such sweep.
    """
    with read(engine) as connection:
        row = stored_sweep(connection, sweep_id)
        line = _lines(connection, [row])[0]
        failed = []
        if row.failed:
            failed = trials.sweep_trials(connection, row.id, limit=SHOWN_FAILURES, state=TrialState.FAILED)
        all_failed = failed_trials(connection, row)
        board_rows = boards.boards_by_id(connection, sweeps.board_ids(connection, row.id, limit=SHOWN_BOARDS))
        fallbacks = sweeps.fallback_rows(connection, row.id)
        rule = sweeps.board_rule(connection, row.id)
    return schemas.SweepDetail(
        **dict(line),
        task=rule.task,
        select=rule.select,
        select_label=metrics.selection_label(rule.task, rule.select),
        report=list(rule.report),
        boards=[_board(board, rule) for board in board_rows],
        boards_total=row.boards,
        cells_total=row.cells,
        new_trials=row.new_trials,
        failures=[failure(trial) for trial in failed],
        failures_left_out=all_failed - len(failed),
        fallbacks=[schemas.Fallback.model_validate(one._asdict()) for one in fallbacks],
    )


def open_sweeps(connection: Connection, *, besides: Sequence[int]) -> list[schemas.SweepLine]:
    """Sweeps that have not finished, and these whether they have or not; those in the bin are left out."""
    return _lines(connection, sweeps.open_rows(connection, besides=besides))


def sweep_line(engine: Engine, id: str) -> schemas.SweepLine:
    """A sweep as it stands in lists.

    Raises:
        NotFound: there is no such sweep.
    """
    with read(engine) as connection:
        return _lines(connection, [stored_sweep(connection, id)])[0]


def sweep_id(text: str) -> int:
    """The number that a sweep's id is.

    Raises:
        NotFound: no sweep can have this id.
    """
    if not (text.isascii() and text.isdigit() and len(text) < LONGEST_ID):
        raise NotFound(f"there is no sweep {text!r}")
    return int(text)


def list_boards(
    engine: Engine, sweep_id: str, *, limit: int, page_token: str | None = None
) -> schemas.SweepBoardList:
    """The sweep's boards, in the order they were first submitted.

    Raises:
        NotFound: there is no such sweep.
        InvalidPageToken: the token is not one of this list's.
    """
    with read(engine) as connection:
        sweep = stored_sweep(connection, sweep_id)
        kind = f"boards-{sweep.id}"
        after = paging.last_id(kind, page_token)
        ids = sweeps.board_ids(connection, sweep.id, limit=limit + 1, after=after)
        rows = boards.boards_by_id(connection, ids[:limit])
        rule = sweeps.board_rule(connection, sweep.id)
    more = paging.token(kind, ids[limit - 1]) if len(ids) > limit else None
    return schemas.SweepBoardList(boards=[_board(row, rule) for row in rows], next_page_token=more)


def list_cells(
    engine: Engine, sweep_id: str, *, limit: int, page_token: str | None = None, estimator: str = ""
) -> schemas.CellList:
    """The sweep's cells, all or those of one estimator, board by board, with the states of their seeds.

    Raises:
        NotFound: there is no such sweep.
        InvalidPageToken: the token is not one of this list's.
    """
    with read(engine) as connection:
        sweep = stored_sweep(connection, sweep_id)
        kind = f"cells-{sweep.id}"
        after = paging.last_id(kind, page_token)
        rows = sweeps.cell_rows(
            connection, sweep.id, limit=limit + 1, after=after, estimator=estimator or None
        )
        cells = _cells(connection, sweep.id, rows[:limit])
    more = paging.token(kind, rows[limit - 1].id) if len(rows) > limit else None
    return schemas.CellList(cells=cells, next_page_token=more)


def list_trials(
    engine: Engine,
    sweep_id: str,
    *,
    limit: int,
    page_token: str | None = None,
    state: TrialState | None = None,
) -> schemas.TrialList:
    """The sweep's trials, all or those in one state, with their final metrics.

    Raises:
        NotFound: there is no such sweep.
        InvalidPageToken: the token is not one of this list's.
    """
    with read(engine) as connection:
        sweep = stored_sweep(connection, sweep_id)
        kind = f"trials-{sweep.id}-{state or 'all'}"
        after = paging.last_id(kind, page_token)
        rows = trials.sweep_trials(connection, sweep.id, limit=limit + 1, after=after, state=state)
        finals = trials.final_metrics(connection, [row.id for row in rows[:limit]])
        spent = costs(connection, rows[:limit])
    more = paging.token(kind, rows[limit - 1].id) if len(rows) > limit else None
    shown = [trial(row, finals.get(row.id, {}), spent.get(row.id)) for row in rows[:limit]]
    return schemas.TrialList(trials=shown, next_page_token=more)


def trial(row: TrialRow, finals: dict[str, float], cost: schemas.TrialCost | None) -> schemas.Trial:
    """A stored trial as it is shown."""
    return schemas.Trial(
        key=row.key,
        label=describe.trial_label(row.spec),
        state=row.state,
        spec=row.spec.to_json(),
        metrics=dict(finals),
        error=row.error,
        traceback=row.traceback,
        seconds=row.seconds,
        diverged_at=row.diverged_at,
        cost=cost,
    )


def _board(row: BoardRow, rule: BoardRule) -> schemas.SweepBoard:
    link = describe.board_link(row.task_key, row.task, trials=row.trials, succeeded=row.succeeded)
    path = metrics.board_path(row.task_key, rule.select, rule.report)
    return schemas.SweepBoard(**dict(link), page=path, href=f"{schemas.PREFIX}{path}")


def stored_sweep(connection: Connection, id: str) -> SweepRow:
    """The sweep with this id.

    Raises:
        NotFound: there is no such sweep.
    """
    found = sweeps.sweep_row(connection, sweep_id(id))
    if found is None:
        raise NotFound(f"there is no sweep {id!r}")
    return found


def failed_trials(connection: Connection, row: SweepRow) -> int:
    """How many of its trials are failed now: another sweep may have had them computed again."""
    return row.failed if row.recomputed_by is None else sweeps.failed_now(connection, row.id)


def _lines(connection: Connection, rows: Sequence[SweepRow]) -> list[schemas.SweepLine]:
    open_ids = [row.id for row in rows if row.finished_at is None]
    running = sweeps.running_rows(connection, open_ids) if open_ids else []
    now, tags = database_clock(connection), sweeps.tags(connection, [row.id for row in rows])
    lines = []
    for row in rows:
        mine = [one for one in running if one.sweep_id == row.id]
        lines.append(
            schemas.SweepLine(
                id=str(row.id),
                name=row.name,
                state=sweep_state(trials_by_state(row, mine), row.held),
                owner=row.owner,
                description=row.description,
                tags=tags.get(row.id, []),
                priority=row.priority,
                held=row.held,
                deleted_at=row.deleted_at,
                created_at=row.created_at,
                finished_at=row.finished_at,
                trials=row.trials,
                progress=progress(row, mine, now=now),
                recomputed_by=None if row.recomputed_by is None else str(row.recomputed_by),
            )
        )
    return lines


def _cells(connection: Connection, sweep_id: int, rows: Sequence[CellRow]) -> list[schemas.CellProgress]:
    counts = {row.id: {state.value: 0 for state in TrialState} for row in rows}
    for one in sweeps.cell_state_rows(connection, sweep_id, list(counts)):
        counts[one.cell_id][one.state] = one.trials
    seeds: dict[int, list[schemas.SeedTrial]] = {id: [] for id in counts}
    if sum(sum(each.values()) for each in counts.values()) <= SHOWN_SEEDS:
        for seed in sweeps.seed_rows(connection, sweep_id, list(counts)):
            seeds[seed.cell_id].append(schemas.SeedTrial(key=seed.key, seed=seed.seed, state=seed.state))
    rule = sweeps.board_rule(connection, sweep_id)
    board = boards.tasks_by_id(connection, sorted({row.board_id for row in rows}))
    titles = {id: describe.board_title(task) for id, (_, task) in board.items()}
    return [
        schemas.CellProgress(
            cell=row.cell_key,
            board=board[row.board_id][0],
            board_title=titles[row.board_id],
            board_page=metrics.board_path(board[row.board_id][0], rule.select, rule.report),
            estimator=row.spec.estimator.id,
            title=describe.estimator_title(row.spec.estimator),
            setting=describe.setting(row.spec),
            counts=counts[row.id],
            seeds=sum(counts[row.id].values()),
            trials=seeds[row.id],
        )
        for row in rows
    ]


def failure(row: TrialRow) -> schemas.Failure:
    """A failed trial as it is shown."""
    return schemas.Failure(
        key=row.key,
        label=describe.trial_label(row.spec),
        error=row.error or "",
        traceback=row.traceback,
        diverged_at=row.diverged_at,
    )
