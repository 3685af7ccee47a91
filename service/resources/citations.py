"""What to cite for a board, as BibTeX: Heunboard, the task, its data, every estimator, quoted papers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from benchmarks.spec import Component
from benchmarks.suites import published
from benchmarks.tasks import registry as tasks
from estimators import registry as estimators
from service.resources.board_schemas import Board
from workers.version import package_version

_KEY = re.compile(r"\{\s*([^,\s]+)\s*,")
_TITLE = re.compile(r"\btitle\s*=\s*\{(.*?)\}\s*,?\s*$", re.IGNORECASE | re.MULTILINE)


def bibtex(board: Board) -> str:
    """A BibTeX file; what several entries of a board share stands there once."""
    return "\n\n".join(_distinct(_entries(board))) + "\n"


def _entries(board: Board) -> Iterator[str]:
    yield _heunboard(board)
    parameters = tuple(sorted(board.task.parameters.items()))
    task = Component(id=board.task.id, version=board.task.version, parameters=parameters)
    if task.id in tasks.available():
        yield from (one.bibtex() for one in tasks.get(task.id).citations)
    yield from (one.citation.bibtex() for one in task.data() if one.citation is not None)
    for row in board.rows:
        if row.estimator in estimators.available():
            yield estimators.get(row.estimator).citation.bibtex()
    quoted = {one.exhibit.partition("/")[0] for row in board.rows for one in row.references if one.exhibit}
    yield from (suite.file.bibtex.strip() for suite in published.readable() if suite.id in quoted)


def _heunboard(board: Board) -> str:
    version = package_version()
    fields = {
        "title": "{Heunboard}: a distributed benchmarking service for gradient estimators of discrete latent "
        "variables",
        "howpublished": f"Software, version {version}",
        "note": f"Board {board.id}",
    }
    lines = [f"  {name} = {{{text}}}" for name, text in fields.items()]
    return "@misc{heunboard,\n" + ",\n".join(lines) + "\n}"


def _distinct(entries: Iterable[str]) -> Iterator[str]:
    """Each publication once, told by its title; a key that another one has already gets a letter."""
    titles: set[str] = set()
    keys: set[str] = set()
    for entry in entries:
        named, title = _KEY.search(entry), _letters(entry)
        if named is not None and title not in titles:
            key = _free(named[1], keys)
            titles.add(title)
            keys.add(key)
            yield entry.replace(named[0], f"{{{key},", 1)


def _letters(entry: str) -> str:
    """The letters of its title, or the whole entry where it has none."""
    found = _TITLE.search(entry)
    return re.sub(r"[\W_]+", "", (entry if found is None else found[1]).lower())


def _free(key: str, taken: set[str]) -> str:
    return next(name for name in (key, *(f"{key}{i}" for i in range(2, len(taken) + 3))) if name not in taken)
