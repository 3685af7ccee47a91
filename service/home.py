"""Where the data of this user lie; loads nothing else, so that commands that talk to a server start fast."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_home() -> Path:
    """``$XDG_DATA_HOME/heunboard``, by default ``~/.local/share/heunboard``."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "heunboard"
