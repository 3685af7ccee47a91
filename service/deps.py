"""What routes depend on, as annotated types."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy import Engine

MAX_PAGE = 500


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


EngineDep = Annotated[Engine, Depends(_engine)]
"""The database."""

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Entries on one page.")]
PageToken = Annotated[
    str | None, Query(max_length=200, description="next_page_token of the page before this one.")
]
