"""The page on exit codes: what the module of the command line says of them."""

from __future__ import annotations

import importlib
import inspect
import re

from documentation import markdown

_MODULE = importlib.import_module("service.cli.main")  # its package has a function of this name
_CODE = re.compile(r"(\d+) ([^;]+?)(?:;|\.$)")

_INTRODUCTION = """\
# Exit codes

How a command of `heunboard` ends, for scripts and continuous integration. Errors go to standard error,
so that `--json` leaves standard output to one JSON document."""

_NOTES = """\
`heunboard submit --wait` and `heunboard watch` end with the outcome of the sweep: 0 when every trial
succeeded. `heunboard doctor`, `heunboard data check` and `heunboard certify` end with 1 when they found
something wrong, `heunboard compare --fail-on` with 3 when it found what it was told to look for: see
[continuous integration](../how-to/exporting.md#in-continuous-integration)."""


def page() -> str:
    """The whole page."""
    rows = ((markdown.code(code), markdown.sentence(meaning)) for code, meaning in codes())
    return markdown.page(_INTRODUCTION, markdown.table(("Code", "Meaning"), rows), _NOTES)


def codes() -> list[tuple[str, str]]:
    """Code and meaning, as the docstring of the command line has them."""
    stated = (inspect.getdoc(_MODULE) or "").partition("Exit status: ")[2].split("\n\n")[0]
    return _CODE.findall(markdown.from_docstring(stated))
