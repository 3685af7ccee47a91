"""Suites from their folders: files checked, tiers turned into sweeps. Does not import torch.

A suite is a folder of data: ``suite.yaml``, one file for every table and figure, CSV files of published
numbers. Those of this package lie beside this module; folders that ``HEUNBOARD_SUITES`` names, separated as
in ``PATH``, are searched for more.
"""

from __future__ import annotations

import csv
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from benchmarks.suites import checking
from benchmarks.suites.checking import Row
from benchmarks.suites.schema import ExhibitFile, MarginSection, Section, SuiteFile, Tier, TierSection
from benchmarks.sweep import Issue, SpecError, Sweep, read_sweep
from benchmarks.sweep_file.document import parse, plain
from benchmarks.sweep_file.issues import Issues, listed, nearest

FOLDERS = "HEUNBOARD_SUITES"
"""Environment variable with folders of further suites."""

_File = TypeVar("_File", bound=Section)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """One table or figure of a paper.

    Attributes:
        suite: id of the suite.
        id: its name there, e.g. ``table2``.
        file: what its file says.
        lists: sweeps without names, by what they are; another exhibit's where the file says so.
    """

    suite: str
    id: str
    file: ExhibitFile
    lists: Mapping[str, list[dict[str, Any]]]

    @property
    def name(self) -> str:
        """As users write it: ``reinmax-2023/table2``."""
        return f"{self.suite}/{self.id}"

    def tier(self, tier: str) -> TierSection:
        """What its file says of a tier.

        Raises:
            KeyError: the exhibit has no such tier; the message names those it has.
        """
        for name, section in self.file.tiers.items():
            if name == tier:
                return section
        raise KeyError(f"{self.name} has no tier {tier!r}; it has {listed(self.file.tiers)}")

    def margin(self, tier: Tier, metric: str) -> MarginSection | None:
        """The largest difference of a metric that counts as none; ``None`` where the file states none."""
        return self.tier(tier).margins.get(metric) or self.file.margins.get(metric)

    @functools.cache  # noqa: B019 - exhibits live as long as the process
    def sweeps(self, tier: Tier) -> tuple[Sweep, ...]:
        """The sweeps of a tier, in the order of the file; none where a command measures instead.

        Raises:
            KeyError: the exhibit has no such tier.
            SpecError: a sweep is not valid.
        """
        section = self.tier(tier)
        documents = [
            self._document(one, task, tier, section)
            for one in self.lists.get(section.sweeps, [])  # none of a command
            for task in _boards(one)
            if _kept(task, section)
        ]
        return tuple(
            read_sweep(document, source=f"{self.name}, tier {tier}, sweep {i}")
            for i, document in enumerate(documents, start=1)
        )

    def _document(
        self, sweep: Mapping[str, Any], task: Mapping[str, Any], tier: Tier, section: TierSection
    ) -> dict[str, Any]:
        """A sweep file of one of its boards, with what the tier changes."""
        rule = {"select": {"metric": self.file.select}, "report": list(self.file.report)}
        given = {key: value for key, value in sweep.items() if key != "boards"}
        changed = {**section.set, "task": {**task, **section.set.get("task", {})}}
        return {"name": f"{self.name} {tier}", **rule, **given, **changed}


