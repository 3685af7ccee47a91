"""Engines and transactions, the same on SQLite and PostgreSQL.

SQLite runs in WAL mode: readers never wait, writers queue up at ``BEGIN IMMEDIATE`` (a transaction that
began as a reader could not become a writer and would fail at once, whatever the timeout). PostgreSQL readers
see one snapshot (repeatable read), writers use read committed and row locks.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

BUSY_TIMEOUT_MS = 30_000
CACHE_KB = 16_000
"""Pages that a connection to SQLite keeps: keys of trials are random, so that a wide sweep touches most pages
of an index again and again."""
LOG_PAGES = 8_000
"""Of SQLite's log (32 MB) before they are copied into the file: those that a wide sweep changes again and
again are copied once."""
MOST_CONNECTIONS = 15
"""Of a process to PostgreSQL. All are kept: opening one takes longer than a report does."""
_WRITES = "heunboard_writes"
_REBUILDS = "heunboard_rebuilds"

Clock = Callable[[Connection], datetime]
"""What time it is, timezone-aware. Production asks the database, so that no other machine's clock counts."""


def open_engine(url: str) -> Engine:
    """An engine with this project's rules for its kind of database; creates the folder of an SQLite file."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        # The connection that was used last goes first: its pages are at hand, and others need not read them.
        engine = sa.create_engine(parsed.set(drivername="sqlite"), pool_use_lifo=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,
        # A database created in the C locale has no encoding, and the driver would hand out bytes.
        connect_args={"client_encoding": "utf8"},
    )


def is_outage(error: BaseException) -> bool:
    """Whether a database error passes by itself: the server away or restarting, a lock, a full disk.

    A statement or a value that the database refuses does not.
    """
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError) or isinstance(error, (DataError, IntegrityError, ProgrammingError)):
        return False
    return "no such" not in str(error.orig)  # of SQLite: a table or column


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database and changes nothing."""
    options = {} if is_sqlite(engine) else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A transaction that is committed at the end of the block and rolled back by an exception."""
    turn = _turns(str(engine.url.database)) if is_sqlite(engine) else nullcontext()
    with turn, engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


@contextmanager
def rebuild(engine: Engine) -> Iterator[Connection]:
    """A write transaction that may copy and replace tables; SQLite looks at references at its end alone.

    Raises:
        RuntimeError: rows refer to rows that are not there; nothing is changed.
    """
    options = {_WRITES: True, _REBUILDS: True}
    with engine.connect().execution_options(**options) as connection:
        try:
            with connection.begin():
                yield connection
                if is_sqlite(connection) and (
                    lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                ):
                    raise RuntimeError(f"{len(lost)} references would be left dangling, the first: {lost[0]}")
        finally:
            if is_sqlite(connection):
                connection.invalidate()  # references are checked again on the next connection


class Turns:
    """Lets the threads of a process write to an SQLite file in the order in which they came.

    SQLite's writers do not stand in line: each looks again after a while, up to a tenth of a second, and one
    that writes again and again would keep the others out. Between processes that is still so.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._writing = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._writing:
                self._writing = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(BUSY_TIMEOUT_MS / 1000):
            return
        with self._guard:
            if not mine.is_set():
                self._waiting.remove(mine)
                raise PoolTimeout("other threads wrote to the database for too long")

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._writing = bool(self._waiting)
            if self._waiting:
                self._waiting.popleft().set()


@functools.cache
def _turns(file: str) -> Turns:
    return Turns()


@contextmanager
def others_first(engine: Engine, *, pause: float = 1.0) -> Iterator[None]:
    """For one of many writes in a row: afterwards let other processes write that wait for SQLite's lock.

    It pauses for as long as it wrote, or another multiple of that.
    """
    began = time.monotonic()
    yield
    if is_sqlite(engine):
        time.sleep(pause * (time.monotonic() - began))


def flushed_later(connection: Connection) -> None:
    """Let the transaction's commit not wait for PostgreSQL's disk: the next one that does waits for both."""
    if not is_sqlite(connection):
        connection.execute(sa.text("SET LOCAL synchronous_commit TO off"))


def is_sqlite(bind: Engine | Connection) -> bool:
    """Whether this is the embedded database."""
    return bind.dialect.name == "sqlite"


def database_clock(connection: Connection) -> datetime:
    """The database's own clock, not that of the transaction's start."""
    if is_sqlite(connection):
        text = connection.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return now.astimezone(UTC)


def serialise(connection: Connection, purpose: str) -> None:
    """Let one transaction at a time through for ``purpose``. SQLite's writers stand in line already."""
    if not is_sqlite(connection):
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:purpose))"), {"purpose": purpose})


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself; _begin_sqlite does
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        f"cache_size = -{CACHE_KB}",
        f"wal_autocheckpoint = {LOG_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(_REBUILDS, False):
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    writes = options.get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
