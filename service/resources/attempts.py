"""What the API and the command line show of attempts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from service.errors import NotFound
from service.resources import paging, schemas
from service.storage.engine import read
from service.storage.queries import attempts
from service.storage.queries.attempts import AttemptRow, Search, Wanted

_RENAMED = {"products": "matmul"}
"""Fields of provenance that older versions stored under another name."""


def find_attempts(
    engine: Engine, search: Search, *, limit: int, page_token: str | None = None
) -> schemas.AttemptPage:
    """Attempts, newest first.

    Raises:
        InvalidPageToken: the token is not one of this list's.
        NotFound: the text of the search holds a NUL, which nothing does.
    """
    if "\0" in f"{search.host}{search.text}":
        raise NotFound("no attempt says that")
    before = paging.last_id("attempts", page_token)
    with read(engine) as connection:
        rows = attempts.found_attempts(connection, search, limit=limit + 1, before=before)
        shown = rows[:limit]
        wanted = attempts.sweeps_of(connection, sorted({row.cohort_id for row in shown}))
    more = paging.token("attempts", shown[-1].id) if len(rows) > limit else None
    found = [
        schemas.FoundAttempt(
            **attempt_fields(row), sweeps=[_sweep(one) for one in wanted if one.cohort_id == row.cohort_id]
        )
        for row in shown
    ]
    return schemas.AttemptPage(attempts=found, next_page_token=more)


def attempt_fields(row: AttemptRow) -> dict[str, Any]:
    """The fields of :class:`service.resources.schemas.Attempt`."""
    fields = row._asdict()
    del fields["resumed"]  # of each trial; who asks about one takes it from there
    fields["cohort"] = fields.pop("cohort_id")
    fields["finished_at"] = fields.pop("ended_at")
    fields["provenance"] = _provenance(row.provenance)
    return fields


def _sweep(wanted: Wanted) -> schemas.SweepOfAttempt:
    id = str(wanted.sweep_id)
    return schemas.SweepOfAttempt(id=id, name=wanted.name, page=f"/sweeps/{id}")


def _provenance(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """Stored provenance with the names of today."""
    return stored and {_RENAMED.get(name, name): value for name, value in stored.items()}
