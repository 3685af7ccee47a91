"""Copies of a database in one file, taken while it is in use, and databases made from such a file.

SQLite is copied by its own online backup, PostgreSQL by its ``pg_dump`` and ``pg_restore``: a copy belongs to
one kind of database. Certificates and measurements that were published, and checkpoints, are files beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import CannotBackUp
from service.storage.engine import is_sqlite, read
from service.storage.migrations import current

PRIVATE = 0o600
SQLITE_HEAD, POSTGRESQL_HEAD = b"SQLite format 3\0", b"PGDMP"
"""What the files of both kinds begin with."""


def backup(engine: Engine, target: Path) -> None:
    """Write all of the database, as it is at one moment, to a new file that its owner alone can read.

    Raises:
        CannotBackUp: the file exists, or it cannot be written; nothing is left of it then.
    """
    if target.exists():
        raise CannotBackUp(f"{target} exists; name a new file")
    with _whole(target) as unfinished:
        if is_sqlite(engine):
            source = sqlite3.connect(f"file:{engine.url.database}?mode=ro", uri=True)
            with contextlib.closing(source), contextlib.closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
        else:
            _run(engine, "pg_dump", "--format=custom", "--no-owner", f"--file={unfinished}")


def restore(engine: Engine, source: Path) -> str | None:
    """Fill an empty database from such a file; returns the revision of its schema.

    Raises:
        CannotBackUp: the database is not empty, the file is of the other kind or damaged. The database stays
            empty.
    """
    _require_kind(engine, source)
    if current(engine) is not None or _tables(engine):
        shown = engine.url.render_as_string(hide_password=True)
        raise CannotBackUp(f"{shown} is not empty; restore into a new database")
    if is_sqlite(engine):
        _restore_sqlite(engine, source)
    else:
        _run(engine, "pg_restore", "--no-owner", "--single-transaction", "--exit-on-error", str(source))
    return current(engine)


def _restore_sqlite(engine: Engine, source: Path) -> None:
    path = Path(str(engine.url.database))
    engine.dispose()
    for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        leftover.unlink(missing_ok=True)  # of the empty database that looking at it has made
    with _whole(path) as unfinished:
        shutil.copyfile(source, unfinished)
        with contextlib.closing(sqlite3.connect(unfinished)) as copy:
            try:
                (state,) = copy.execute("PRAGMA integrity_check").fetchone()
            except sqlite3.DatabaseError as error:
                state = str(error)
        if state != "ok":
            raise CannotBackUp(f"{source} is damaged: {state}")


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A private file beside the target that takes its place at the end, and is gone after an error."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=PRIVATE, exist_ok=False)
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise CannotBackUp(f"{target} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _require_kind(engine: Engine, source: Path) -> None:
    try:
        with source.open("rb") as file:
            head = file.read(len(SQLITE_HEAD))
    except OSError as error:
        raise CannotBackUp(f"{source} cannot be read: {error.strerror}") from None
    kinds = {"sqlite": head == SQLITE_HEAD, "postgresql": head.startswith(POSTGRESQL_HEAD)}
    wanted = "sqlite" if is_sqlite(engine) else "postgresql"
    if not kinds[wanted]:
        other = next((kind for kind, fits in kinds.items() if fits), "no database that is known here")
        raise CannotBackUp(f"{source} is a copy of {other}; this database is {wanted}")


def _tables(engine: Engine) -> list[str]:
    with read(engine) as connection:
        return sa.inspect(connection).get_table_names()


def _run(engine: Engine, program: str, *arguments: str) -> None:
    """A program of PostgreSQL; the password goes through the environment, where others do not see it."""
    url = engine.url
    shown = url._replace(drivername="postgresql", password=None).render_as_string()  # set() keeps it for None
    secret = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    try:
        subprocess.run(
            [program, f"--dbname={shown}", *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **secret},
        )
    except FileNotFoundError:
        raise CannotBackUp(
            f"{program} was not found; install PostgreSQL's client programs (Debian: postgresql-client)"
        ) from None
    except subprocess.CalledProcessError as error:
        raise CannotBackUp(f"{program} failed: {error.stderr.strip()[-2000:]}") from None
