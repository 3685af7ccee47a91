"""Mistakes in the sections of a file, in words: keys and words that there are none of. Without torch."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from benchmarks.sweep import Issue
from benchmarks.sweep_file.issues import at, listed, nearest

KEY = "[key]"
"""What pydantic puts at the end of the place of a mapping's key."""


def fields(error: ValidationError, model: type[BaseModel]) -> Iterator[Issue]:
    """One issue for each of pydantic's, with the keys that a section has and the nearest."""
    for detail in error.errors(include_url=False):
        yield _field(detail, model)


def _field(detail: ErrorDetails, model: type[BaseModel]) -> Issue:
    *section, key = detail["loc"] or ("",)
    path = pointer(detail["loc"])
    known = _model_at(model, section).model_fields
    if detail["type"] == "extra_forbidden":
        return unknown(path, "key", str(key), list(known))
    described = known[str(key)].description if str(key) in known else None
    hint = f"; it is: {described}" if described else ""
    if detail["type"] == "literal_error":
        return _other_word(path, detail)
    if detail["type"] == "missing":
        return Issue(path, f"the key {key!r} is missing{hint}.")
    return Issue(path, f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{hint}.")


def _other_word(path: str, detail: ErrorDetails) -> Issue:
    """A word that is not among those that a key takes, or a key that is not among those of a mapping."""
    words = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    return unknown(path.removesuffix(at("", KEY)), "word", str(detail["input"]), words)


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


def unknown(path: str, what: str, given: str, names: Sequence[str]) -> Issue:
    """A name that there is none of, with those there are."""
    return Issue(path, f"unknown {what} {given!r}; there are {listed(names)}.", nearest(given, names))
