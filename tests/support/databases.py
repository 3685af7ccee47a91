"""A fresh, migrated database for every test, on SQLite and on a real PostgreSQL.

Migrations run once per session on a template; a test's database is a copy of it.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from service.storage import migrations
from service.storage.engine import open_engine
from tests.support.postgresql import postgresql

BACKENDS = ("sqlite", "postgresql")


@dataclass
class Databases:
    """Makes databases of one kind; close it at the end of the session."""

    backend: str
    folder: Path
    server: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def template(self) -> str:
        """URL of the database that others are copied from."""
        return self._url("template")

    def empty(self) -> str:
        """URL of a new database without tables."""
        url = self._url(f"db{next(self._numbers)}")
        if self.server:
            self._command(f'CREATE DATABASE "{make_url(url).database}"')
        return url

    def fresh(self) -> str:
        """URL of a new database with the current schema."""
        url = self._url(f"db{next(self._numbers)}")
        if self.server:
            self._command(f'CREATE DATABASE "{make_url(url).database}" TEMPLATE template STRATEGY file_copy')
        else:
            shutil.copy(str(make_url(self.template()).database), str(make_url(url).database))
        return url

    def drop(self, url: str) -> None:
        """Remove a database."""
        if self.server:
            self._command(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')

    def trust_the_machine(self) -> None:
        """Do not wait for the disk: tests kill clients, never the server or the machine."""
        self._command("ALTER SYSTEM SET fsync = off")
        self._command("ALTER SYSTEM SET full_page_writes = off")
        self._command("SELECT pg_reload_conf()")

    def make_template(self) -> None:
        """Run all migrations once."""
        if self.server:
            self._command("CREATE DATABASE template")
        with engine_of(self.template()) as engine:
            migrations.upgrade(engine)

    def _url(self, name: str) -> str:
        if not self.server:
            return f"sqlite:///{self.folder / name}.sqlite"
        return make_url(self.server).set(database=name).render_as_string(hide_password=False)

    def _command(self, statement: str) -> None:
        with engine_of(self.server) as engine, engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text(statement))


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    """An engine that leaves no connection behind."""
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def databases(backend: str) -> Iterator[Databases]:
    """The databases of one kind; starts the server where there is one, and stops it."""
    with tempfile.TemporaryDirectory(prefix="heunboard-db-") as folder:
        if backend == "sqlite":
            made = Databases(backend, Path(folder))
            made.make_template()
            yield made
        else:
            with postgresql(Path(folder) / "pg") as server:
                made = Databases(backend, Path(folder), server.url)
                made.trust_the_machine()
                made.make_template()
                yield made
