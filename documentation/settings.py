"""The page on settings: every field of :class:`service.settings.Settings` with its sentence."""

from __future__ import annotations

import inspect

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from documentation import markdown
from service.settings import PREFIX, Settings

_DEFAULTS = {"data_home": "~/.local/share/heunboard"}

_INTRODUCTION = f"""\
# Settings

A process reads its settings once, at its start, from environment variables that begin with `{PREFIX}`. A
value that cannot be used ends the process with exit code 2 and a message that names the variable, the
value and what was expected. Options of a command win over variables."""

_OTHERS = (
    (
        "`HEUNBOARD_URL`",
        "commands, the Python client",
        "Address of the server; by default that of the `heunboard up` on this machine.",
    ),
    (
        "`HEUNBOARD_TOKEN`, `HEUNBOARD_TOKEN_FILE`",
        "commands, the Python client",
        "Access token, or a file that holds it; see [security](../security.md).",
    ),
    ("`HEUNBOARD_DATA_DIR`", "workers", "Folder with [data sets](data.md) that are there already."),
    (
        "`HEUNBOARD_SUITES`",
        "server, commands",
        "Folders with further [suites](../how-to/adding-a-suite.md), separated as in `PATH`.",
    ),
    (
        "`HEUNBOARD_MATMUL`",
        "workers",
        "What multiplies matrices on a CPU: `torch` in place of the kernels of this project.",
    ),
    ("`HEUNBOARD_PROGRAMS`", "workers", "Folder of compiled programs, in place of one in the cache."),
    (
        "`XDG_CACHE_HOME`",
        "workers",
        "Where downloaded data sets and compiled programs are kept; by default `~/.cache`.",
    ),
)


def page() -> str:
    """The whole page."""
    meanings = described()
    rows = [
        (
            markdown.code(variable(name)),
            markdown.sentence(meanings[name]),
            markdown.code(default(name, field)),
            allowed(name),
        )
        for name, field in Settings.model_fields.items()
    ]
    return markdown.page(
        _INTRODUCTION,
        markdown.table(("Variable", "Meaning", "Default", "Allowed"), rows),
        "## Variables that are read elsewhere",
        markdown.table(("Variable", "Who reads it", "Meaning"), _OTHERS),
    )


def variable(name: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{name}".upper().replace(PREFIX * 2, PREFIX)


def described() -> dict[str, str]:
    """Field -> what the docstring of the settings says of it."""
    return markdown.attributes(inspect.getdoc(Settings) or "")


def default(name: str, field: FieldInfo) -> str:
    """As it would be written in a shell; nothing where there is none."""
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    value = field.default
    if value is None or value is PydanticUndefined or value == "":
        return ""
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{one}"' for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(name: str) -> str:
    """The range or type of a field."""
    schema = Settings.model_json_schema(mode="validation")["properties"][name]
    return markdown.allowed(schema)
