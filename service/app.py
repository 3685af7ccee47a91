"""The web service: REST API, pages, and the reports of workers. Imports neither torch nor Ray."""

from __future__ import annotations

import threading
from functools import partial

from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from starlette.middleware.gzip import GZipMiddleware

from service.access.authentication import Authentication
from service.access.rates import Rates
from service.api import openapi, problem_details
from service.api.correlation import RequestIds
from service.api.gate import Gate
from service.api.live.hub import Hub
from service.api.middleware import BodyLimit, HeadAsGet, HostCheck, RequestLimit, SecurityHeaders
from service.api.routes import (
    attempts,
    audit,
    board_files,
    board_lists,
    boards,
    comparisons,
    controls,
    events,
    health,
    more_seeds,
    nodes,
    registry,
    suite_reports,
    suites,
    sweep_parts,
    sweeps,
    tokens,
    trials,
)
from service.api.routes.internal import internal_router
from service.api.telemetry import Telemetry, TimedRequests
from service.api.versions import VersionHeaders
from service.dependencies import require_text
from service.queue.reports import QueueRules, Reports
from service.resources import certificates, live, measurements
from service.resources.schemas import PREFIX, ProblemDocument
from service.settings import Settings
from service.web import board_lists as board_list_pages
from service.web import boards as board_pages
from service.web import compare as compare_pages
from service.web import estimators as estimator_pages
from service.web import nodes as node_pages
from service.web import reference as reference_pages
from service.web import sign_in as sign_in_pages
from service.web import suites as suite_pages
from service.web import sweeps as sweep_pages
from service.web import tasks as task_pages
from service.web import trials as trial_pages
from service.web.assets import add_static
from service.web.elsewhere import problem_page
from workers.version import package_version


def create_app(settings: Settings, engine: Engine) -> FastAPI:
    """The application on a database whose schema is current; nothing is read from the environment."""
    app = FastAPI(
        title="Heunboard",
        version=package_version(),
        docs_url=None,  # FastAPI's documentation pages load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        responses={"default": {"model": ProblemDocument, "description": "A problem (RFC 9457)."}},
    )
    app.state.engine = engine
    app.state.leaving = threading.Event()
    app.state.telemetry = telemetry = Telemetry(engine)
    app.state.owner_trials = settings.owner_trials
    app.state.hub = Hub(partial(live.read, engine), most=settings.max_listeners)
    app.state.published = settings.data_home / certificates.FOLDER
    app.state.measured = settings.data_home / measurements.FOLDER
    explain = problem_details.install(app, problem_page)
    # First what is asked for most: of a request the routes are tried one after the other.
    app.include_router(internal_router(Reports(engine, rules=QueueRules.of(settings))))
    of_boards = (board_lists, boards, board_files, comparisons, more_seeds)
    of_sweeps = (sweeps, sweep_parts, controls)
    of_access = (tokens, audit)
    others = (trials, attempts, nodes, events, registry, suites, suite_reports)
    for module in (*of_sweeps, *of_boards, *others, *of_access):
        app.include_router(module.router, prefix=PREFIX, dependencies=[Depends(require_text)])
    app.include_router(health.router)
    for pages in (
        board_list_pages,
        board_pages,
        compare_pages,
        sweep_pages,
        trial_pages,
        estimator_pages,
        task_pages,
        suite_pages,
        node_pages,
        sign_in_pages,
        reference_pages,
    ):
        app.include_router(pages.router, dependencies=[Depends(require_text)])
    add_static(app)
    openapi.install(app)
    # The last one added is the outermost.
    _add_gate(app, settings, explain)
    app.add_middleware(RequestLimit, most=settings.max_connections, explain=explain)
    app.add_middleware(BodyLimit)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)  # 9 takes three times as long
    app.add_middleware(HeadAsGet)
    app.add_middleware(HostCheck, allowed=settings.allowed_hosts)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(TimedRequests, telemetry=telemetry)
    app.add_middleware(VersionHeaders)
    app.add_middleware(RequestIds)
    return app


def _add_gate(app: FastAPI, settings: Settings, explain: problem_details.Explain) -> None:
    """Let nobody in but whom the settings allow."""
    app.state.sign_in_hours = settings.sign_in_hours
    app.state.authentication = Authentication(
        app.state.engine, required=settings.auth == "required", anonymous_read=settings.anonymous_read
    )
    app.add_middleware(
        Gate,
        engine=app.state.engine,
        authentication=app.state.authentication,
        rates=Rates(settings.requests_per_second),
        explain=explain,
    )
