"""Texts as Markdown, LaTeX and HTML files: what templates escape.

In these templates every expression is escaped for the language of the text; only what is marked as ``Raw``,
by the filters below, is not. So no name and no file that somebody sent can become markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pylatexenc.latexencode import UnicodeToLatexEncoder

FOLDER = Path(__file__).resolve().parent / "templates"

_MARKDOWN = re.compile(r"([\\`*_\[\]|~$#!])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_latex = UnicodeToLatexEncoder(unknown_char_policy="replace", unknown_char_warning=False)


class Raw(str):
    """Text that is markup already."""

    __slots__ = ()


def markdown(name: str, **context: object) -> str:
    """A template as Markdown; the filter ``bold`` sets in bold."""
    return _environment(escape_markdown, "**", "**").get_template(name).render(context)


def latex(name: str, **context: object) -> str:
    """A template as LaTeX; the filter ``bold`` sets in bold."""
    return _environment(escape_latex, "\\textbf{", "}").get_template(name).render(context)


def html(name: str, **context: object) -> str:
    """A template as HTML; the filter ``bold`` sets in bold."""
    return _environment(escape_html, "<b>", "</b>").get_template(name).render(context)


def escape_html(value: object) -> str:
    """Text that is no tag and ends no attribute."""
    return escape(str(value))


def escape_markdown(value: object) -> str:
    """One line that reads as it is written, in a paragraph or a cell of a table."""
    line = re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], _one_line(value))
    return _MARKDOWN.sub(r"\\\1", line)


def escape_latex(value: object) -> str:
    """One line that reads as it is written; signs that LaTeX has no name for become a question mark."""
    return str(_latex.unicode_to_latex(_one_line(value)))


def _one_line(value: object) -> str:
    """Blanks run together, control characters left out."""
    return re.sub(r"[\x00-\x1f\x7f]", "", re.sub(r"\s+", " ", str(value))).strip()


@cache
def _environment(escaped: Callable[[object], str], start: str, end: str) -> Environment:
    """Templates whose expressions are escaped; ``bold`` marks up between ``start`` and ``end``."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # `finalize` escapes
        finalize=lambda value: value if isinstance(value, Raw) else escaped(value),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )

    def bold(value: object, *, when: bool = True) -> Raw:
        return Raw(f"{start}{escaped(value)}{end}" if when else escaped(value))

    def marks(values: Iterable[int], template: str) -> Raw:
        numbers = list(values)
        return Raw(template % ", ".join(map(str, numbers)) if numbers else "")

    environment.filters.update(bold=bold, marks=marks)
    return environment
