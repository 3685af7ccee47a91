"""Documents that somebody sent and the data directory keeps: a file is there as a whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.errors import CannotStore

logger = logging.getLogger(__name__)

NEW = ".new-"
"""Of folders in which a document is written before it takes its place."""
LEFT_SECONDS = 3600.0


def keep(path: Path, document: Mapping[str, Any], *, what: str) -> None:
    """Write a document as JSON, in place of what was there.

    Args:
        path: where; its folders are made.
        document: plain data.
        what: documents of its kind, for messages.

    Raises:
        CannotStore: the folder cannot be written to.
    """
    try:
        _replace(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        logger.exception("%s could not be stored", path)
        reason = error.strerror or type(error).__name__
        raise CannotStore(
            f"the server cannot write to its folder of {what} ({reason}); look at its data directory"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left, an hour ago or earlier."""
    for left in folder.rglob(f"{NEW}*"):
        if time.time() - left.stat().st_mtime > LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=NEW, dir=path.parent) as folder:
        new = Path(folder) / path.name
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
