"""Many rows at once, without what SQLAlchemy spends on each: long statements on SQLite, COPY on PostgreSQL.

Values go to the driver as they are: documents as text, states as their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeDecorator, TypeEngine

from service.storage.engine import is_sqlite
from service.storage.models import Base, UtcDateTime
from service.storage.queries.moves import chunks

MOST_VARIABLES = 32_766
"""Of a statement on SQLite. One of many rows waits once for Python's lock, ``executemany`` for each row."""
_SENT_AS = {
    sa.BigInteger: "int8",
    sa.Integer: "int4",
    sa.Boolean: "bool",
    sa.Double: "float8",
    sa.DateTime: "timestamptz",
    sa.LargeBinary: "bytea",
}
"""A kind comes before those that it is one of."""


def insert(
    connection: Connection, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Add rows: a value for each of the columns, which must be all that cannot be null."""
    if not rows:
        return
    listed = ", ".join(columns)
    if is_sqlite(connection):
        head = f"INSERT INTO {table.__tablename__} ({listed}) VALUES "
        for some in chunks(rows, MOST_VARIABLES // len(columns)):
            statement = head + ", ".join([f"({', '.join('?' * len(columns))})"] * len(some))
            connection.exec_driver_sql(statement, tuple(chain.from_iterable(some)))
        return
    driver = cast(psycopg.Connection, connection.connection.driver_connection)
    statement = f"COPY {table.__tablename__} ({listed}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([_sent_as(table.__table__.c[column].type) for column in columns])
        for row in rows:
            copy.write_row(row)


def _sent_as(kind: TypeEngine[Any]) -> str:
    """PostgreSQL's name of a column's type, as binary COPY needs it: documents are received as texts."""
    plain = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return next((name for of, name in _SENT_AS.items() if isinstance(plain, of)), "text")


def set_one(connection: Connection, table: type[Base], column: str, rows: Sequence[tuple[int, int]]) -> None:
    """Give one column of some rows a whole number: id and number of each."""
    name = table.__tablename__
    if is_sqlite(connection):
        statement = f"UPDATE {name} SET {column} = ? WHERE id = ?"
        connection.exec_driver_sql(statement, [(value, id) for id, value in rows])
        return
    ids, values = [id for id, _ in rows], [value for _, value in rows]
    pairs = "unnest(CAST(:ids AS integer[]), CAST(:numbers AS integer[])) AS pair (id, number)"
    statement = f"UPDATE {name} SET {column} = pair.number FROM {pairs} WHERE {name}.id = pair.id"
    connection.execute(sa.text(statement), {"ids": ids, "numbers": values})


def moment(connection: Connection, at: datetime) -> Any:
    """A moment as the driver takes it."""
    processor = UtcDateTime().dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return at if processor is None else processor(at)


def take_ids(connection: Connection, table: type[Base], count: int) -> Sequence[int]:
    """Rising ids for rows that this transaction inserts next; on SQLite it must be a writer.

    On PostgreSQL the sequence jumps over them, so nobody else may take ids of the table meanwhile: callers
    hold :func:`service.storage.engine.serialise`.
    """
    name = table.__tablename__
    if not count:
        return range(0)
    if is_sqlite(connection):
        last = connection.execute(sa.text(f"SELECT coalesce(max(id), 0) FROM {name}")).scalar_one()
        return range(last + 1, last + 1 + count)
    jump = (
        "SELECT setval(sequence, nextval(sequence) + :more) "
        "FROM (SELECT CAST(pg_get_serial_sequence(:name, 'id') AS regclass) AS sequence) AS own"
    )
    last = connection.execute(sa.text(jump), {"name": name, "more": count - 1}).scalar_one()
    return range(last + 1 - count, last + 1)


def among(
    connection: Connection, column: InstrumentedAttribute[Any], values: Iterable[Any]
) -> ColumnElement[bool]:
    """``column IN values`` with one parameter, however many there are: whole numbers or texts."""
    listed = json.dumps(list(values))
    if is_sqlite(connection):
        each = sa.func.json_each(listed).table_valued("value")
        return column.in_(sa.select(each.c.value))
    texts = sa.func.json_array_elements_text(sa.cast(sa.literal(listed, sa.Text()), postgresql.JSON()))
    kind = sa.Text() if isinstance(column.type, sa.String) else column.type  # a cast has no collation
    array = sa.func.array(sa.select(sa.cast(texts, kind)).scalar_subquery(), type_=postgresql.ARRAY(kind))
    return column == sa.any_(array)
