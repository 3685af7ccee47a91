"""Both databases, a fresh one per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.databases import BACKENDS, Databases, databases, engine_of

PARAMETERS = [
    pytest.param(backend, marks=[pytest.mark.pg] if backend == "postgresql" else []) for backend in BACKENDS
]


@pytest.fixture(scope="session", params=PARAMETERS)
def backend(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """All databases of one kind; a PostgreSQL server is started for the session."""
    with databases(request.param) as made:
        yield made


@pytest.fixture
def database_url(backend: Databases) -> Iterator[str]:
    """A database with the current schema and nothing in it."""
    url = backend.fresh()
    yield url
    backend.drop(url)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on ``database_url``."""
    with engine_of(database_url) as engine:
        yield engine
