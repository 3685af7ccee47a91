"""The sweep files that a tier of an exhibit stands for, and where each part of them is written.

Does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.suites.schema import ExhibitFile, TierSection
from benchmarks.sweep import Issue, SpecError, Sweep, read_sweep
from benchmarks.sweep_file.issues import at

MERGED = ("task", "diagnostics")
"""Keys of a sweep file whose content a tier sets one by one, and does not replace."""

Lists = Mapping[str, Sequence[Mapping[str, Any]]]
"""Sweep files without names, by what they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board of an entry of a list of sweeps.

    Attributes:
        entry: the sweep file without a name; ``entry_at`` is its JSON pointer.
        own: those task parameters that stand under ``boards``; ``own_at`` is their pointer.
    """

    entry: Mapping[str, Any]
    entry_at: str
    own: Mapping[str, Any]
    own_at: str

    @property
    def task(self) -> dict[str, Any]:
        """All task parameters that are written, those under ``boards`` over the others."""
        return {**self.entry.get("task", {}), **self.own}


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """The sweep file of one board in one tier.

    Attributes:
        content: what it says.
        source: what messages call it.
        board: where it comes from.
        changed: what the tier sets; ``changed_at`` is its pointer.
    """

    content: Mapping[str, Any]
    source: str
    board: Board
    changed: Mapping[str, Any]
    changed_at: str

    def sweep(self) -> Sweep:
        """The sweep.

        Raises:
            SpecError: it is not valid; pointers are those of the content.
        """
        return read_sweep(self.content, source=self.source)

    def place(self, path: str) -> str:
        """The pointer, in the exhibit's file, to what a pointer into the content speaks of."""
        head, _, rest = path.removeprefix("/").partition("/")
        if head in MERGED and rest and rest.partition("/")[0] not in self.changed.get(head, {}):
            return self._own_place(path, head, rest)
        if head in self.changed:
            return self.changed_at + path
        if head in ("select", "report") and head not in self.board.entry:
            return path.removesuffix("/metric")
        return self.board.entry_at + path

    def _own_place(self, path: str, head: str, rest: str) -> str:
        """Of what the tier leaves as it is."""
        of_board = head == "task" and rest.partition("/")[0] in self.board.own
        return f"{self.board.own_at}/{rest}" if of_board else self.board.entry_at + path


def documents(name: str, file: ExhibitFile, lists: Lists, tier: str) -> Iterator[Document]:
    """The sweep files of a tier, in the order of the file; none where a command measures instead.

    Args:
        name: of the exhibit, as in ``reinmax-2023/table2``.
        file: what its file says.
        lists: its lists of sweeps by name, another exhibit's where it has those.
        tier: one of its tiers.
    """
    section = next(one for known, one in file.tiers.items() if known == tier)
    kept = (board for board in boards(section, lists) if _kept(board, section))
    for number, board in enumerate(kept, start=1):
        yield Document(
            content=_content(f"{name} {tier}", file, section, board),
            source=f"{name}, tier {tier}, sweep {number}",
            board=board,
            changed=section.set,
            changed_at=f"/tiers/{tier}/set",
        )


def wrong_shapes(file: ExhibitFile, lists: Lists) -> Iterator[Issue]:
    """What is no mapping, or no list of mappings, and has to be one before sweep files are made of it."""
    for name, entries in lists.items():
        for i, entry in enumerate(entries):
            path = at(at("/sweeps", name), i)
            yield from _no_mappings(path, entry)
            given = entry.get("boards", [{}])
            if not isinstance(given, list) or not given:
                yield Issue(f"{path}/boards", "must be a list of task parameters, as [{p: 2}, {p: 3}].")
                continue
            for j, board in enumerate(given):
                yield from _no_mapping(f"{path}/boards/{j}", board)
    for tier, section in file.tiers.items():
        yield from _no_mappings(f"/tiers/{tier}/set", section.set)


def issues(made: Sequence[Document]) -> Iterator[Issue]:
    """Everything that is wrong with the sweep files of a tier, with its place in the exhibit's file."""
    for document in made:
        try:
            document.sweep()
        except SpecError as error:
            for one in error.issues:
                yield Issue(document.place(one.path), one.message, one.suggestion)


def _no_mappings(path: str, given: Mapping[str, Any]) -> Iterator[Issue]:
    yield from _no_mapping(f"{path}/task", given.get("task", {}))
    yield from _no_mapping(f"{path}/diagnostics", given.get("diagnostics", {}), "keys, as {draws: 512}")


def _no_mapping(path: str, value: object, of: str = "task parameters, as {p: 2}") -> Iterator[Issue]:
    if not isinstance(value, dict):
        yield Issue(path, f"must be a mapping of {of}.")


def _content(name: str, file: ExhibitFile, section: TierSection, board: Board) -> dict[str, Any]:
    """A sweep file of one board, with what the tier changes."""
    rule = {"select": {"metric": file.select}, "report": list(file.report)}
    given = {key: value for key, value in board.entry.items() if key != "boards"}
    given["task"] = board.task
    changed = {
        key: {**given.get(key, {}), **value} if key in MERGED else value for key, value in section.set.items()
    }
    return {"name": name, **rule, **given, **changed}


def boards(section: TierSection, lists: Lists) -> Iterator[Board]:
    """Every board of the tier's list, whether the tier keeps it or not; none of a command."""
    for i, entry in enumerate(lists.get(section.sweeps, [])):
        entry_at = at(at("/sweeps", section.sweeps), i)
        for j, own in enumerate(entry.get("boards", [{}])):
            yield Board(entry=entry, entry_at=entry_at, own=own, own_at=f"{entry_at}/boards/{j}")


def _kept(board: Board, section: TierSection) -> bool:
    return not section.only or any(fits(board.task, one) for one in section.only)


def fits(values: Mapping[str, Any], board: Mapping[str, Any]) -> bool:
    """Whether a board with these values is one that has these task parameters."""
    return all(values.get(name) == value for name, value in board.items())
