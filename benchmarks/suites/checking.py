"""What is wrong with the files of a suite, in words: keys, columns and names. Does not import torch."""

from __future__ import annotations

import string
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from benchmarks.suites.schema import ExhibitFile, PublishedSection, TestSection
from benchmarks.sweep import Issue
from benchmarks.sweep_file.issues import at, listed, nearest
from benchmarks.tasks import registry as tasks
from estimators import registry as estimators

Row = Mapping[str, str]
"""A line of a CSV file: column -> text."""

NUMBERS = ("mean", "sd", "n")
_ALWAYS = ("estimator", "metric", "mean")


def fields(error: ValidationError, model: type[BaseModel]) -> Iterator[Issue]:
    """One issue for each of pydantic's, with the keys that a section has and the nearest."""
    for detail in error.errors(include_url=False):
        yield _field(detail, model)


def _field(detail: ErrorDetails, model: type[BaseModel]) -> Issue:
    *section, key = detail["loc"] or ("",)
    path = pointer(detail["loc"])
    known = _model_at(model, section).model_fields
    if detail["type"] == "extra_forbidden":
        return _unknown(path, "key", str(key), list(known))
    described = known[str(key)].description if str(key) in known else None
    hint = f"; it is: {described}" if described else ""
    if detail["type"] == "missing":
        return Issue(path, f"the key {key!r} is missing{hint}.")
    return Issue(path, f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{hint}.")


def pointer(location: Sequence[int | str]) -> str:
    """The JSON pointer to a place in a document."""
    path = ""
    for part in location:
        path = at(path, part)
    return path


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """The section that a place belongs to: the innermost model on the way there."""
    found, annotation = model, typing.cast(object, model)
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = None if field is None else _bare(field.annotation)
        else:  # a list or a mapping: what it holds
            annotation = _bare(typing.get_args(annotation)[-1]) if typing.get_args(annotation) else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found = annotation
    return found


def _bare(annotation: object) -> object:
    """Without ``| None``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(one for one in typing.get_args(annotation) if one is not type(None))
    return annotation


def _unknown(path: str, what: str, given: str, names: Sequence[str]) -> Issue:
    """A name that there is none of, with those there are."""
    return Issue(path, f"unknown {what} {given!r}; there are {listed(names)}.", nearest(given, names))


def exhibit(
    file: ExhibitFile, lists: Mapping[str, object], table: Callable[[str], Sequence[Row]]
) -> Iterator[Issue]:
    """Names in an exhibit's file that mean nothing: lists of sweeps, tasks, columns, estimators.

    Args:
        file: what it says.
        lists: its lists of sweeps by name, another exhibit's where it has those.
        table: name of a CSV file -> its rows.
    """
    for name, tier in file.tiers.items():
        if file.command is None and tier.sweeps not in lists:
            yield _unknown(f"/tiers/{name}/sweeps", "list of sweeps", tier.sweeps, list(lists))
    for i, section in enumerate(file.published):
        of_command = () if file.command is None else ("problem",)
        yield from _published(f"/published/{i}", section, table, of_command)
    if file.command is None:
        for i, claim in enumerate(file.claims):
            for j, test in enumerate(claim.tests):
                yield from _test(f"/claims/{i}/tests/{j}", test)


def _published(
    path: str,
    section: PublishedSection,
    table: Callable[[str], Sequence[Row]],
    columns: Sequence[str],
) -> Iterator[Issue]:
    if section.task not in tasks.available():
        yield _unknown(f"{path}/task", "task", section.task, tasks.available())
        return
    parameters = [p.name for p in tasks.get(section.task).parameters]
    for key, names in (("same", section.same), ("protocol", section.protocol)):
        for name in names:
            if name not in parameters:
                yield _unknown(f"{path}/{key}", f"parameter of {section.task}", name, parameters)
    if "/" not in section.file:  # else checked with the suite that has it
        yield from _columns(path, section, table(section.file), columns)


def _columns(
    path: str, section: PublishedSection, rows: Sequence[Row], columns: Sequence[str]
) -> Iterator[Issue]:
    if not rows:
        yield Issue(f"{path}/file", f"{section.file} has no rows.")
        return
    templates = (section.label, section.source, *section.metrics)
    filled = [name for text in templates for _, name, _, _ in string.Formatter().parse(text) if name]
    for name in dict.fromkeys((*_ALWAYS, *columns, *section.where, *section.same, *filled)):
        if name not in rows[0]:
            yield _unknown(path, f"column of {section.file}", name, list(rows[0]))
    for line, row in enumerate(rows, start=2):
        for name in NUMBERS:
            if (row.get(name) or name == "mean") and not _is_number(row.get(name)):
                message = f"{section.file}, line {line}: {name} must be a number, is {row.get(name)!r}."
                yield Issue(path, message)


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _test(path: str, test: TestSection) -> Iterator[Issue]:
    for name in (*([test.estimator] if test.estimator else []), *test.than):
        if name not in estimators.available():
            yield _unknown(path, "estimator", name, estimators.available())
