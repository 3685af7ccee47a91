"""What routes of the API and of the pages take from a request, as annotated types."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request
from sqlalchemy import Engine

from benchmarks.scoring.seeds import Method
from benchmarks.sweep_file.limits import MAX_NAME_LENGTH
from service.access import callers
from service.access.authentication import Authentication
from service.access.callers import Caller
from service.errors import NotFound
from service.resources import sweeps
from service.states import Scope, SweepState
from service.storage.engine import read
from service.storage.queries import access
from service.storage.queries.sweeps import Search

MAX_PAGE = 500


SweepId = Annotated[str, Path(description="Id of a sweep.", examples=["1"])]
BoardId = Annotated[str, Path(description="Id of a board.", examples=["3f9d2c1a40b27c5e8d16af9032e47b58"])]
TrialKey = Annotated[str, Path(description="Key of a trial.", examples=["8c1b7e44d09a35f26be1c7802f5d94a3"])]
EstimatorId = Annotated[str, Path(description="Id of an estimator.", examples=["reinmax"])]
TaskId = Annotated[str, Path(description="Id of a task.", examples=["polynomial"])]
SuiteId = Annotated[str, Path(description="Id of a suite.", examples=["reinmax-2023"])]
ExhibitId = Annotated[str, Path(description="Id of a table or figure of the suite.", examples=["table1"])]
NodeName = Annotated[str, Path(description="Name of a node.", examples=["127.0.0.1"])]
TokenId = Annotated[
    str, Path(description="Id of a token: the part that is no secret.", examples=["3f9d2c1a"])
]


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


EngineDep = Annotated[Engine, Depends(_engine)]
"""The database."""


def _published(request: Request) -> pathlib.Path:
    folder: pathlib.Path = request.app.state.published
    return folder


def _measured(request: Request) -> pathlib.Path:
    folder: pathlib.Path = request.app.state.measured
    return folder


def _owner_trials(request: Request) -> int | None:
    most: int | None = request.app.state.owner_trials
    return most


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


async def _caller() -> Caller:
    return callers.current()


async def _administrator() -> None:
    callers.current().require(Scope.ADMIN)


def _authentication(request: Request) -> Authentication:
    found: Authentication = request.app.state.authentication
    return found


def _own_sweep(engine: EngineDep, id: SweepId) -> None:
    caller = callers.current()
    if caller.may(Scope.ADMIN):
        return
    with read(engine) as connection:
        found = access.owner_of_sweep(connection, sweeps.sweep_id(id))
    if found is not None:  # what is not there is refused where it is looked for
        caller.require_own(found[0])


def cookie_name(request: Request) -> str:
    """Of the cookie of those who signed in. With TLS its prefix binds it to this host alone."""
    return "__Host-heunboard" if request.scope["scheme"] == "https" else "heunboard"


def require_text(request: Request) -> None:
    """Nothing has an id with a NUL character, and PostgreSQL refuses to look for one.

    Raises:
        NotFound: an id in the path has one.
    """
    if any("\0" in str(value) for value in request.path_params.values()):
        raise NotFound


CallerDep = Annotated[Caller, Depends(_caller)]
"""Who asks."""

AuthenticationDep = Annotated[Authentication, Depends(_authentication)]
"""Who tells who asks."""

ADMIN = Depends(_administrator)
"""For administrators alone; whatever does not say so is reached as :mod:`service.api.gate` says."""

OWN_SWEEP = Depends(_own_sweep)
"""For the owner of the sweep, and administrators."""

PublishedDep = Annotated[pathlib.Path, Depends(_published)]
"""The folder of the certificates that were published to this server."""

MeasuredDep = Annotated[pathlib.Path, Depends(_measured)]
"""The folder of the measurements that were published to this server."""

OwnerTrialsDep = Annotated[int | None, Depends(_owner_trials)]
"""Trials of one owner that may wait or run; ``None`` for any number."""

AddressDep = Annotated[str, Depends(_address)]
"""Where this server is reached, as the reader did: for commands to copy."""

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Entries on one page.")]
PageToken = Annotated[
    str | None, Query(max_length=200, description="next_page_token of the page before this one.")
]

Select = Annotated[str | None, Query(max_length=200, description="Metric that chooses the settings.")]
Report = Annotated[list[str] | None, Query(max_length=64, description="Metrics shown beside it.")]

IntervalQuery = Annotated[
    Method, Query(description="Interval of means over seeds: Student's t, or BCa bootstrap.")
]

Words = Annotated[str, Query(max_length=200, description="Words that all must be there, in any case.")]
"""What is searched for."""

TaskQuery = Annotated[str, Query(max_length=MAX_NAME_LENGTH, description="Id of a task.")]
"""A task; empty for all."""

NameQuery = Annotated[str, Query(max_length=MAX_NAME_LENGTH, description="Empty for all.")]
"""An id or a name."""

StateQuery = Annotated[SweepState | Literal[""], Query(description="Empty for all.")]


def _sweep_search(
    owner: NameQuery = "", state: StateQuery = "", q: Words = "", tag: NameQuery = ""
) -> Search:
    return sweeps.asked_for(
        owner=owner.replace("\0", ""), state=state or None, tag=tag.replace("\0", ""), q=q
    )


SweepSearch = Annotated[Search, Depends(_sweep_search)]
"""Which sweeps of a list are asked for."""
ComparedFirst = Annotated[
    str, Query(max_length=200, description="Estimator, ESTIMATOR@VERSION, or key of a setting.")
]
ComparedOthers = Annotated[
    list[str], Query(min_length=1, max_length=64, description="What it is held against, likewise.")
]
OptionalFirst = Annotated[str | None, Query(max_length=200)]
OptionalOthers = Annotated[list[str] | None, Query(max_length=64)]
"""The same on a page, which has an answer without them."""
OtherBoard = Annotated[
    str | None, Query(max_length=200, description="Board of the others; by default the same.")
]
Metric = Annotated[str | None, Query(max_length=200, description="Compared metric; by default that chooses.")]
Margin = Annotated[
    float, Query(ge=0, allow_inf_nan=False, description="Largest difference that does not matter.")
]

TierQuery = Annotated[str, Query(max_length=MAX_NAME_LENGTH, description="smoke, reduced, full or budget")]
"""A tier of an exhibit."""
