"""Tables of many rows, made block by block, as CSV for people's programs and as Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.errors import NotInstalled

Kind = Literal["text", "integer", "number", "truth"]
Row = Sequence[object]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""

PARQUET_ADVICE = "Parquet needs pyarrow where the server runs: pip install 'heunboard[parquet]'"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``None`` stands for a missing value of any kind."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Table:
    """A table of which one block of rows is held at a time; it can be gone through once."""

    columns: tuple[Column, ...]
    blocks: Iterator[list[Row]]


def harmless(text: str) -> str:
    """Text that spreadsheets do not take for a formula: an apostrophe before what begins like one."""
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_lines(rows: Iterable[Row]) -> str:
    """Lines of CSV (RFC 4180) with harmless texts; numbers stay numbers."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([harmless(one) if isinstance(one, str) else one for one in row] for row in rows)
    return text.getvalue()


def csv_blocks(table: Table) -> Iterator[str]:
    """The table as CSV, a piece a block, the header with the first."""
    yield csv_lines([[column.name for column in table.columns]])
    for rows in table.blocks:
        yield csv_lines(rows)


def parquet_blocks(table: Table) -> Iterator[bytes]:
    """The table as a Parquet file, a row group a block.

    Raises:
        NotInstalled: pyarrow, an optional package, is missing.
    """
    arrow, parquet = _pyarrow()
    types = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "truth": arrow.bool_(),
    }
    schema = arrow.schema([(column.name, types[column.kind]) for column in table.columns])
    return _groups(arrow, parquet, schema, table.blocks)


def _groups(arrow: Any, parquet: Any, schema: Any, blocks: Iterator[list[Row]]) -> Iterator[bytes]:
    sink = _Sink()
    with parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for rows in filter(None, blocks):  # a group of cells may have nothing
            columns = [list(values) for values in zip(*rows, strict=True)]
            arrays = [arrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _pyarrow() -> tuple[Any, Any]:
    """The modules; they are loaded with the first file: the server starts fast."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotInstalled(PARQUET_ADVICE) from error
    return pyarrow, pyarrow.parquet


class _Sink(io.RawIOBase):
    """A file that is written on and on, and from which what is written can be taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keep a copy of it until it is taken."""
        self._pieces.append(bytes(data))
        self._length += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        """How much was written in all."""
        return self._length

    def taken(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
