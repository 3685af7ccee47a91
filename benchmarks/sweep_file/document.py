"""Sweep files as text or Python data: turned into plain dictionaries, lists and scalars, with limits.

YAML with the core schema of version 1.2 (``yes`` is text, ``1e-3`` a number) and JSON. Tags are refused,
nothing is constructed but dictionaries, lists, text, numbers, booleans and null. libyaml takes text apart,
in time proportional to its length whatever it says; a reader in Python takes seconds for some files that the
limits let pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from benchmarks.sweep_file.issues import Issue, Issues, SpecError, at, shown
from benchmarks.sweep_file.limits import MAX_BODY_BYTES, MAX_DEPTH, MAX_NODES

_CORE_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + text: float("inf") for sign in ("", "+") for text in (".inf", ".Inf", ".INF")},
    **{"-" + text: float("-inf") for text in (".inf", ".Inf", ".INF")},
}
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_LONGEST_INTEGER = 300  # digits; Python refuses to read integers of more than 4300, doubles end at 308


class Pairs(list[tuple[Any, Any]]):
    """A mapping as it was written: duplicate keys are still there."""


def parse(text: str | bytes, *, source: str) -> Any:
    """Read YAML or JSON; mappings come as :class:`Pairs`.

    Raises:
        SpecError: not UTF-8, too large, or not YAML; the message has line and column.
    """
    text = _decode(text, source)
    if not text.lstrip().startswith("{"):
        return _parse_yaml(text, source)
    try:
        return json.loads(text, object_pairs_hook=Pairs, parse_int=number)
    except RecursionError:
        _refuse(source, _TOO_DEEP)
    except json.JSONDecodeError as error:
        # A YAML flow mapping, or broken JSON. YAML errors do not help with JSON that YAML 1.1 readers
        # cannot read (tabs), so the reader that came further speaks.
        return _parse_yaml(text, source, json_error=error)


def number(text: str) -> int | float | None:
    """The number that ``text`` spells in decimal, or ``None``."""
    if _INTEGER.fullmatch(text) and len(text) <= _LONGEST_INTEGER:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else None


def plain(raw: Any, issues: Issues, *, source: str) -> Any:
    """Parsed or Python data as dictionaries, lists and scalars; duplicate and non-text keys are noted.

    Tuples and ranges become lists.

    Raises:
        SpecError: more than ``MAX_NODES`` values, or deeper than ``MAX_DEPTH``.
    """
    return _Plain(issues, source).convert(raw, "", 0)


_TOO_DEEP = f"the file is nested deeper than {MAX_DEPTH} levels; a sweep file needs at most 6."
_TOO_MANY = f"the file has more than {MAX_NODES:,} keys and values, aliases in full; split the sweep."


def _refuse(source: str, message: str) -> NoReturn:
    raise SpecError([Issue("", message)], source=source)


def _decode(text: str | bytes, source: str) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BODY_BYTES:
        _refuse(source, f"the file has {size:,} bytes, at most {MAX_BODY_BYTES:,} are read; split the sweep.")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(source, f"the file is not UTF-8 (byte {error.start}); save it as UTF-8.")


class _Plain:
    """Conversion to plain data under a budget of nodes."""

    def __init__(self, issues: Issues, source: str) -> None:
        self._issues = issues
        self._source = source
        self._nodes = 0

    def convert(self, raw: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            _refuse(self._source, _TOO_DEEP)
        if isinstance(raw, (Pairs, Mapping)):
            return self._mapping(raw, path, depth)
        if isinstance(raw, (list, tuple, range)):
            self._spend(len(raw))
            return [self.convert(value, at(path, i), depth + 1) for i, value in enumerate(raw)]
        return self._text(raw, path) if isinstance(raw, str) else raw

    def _text(self, raw: str, path: str) -> str:
        """JSON and Python can hold half a surrogate pair, which no file or database takes."""
        clean = raw.encode("utf-8", "replace").decode()
        if clean != raw:
            self._issues.add(path, f"the text {shown(raw)} has half a surrogate pair; leave it out.")
        return clean

    def _mapping(self, raw: Pairs | Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        pairs = raw if isinstance(raw, Pairs) else raw.items()
        self._spend(2 * len(raw))
        result: dict[str, Any] = {}
        for name, value in pairs:
            if not isinstance(name, str):
                self._issues.add(path, f"the key {shown(name)} is not text; keys are names.")
                continue
            key = self._text(name, path)
            if key in result:
                self._issues.add(at(path, key), f"the key {shown(key)} stands here twice; keep one.")
            else:
                result[key] = self.convert(value, at(path, key), depth + 1)
        return result

    def _spend(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            _refuse(self._source, _TOO_MANY)


def _parse_yaml(text: str, source: str, json_error: json.JSONDecodeError | None = None) -> Any:
    try:
        return _YamlReader(text, source).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if json_error is not None and (mark is None or json_error.pos >= mark.index):
            _refuse(
                source, f"broken JSON, line {json_error.lineno}, column {json_error.colno}: {json_error.msg}"
            )
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        _refuse(source, f"broken YAML, {where}: {error.problem or error.context}.")
    except yaml.YAMLError as error:  # characters that YAML forbids; the error has a position but no mark
        _refuse(source, f"broken YAML: {' '.join(str(error).split())}.")


class _YamlReader:
    """Builds the tree from parser events, so that limits hold before anything large exists."""

    def __init__(self, text: str, source: str) -> None:
        self._events: Iterator[Event] = yaml.parse(text, Loader=yaml.CBaseLoader)
        self._source = source
        self._nodes = 0
        self._anchors: dict[str, Any] = {}

    def document(self) -> Any:
        """The only document of the stream; ``None`` for an empty one."""
        tree, documents = None, 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document starts here; write one sweep per file")
                tree = self._node(next(self._events), 0)
            elif isinstance(event, StreamEndEvent):
                break
        return tree

    def _node(self, event: Event, depth: int) -> Any:
        assert isinstance(event, NodeEvent)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            _refuse(self._source, _TOO_MANY)
        if depth > MAX_DEPTH:
            _refuse(self._source, _TOO_DEEP)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        tree = self._tree(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = tree
        return tree

    def _tree(self, event: NodeEvent, depth: int) -> Any:
        assert isinstance(event, (ScalarEvent, CollectionStartEvent))
        if event.tag not in (None, "!"):
            self._refuse(event, f"the tag {shown(str(event.tag))} is not accepted; leave it out")
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if isinstance(event, SequenceStartEvent):
            return list(self._items(SequenceEndEvent, depth))
        items = iter(self._items(MappingEndEvent, depth))
        return Pairs(zip(items, items, strict=True))

    def _items(self, end: type[Event], depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield self._node(event, depth + 1)

    def _alias(self, event: AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias {shown('*' + event.anchor)} has no anchor before it")
        return self._anchors[event.anchor]  # shared; what it unfolds to is counted by `plain`

    def _refuse(self, event: Event, message: str) -> NoReturn:
        mark = event.start_mark
        _refuse(self._source, f"line {mark.line + 1}, column {mark.column + 1}: {message}.")


def _scalar(event: ScalarEvent) -> Any:
    """A scalar by the core schema; quoted and block scalars are text."""
    text = event.value
    if not event.implicit[0]:
        return text
    if text in _CORE_CONSTANTS:
        return _CORE_CONSTANTS[text]
    value = number(text)
    return text if value is None else value
