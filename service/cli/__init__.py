"""The command line, ``heunboard``."""

from service.cli.main import main

__all__ = ["main"]
