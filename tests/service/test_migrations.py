"""Migrations and models give the same database, from empty and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import DatabaseOutOfDate
from service.storage import migrations
from service.storage.engine import is_sqlite, read
from service.storage.models import Base
from service.storage.queries import board_lists, sweeps
from service.storage.queries.board_lists import Search
from tests.support.databases import Databases, engine_of
from tests.support.processes import completed
from workers.version import package_version


@pytest.fixture
def empty(backend: Databases) -> Iterator[Engine]:
    url = backend.empty()
    with engine_of(url) as engine:
        yield engine
    backend.drop(url)


def test_no_drift(engine: Engine) -> None:
    migrations.check(engine)


def test_constraints_and_indexes_equal_the_models(engine: Engine, empty: Engine) -> None:
    Base.metadata.create_all(empty)
    assert _schema(engine) == _schema(empty)


def test_down_to_nothing_and_up_again(empty: Engine) -> None:
    assert migrations.current(empty) is None
    migrations.upgrade(empty)
    assert migrations.current(empty) == migrations.head()
    migrations.downgrade(empty, "base")
    assert sa.inspect(empty).get_table_names() == ["alembic_version"]
    migrations.upgrade(empty)
    migrations.check(empty)


def test_failed_migration_leaves_nothing(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(sa.text("CREATE TABLE sweep_trial (occupied INTEGER)"))
    with pytest.raises(sa.exc.SQLAlchemyError):
        migrations.upgrade(empty)
    assert sa.inspect(empty).get_table_names() == ["sweep_trial"]


def test_embedded_database_upgrades_itself_and_a_server_does_not(empty: Engine) -> None:
    if is_sqlite(empty):
        migrations.prepare(empty)
        migrations.require_current(empty)
    else:
        with pytest.raises(DatabaseOutOfDate, match=r"none \(empty\).*heunboard db upgrade"):
            migrations.prepare(empty)
        migrations.upgrade(empty)
        migrations.prepare(empty)


def newer(engine: Engine) -> None:
    """As a version of the future would leave it."""
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


def test_a_database_that_a_newer_version_has_written_is_left_alone(engine: Engine) -> None:
    newer(engine)
    before = _schema(engine)
    mine = rf"version {package_version()}, .* up to {migrations.head()}: install"
    told = rf"at revision 9999, which a newer .* {mine}"
    for act in (migrations.prepare, migrations.upgrade, migrations.require_current):
        with pytest.raises(DatabaseOutOfDate, match=told):
            act(engine)
    assert migrations.current(engine) == "9999"
    assert _schema(engine) == before


@pytest.mark.parametrize(
    "command",
    [("serve", "--port=0"), ("dispatch", "--launcher=local", "--slots=1", "--worker-url=http://127.0.0.1:9")],
)
def test_no_process_starts_on_it(command: tuple[str, ...], tmp_path: Path) -> None:
    with engine_of(f"sqlite:///{tmp_path / 'heunboard.sqlite'}") as engine:
        migrations.upgrade(engine)
        newer(engine)
    ended = completed(*command, data=tmp_path)
    assert ended.status == 1
    assert "at revision 9999, which a newer Heunboard has written" in ended.err
    assert "Traceback" not in ended.err


def test_lists_find_what_was_there_before_them(empty: Engine) -> None:
    """Of two boards the first has a trial that ended, the second one that waits."""
    migrations.upgrade(empty, "0002")
    with empty.begin() as connection:
        for statement in BEFORE_LISTS:
            connection.exec_driver_sql(statement)
    migrations.upgrade(empty)
    with read(empty) as connection:
        first, second = sorted(board_lists.found_boards(connection, Search(), limit=9))
        assert board_lists.found_boards(connection, Search(words=("dataset=mnist",)), limit=9) == [second]
        assert (first.task_id, second.task_id) == ("polynomial", "categorical_vae")
        assert first.changed_at == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        assert second.changed_at == datetime(2026, 1, 1, tzinfo=UTC)  # when it was submitted
        sweep = sweeps.sweep_row(connection, 1)
        assert sweep is not None
        assert (sweep.description, sweeps.tags(connection, [1])) == ("why", {})
    migrations.downgrade(empty, "0002")
    migrations.upgrade(empty)
    migrations.check(empty)


BEFORE_LISTS = (
    "INSERT INTO sweep (id, name, priority, document, new_trials, created_at)"
    """ VALUES (1, 's', 0, '{"description": "why"}', 2, '2026-01-01 00:00:00+00:00')""",
    """INSERT INTO board (id, task_key, task) VALUES
    (1, 'a', '{"id": "polynomial", "version": 1, "parameters": {"p": 2.0}}'),
    (2, 'b', '{"id": "categorical_vae", "version": 2, "parameters": {"dataset": "MNIST"}}')""",
    """INSERT INTO cell (id, cell_key, board_id, estimator, spec, trials, succeeded, failed, cancelled) VALUES
    (1, 'a', 1, 'st', '{}', 1, 0, 0, 1), (2, 'b', 2, 'st', '{}', 1, 0, 0, 0)""",
    """INSERT INTO trial (id, key, cell_id, seed, signature, steps, state, priority, sweep_order, ended_at)
    VALUES (1, 'a', 1, 0, '', 10, 'cancelled', 0, 1, '2026-03-04 05:06:07+00:00'),
    (2, 'b', 2, 0, '', 10, 'queued', 0, 1, NULL)""",
)


def _schema(engine: Engine) -> dict[str, Any]:
    inspector = sa.inspect(engine)
    tables = [name for name in inspector.get_table_names() if name != "alembic_version"]
    return {
        name: {
            "columns": {str(c["name"]): (str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)},
            "checks": {c["name"]: c["sqltext"] for c in inspector.get_check_constraints(name)},
            "unique": {c["name"]: c["column_names"] for c in inspector.get_unique_constraints(name)},
            "foreign": {c["name"]: c["referred_table"] for c in inspector.get_foreign_keys(name)},
            "indexes": {i["name"]: i["column_names"] for i in inspector.get_indexes(name)},
            "primary": inspector.get_pk_constraint(name)["constrained_columns"],
        }
        for name in tables
    }
