"""Migrations and models give the same database, from empty and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import DatabaseOutOfDate
from service.storage import migrations
from service.storage.engine import is_sqlite
from service.storage.models import Base
from tests.support.databases import Databases, engine_of


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
