"""Blocks of code that are shown as something else: equations and diagrams of states.

Both need no script. Where pages are read as plain Markdown, the blocks stay readable.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from service.web.mathematics import mathml

_TRANSITION = re.compile(r"^\s*(\S+) --> ([^\s:]+)(?:: (.*))?$", re.MULTILINE)
_END = "[*]"


def equation(source: str, *_: Any, **__: Any) -> str:
    """A block ``equation``, in the registry's notation (``pi_tau``, ``sum_k``), as MathML."""
    lines = "<br>".join(str(mathml(line)) for line in source.splitlines())
    return f'<p class="equation">{lines}</p>'


def states(source: str, *_: Any, **__: Any) -> str:
    """A block ``mermaid`` with a diagram of states as a table of its transitions."""
    rows = "".join(
        f"<tr><td>{_state(before, 'begins')}</td><td>{_state(after, 'ends')}</td><td>{escape(when)}</td></tr>"
        for before, after, when in _TRANSITION.findall(source)
    )
    head = "<tr><th>From</th><th>To</th><th>When</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _state(name: str, outside: str) -> str:
    return outside if name == _END else f"<code>{escape(name)}</code>"