def _boards(sweep: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The `task` of each of its sweep files."""
    for board in sweep.get("boards", [{}]):
        yield {**sweep.get("task", {}), **board}


def _kept(task: Mapping[str, Any], section: TierSection) -> bool:
    return not section.only or any(
        all(task.get(name) == value for name, value in board.items()) for board in section.only
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Suite:
    """A paper.

    Attributes:
        id: name of its folder.
        file: what ``suite.yaml`` says.
        exhibits: its tables and figures by id, in the paper's order.
        folder: where its files are.
    """

    id: str
    file: SuiteFile
    exhibits: Mapping[str, Exhibit]
    folder: Path

    @functools.cache  # noqa: B019 - suites live as long as the process
    def table(self, name: str) -> tuple[Row, ...]:
        """The rows of one of its CSV files, or of another suite's, every value as it is written there.

        Raises:
            KeyError: there is no such other suite.
            SpecError: there is no such file.
        """
        suite, slash, other = name.partition("/")
        if slash:
            return get(suite).table(other)
        path = self.folder / name
        if path.parent != self.folder or not path.is_file():
            raise _refused(self.id, [Issue("/published", f"{self.id} has no file {name!r}")])
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(csv.DictReader(file))


def available() -> list[str]:
    """Ids of all suites, sorted."""
    return sorted(_folders())


def get(id: str) -> Suite:
    """The suite of that id.

    Raises:
        KeyError: there is none; the message names the nearest.
        SpecError: one of its files is not as it must be; lists everything that is wrong.
    """
    folders = _folders()
    if id not in folders:
        guess = nearest(id, sorted(folders))
        hint = f"; did you mean {guess!r}?" if guess else f"; there are {listed(sorted(folders))}"
        raise KeyError(f"no suite {id!r}{hint}")
    return read(folders[id])


def exhibit(name: str) -> Exhibit:
    """The exhibit that ``SUITE/EXHIBIT`` names.

    Raises:
        KeyError: there is none; the message names the nearest.
    """
    suite_id, _, id = name.partition("/")
    suite = get(suite_id)
    if id not in suite.exhibits:
        guess = nearest(id, list(suite.exhibits))
        hint = f"; did you mean {guess!r}?" if guess else f"; there are {listed(suite.exhibits)}"
        raise KeyError(f"{suite_id} has no table or figure {id!r}{hint}")
    return suite.exhibits[id]


@functools.cache
def read(folder: Path) -> Suite:
    """The suite in a folder.

    Raises:
        SpecError: a file is missing or not as it must be.
    """
    id = folder.name
    file = _load(folder / "suite.yaml", SuiteFile)
    files = {name: _load(folder / f"{name}.yaml", ExhibitFile) for name in file.exhibits}
    exhibits = {
        name: Exhibit(suite=id, id=name, file=one, lists=_lists(name, files)) for name, one in files.items()
    }
    suite = Suite(id=id, file=file, exhibits=exhibits, folder=folder)
    for one in exhibits.values():
        issues = list(checking.exhibit(one.file, one.lists, suite.table))
        if issues:
            raise _refused(f"{id}/{one.id}.yaml", issues)
    return suite


def _refused(source: str, issues: Iterable[Issue]) -> SpecError:
    return SpecError(issues, source=source, what="part of a suite")


def _lists(name: str, files: Mapping[str, ExhibitFile]) -> Mapping[str, list[dict[str, Any]]]:
    other = files[name].sweeps_of
    if other is None:
        return files[name].sweeps
    if other not in files:
        message = f"no exhibit {other!r}; there are {listed(files)}"
        raise _refused(f"{name}.yaml", [Issue("/sweeps_of", message, nearest(other, list(files)))])
    return {**files[other].sweeps, **files[name].sweeps}


def _load(path: Path, model: type[_File]) -> _File:
    source = f"{path.parent.name}/{path.name}"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _refused(source, [Issue("", f"cannot be read: {error.strerror}")]) from None
    issues = Issues()
    document = plain(parse(text, source=source), issues, source=source)
    issues.raise_if_any(source)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _refused(source, checking.fields(error, model)) from None


def _folders() -> dict[str, Path]:
    """Id -> folder; of two with one id the earlier on the path."""
    found: dict[str, Path] = {}
    for root in _roots():
        for path in sorted(root.glob("*/suite.yaml")):
            found.setdefault(path.parent.name, path.parent)
    return found


def _roots() -> Iterator[Path]:
    yield Path(__file__).parent
    yield from (Path(one) for one in os.environ.get(FOLDERS, "").split(os.pathsep) if one)
