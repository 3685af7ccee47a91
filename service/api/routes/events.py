"""``/events``: what changes, as it changes (server-sent events), or how it stands for those who ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from pydantic import StringConstraints

from service.api import openapi
from service.api.live.bulletin import Topics
from service.api.live.hub import Hub, Listener
from service.api.live.stream import EventStream
from service.resources.live_schemas import Kind, Latest, LatestEvent
from service.resources.sweeps import sweep_id

router = APIRouter(prefix="/events", tags=["events"])

EVENTS: openapi.Answers = {
    200: {
        "content": {
            EventStream.media_type: {
                "schema": {
                    "type": "object",
                    "description": "One event; streams begin with `retry`, and comments keep them alive.",
                    "properties": {
                        "id": {"type": "string"},
                        "event": {"type": "string", "enum": list(get_args(Kind))},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                    "required": ["event", "data"],
                }
            }
        }
    }
}
NOT_THERE = openapi.problems(not_found="What is named as a sweep cannot be the id of one.")

MOST_SUBJECTS = 100
LATEST_S = 5.0
"""How long the database may take to answer those who ask from time to time."""

Sweeps = Annotated[list[str] | None, Query(max_length=MOST_SUBJECTS, description="Ids of sweeps.")]
BoardKey = Annotated[str, StringConstraints(pattern="^[0-9a-f]{1,64}$")]
Boards = Annotated[list[BoardKey] | None, Query(max_length=MOST_SUBJECTS, description="Ids of boards.")]
Kinds = Annotated[list[Kind] | None, Query(max_length=MOST_SUBJECTS, description="Kinds of events.")]


def _topics(sweep: Sweeps = None, board: Boards = None, kind: Kinds = None) -> Topics:
    kinds = None if kind is None else frozenset(kind)
    return Topics(sweeps=frozenset(map(sweep_id, sweep or ())), boards=frozenset(board or ()), kinds=kinds)


async def _listener(
    request: Request,
    topics: Annotated[Topics, Depends(_topics)],
    last_event_id: Annotated[str | None, Header(description="The id of the last event that came.")] = None,
) -> AsyncIterator[Listener]:
    hub: Hub = request.app.state.hub
    with hub.listener(topics, last_event_id=last_event_id) as listener:
        yield listener


async def _asker(request: Request, topics: Annotated[Topics, Depends(_topics)]) -> AsyncIterator[Listener]:
    hub: Hub = request.app.state.hub
    with hub.listener(topics, stays=False) as listener:
        yield listener


@router.get("", status_code=HTTPStatus.OK, response_class=EventStream, responses=EVENTS | NOT_THERE)
async def events(listener: Annotated[Listener, Depends(_listener)]) -> EventStream:
    """What changes: first how everything stands that is asked for, then every change.

    Events are `running` (all that goes on), `progress` and `sweep` (how far a sweep is, its state; of all
    that go on, or of those named), and `board` (other results; of boards that are named). A sweep that is
    not there is `deleted`. With `Last-Event-ID` only what is newer comes. Too many listeners: 503.
    """
    return EventStream(listener)


@router.get("/latest", responses=NOT_THERE)
async def latest(listener: Annotated[Listener, Depends(_asker)]) -> Latest:
    """How everything stands that is asked for: the first events of the stream, for who cannot listen."""
    try:
        found = await listener.first(LATEST_S)
    except TimeoutError:
        raise HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer for now", {"Retry-After": "5"}
        ) from None
    return Latest(
        events=[
            LatestEvent(id=one.id, event=one.news.kind, data=one.news.data.model_dump(mode="json"))
            for one in found
        ]
    )
