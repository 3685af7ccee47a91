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

from benchmarks.suites import checking, sections, tiers
from benchmarks.suites.checking import Row
from benchmarks.suites.schema import ExhibitFile, MarginSection, Section, SuiteFile, Tier, TierSection
from benchmarks.sweep import Issue, SpecError, Sweep
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
        self.tier(tier)
        return tuple(one.sweep() for one in tiers.documents(self.name, self.file, self.lists, tier))


@dataclass(frozen=True, kw_only=True, eq=False)
class Suite:
    """A paper.

    Attributes:
        id: name of its folder.
        file: what ``suite.yaml`` says.
        exhibits: its tables and figures by id, in the paper's order, but for those that cannot be used.
        broken: those, each with everything that is wrong with its file.
        folder: where its files are.
    """

    id: str
    file: SuiteFile
    exhibits: Mapping[str, Exhibit]
    broken: Mapping[str, SpecError]
    folder: Path

    def table(self, name: str) -> tuple[Row, ...]:
        """The rows of one of its CSV files, or of another suite's, every value as it is written there.

        Raises:
            SpecError: there is no such file or suite.
        """
        return _table(self.folder, name)


@functools.cache
def _table(folder: Path, name: str) -> tuple[Row, ...]:
    suite, slash, other = name.partition("/")
    if slash:
        folders = _folders()
        if suite not in folders:
            message = f"no suite {suite!r}; there are {listed(sorted(folders))}."
            raise _refused(folder.name, [Issue("/published", message, nearest(suite, sorted(folders)))])
        return _table(folders[suite], other)
    path = folder / name
    if path.parent != folder or not path.is_file():
        hint = nearest(name, sorted(one.name for one in folder.glob("*.csv")))
        raise _refused(folder.name, [Issue("/published", f"{folder.name} has no file {name!r}.", hint)])
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(folder.name, [Issue("/published", f"{name} is no CSV file: {error}")]) from None


def missing() -> list[str]:
    """Folders that ``HEUNBOARD_SUITES`` names and that do not exist."""
    return [str(one) for one in _roots() if not one.is_dir()]


def available() -> list[str]:
    """Ids of all suites, sorted."""
    return sorted(_folders())


def get(id: str) -> Suite:
    """The suite of that id.

    Raises:
        KeyError: there is none; the message names the nearest.
        SpecError: ``suite.yaml`` is not as it must be; lists everything that is wrong.
    """
    folders = _folders()
    if id not in folders:
        guess = nearest(id, sorted(folders)) or _with_exhibit(id)
        hint = f"; did you mean {guess!r}?" if guess else f"; there are {listed(sorted(folders))}"
        raise KeyError(f"no suite {id!r}{hint}")
    return read(folders[id])


def _with_exhibit(id: str) -> str | None:
    """``SUITE/EXHIBIT`` of the first suite that has an exhibit of that id."""
    for suite in available():
        try:
            if id in get(suite).exhibits:
                return f"{suite}/{id}"
        except SpecError:
            continue
    return None


def exhibit(name: str) -> Exhibit:
    """The exhibit that ``SUITE/EXHIBIT`` names.

    Raises:
        KeyError: there is none; the message names the nearest.
        SpecError: its file, or ``suite.yaml``, is not as it must be; lists everything that is wrong.
    """
    suite_id, _, id = name.partition("/")
    suite = get(suite_id)
    if id in suite.broken:
        raise suite.broken[id]
    if id not in suite.exhibits:
        guess = nearest(id, list(suite.exhibits))
        hint = f"; did you mean {guess!r}?" if guess else f"; there are {listed(suite.exhibits)}"
        raise KeyError(f"{suite_id} has no table or figure {id!r}{hint}")
    return suite.exhibits[id]


@functools.cache
def read(folder: Path) -> Suite:
    """The suite in a folder; an exhibit that cannot be used leaves the others as they are.

    Raises:
        SpecError: ``suite.yaml`` is missing or not as it must be.
    """
    file = _load(folder / "suite.yaml", SuiteFile)
    issues = list(checking.suite(file))
    if issues:
        raise _refused(f"{folder.name}/suite.yaml", issues)
    exhibits, broken = _exhibits(folder, file.exhibits)
    return Suite(id=folder.name, file=file, exhibits=exhibits, broken=broken, folder=folder)


def mistakes(folder: Path) -> list[SpecError]:
    """Everything that is wrong with the files of a suite, a file each; empty where nothing is."""
    try:
        return list(read(folder).broken.values())
    except SpecError as error:
        names = sorted(one.stem for one in folder.glob("*.yaml") if one.name != "suite.yaml")
        return [error, *_exhibits(folder, names)[1].values()]


def published_numbers(suite: Suite) -> int:
    """How many published numbers its usable exhibits have; one that is quoted twice counts twice."""
    return sum(
        1 for one in suite.exhibits.values() for _ in checking.published_rows(_source(one, suite.folder))
    )


def _exhibits(folder: Path, names: Iterable[str]) -> tuple[dict[str, Exhibit], dict[str, SpecError]]:
    """Exhibits that can be used, and what is wrong with the others."""
    files: dict[str, ExhibitFile] = {}
    found: dict[str, Exhibit] = {}
    broken: dict[str, SpecError] = {}
    order = list(names)
    for name in order:
        try:
            files[name] = _load(folder / f"{name}.yaml", ExhibitFile)
        except SpecError as error:
            broken[name] = error
    for name, file in files.items():
        try:
            found[name] = _exhibit(folder, name, file, files)
        except SpecError as error:
            broken[name] = error
    return found, {name: broken[name] for name in order if name in broken}


def _exhibit(folder: Path, name: str, file: ExhibitFile, files: Mapping[str, ExhibitFile]) -> Exhibit:
    """One exhibit.

    Raises:
        SpecError: something of its file means nothing.
    """
    source = f"{folder.name}/{name}.yaml"
    made = Exhibit(suite=folder.name, id=name, file=file, lists=_lists(source, file, files))
    issues = list(checking.exhibit(_source(made, folder)))
    if issues:
        raise _refused(source, [_at_other(one, file) for one in issues])
    return made


def _source(exhibit: Exhibit, folder: Path) -> checking.Source:
    return checking.Source(
        name=exhibit.name, file=exhibit.file, lists=exhibit.lists, table=functools.partial(_table, folder)
    )


def _at_other(issue: Issue, file: ExhibitFile) -> Issue:
    """The issue; one of a list that another exhibit has, at ``sweeps_of``."""
    name = issue.path.removeprefix("/sweeps/").partition("/")[0]
    if not issue.path.startswith("/sweeps/") or file.sweeps_of is None or name in file.sweeps:
        return issue
    return Issue("/sweeps_of", f"{file.sweeps_of}.yaml, {issue.path}: {issue.message}", issue.suggestion)


def _refused(source: str, issues: Iterable[Issue]) -> SpecError:
    return SpecError(issues, source=source, what="part of a suite")


def _lists(
    source: str, file: ExhibitFile, files: Mapping[str, ExhibitFile]
) -> Mapping[str, list[dict[str, Any]]]:
    other = file.sweeps_of
    if other is None:
        return file.sweeps
    if other not in files:
        message = f"no exhibit {other!r} that can be read; there are {listed(files)}."
        raise _refused(source, [Issue("/sweeps_of", message, nearest(other, list(files)))])
    return {**files[other].sweeps, **file.sweeps}


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
        raise _refused(source, sections.fields(error, model)) from None


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
