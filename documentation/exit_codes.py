"""The page on exit codes, made of their enumeration."""

from __future__ import annotations

from documentation import markdown
from service.exit_status import ExitStatus

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
    rows = ((markdown.code(str(one.value)), markdown.sentence(one.meaning)) for one in ExitStatus)
    return markdown.page(_INTRODUCTION, markdown.table(("Code", "Meaning"), rows), _NOTES)
