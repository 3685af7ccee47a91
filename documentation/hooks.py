"""What MkDocs calls while it builds the site (``hooks`` in ``mkdocs.yml``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from documentation import commands, exit_codes, routes, settings, sweep_keys, task_parameters

PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": commands.page,
    "reference/exit-codes.md": exit_codes.page,
    "reference/rest-api.md": routes.page,
    "reference/rest-models.md": routes.models_page,
    "reference/settings.md": settings.page,
    "reference/sweep-keys.md": sweep_keys.page,
    "reference/task-parameters.md": task_parameters.page,
}
"""Pages that are in no file -> what writes them."""

_FOREIGN = re.compile(
    r"""<(?!link\b[^>]*\brel=["']?(?:canonical|prev|next)\b)(?:script|link|img|iframe)\b"""
    r"""[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
)
"""What loads from another place; where a page belongs among others loads nothing."""


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that are made from the code."""
    for name, write in PAGES.items():
        files.append(File.generated(config, name, content=write()))
    return files


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that loads something from elsewhere: the site works without a network.

    Raises:
        PluginError: naming the page and what it loads.
    """
    if found := _FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output
