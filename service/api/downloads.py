"""Answers that browsers save as files, under names in any script (RFC 6266)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from starlette.responses import StreamingResponse

LONGEST = 80
"""Characters of a title in a file's name."""


def disposition(filename: str) -> str:
    """The header: a name of plain letters for old programs, and where it has others the whole one."""
    header = f'attachment; filename="{_plain(filename)}"'
    if filename.isascii():
        return header
    return f"{header}; filename*=UTF-8''{quote(filename, safe='')}"


def file_name(title: str, id: str, what: str, ending: str) -> str:
    """A name that says what is in it: ``Polynomial-p-2-trials-1f3a5b7c.csv``."""
    words = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", title)).strip("-.")[:LONGEST]
    return "-".join(part for part in (words, what, id[:8]) if part) + f".{ending}"


def streamed(blocks: Iterator[str] | Iterator[bytes], media_type: str, filename: str) -> StreamingResponse:
    """A file that is sent while it is made."""
    headers = {"Content-Disposition": disposition(filename), "Cache-Control": "no-store"}
    return StreamingResponse(blocks, media_type=media_type, headers=headers)


def _plain(name: str) -> str:
    """Without accents; other signs that a quoted ASCII text cannot hold become underscores."""
    letters = [one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one)]
    return re.sub(r'[^\x20-\x7e]|["\\/]', "_", "".join(letters))
