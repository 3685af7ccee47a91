"""Published numbers that belong beside those of a board. Does not import torch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from benchmarks.spec import Component
from benchmarks.suites import reading
from benchmarks.suites.reading import Exhibit, Row, Suite
from benchmarks.suites.schema import PublishedSection
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Reference
from estimators.info import Value

_NUMBERS = ("mean", "sd", "n")


@functools.cache
def references(task: Component) -> tuple[Reference, ...]:
    """Numbers of all suites that were published for a board, in the order of suites and exhibits."""
    suites = [reading.get(id) for id in reading.available()]
    return tuple(
        one for suite in suites for exhibit in suite.exhibits.values() for one in of(suite, exhibit, task)
    )


def of(suite: Suite, exhibit: Exhibit, task: Component) -> Iterator[Reference]:
    """Those of one exhibit."""
    for section in exhibit.file.published:
        if section.task == task.id:
            for row in suite.table(section.file):
                if _fits(row, section, task.values):
                    yield _reference(row, section, task, exhibit)


def _fits(row: Row, section: PublishedSection, values: Mapping[str, Value]) -> bool:
    return all(row[name] == value for name, value in section.where.items()) and all(
        _text(_published_value(name, values[name], section)) == row[name] for name in section.same
    )


def _published_value(name: str, value: Value, section: PublishedSection) -> Value:
    """What the board's value stands for."""
    return section.stands_for.get(name, {}).get(str(value), value)


def _reference(row: Row, section: PublishedSection, task: Component, exhibit: Exhibit) -> Reference:
    mean, sd, n = (row.get(name) or None for name in _NUMBERS)
    if mean is None:
        raise ValueError(f"{exhibit.name}: a row of {section.file} has no mean: {dict(row)}")
    note = f" ({row['note']})" if row.get("note") else ""
    return Reference(
        metric=row["metric"],
        estimator=row["estimator"] or None,
        label=section.label.format_map(row),
        mean=float(mean),
        sd=None if sd is None else float(sd),
        n=None if n is None else int(n),
        source=section.source.format_map(row) + note,
        comparable="; ".join(_differences(row, section, task)),
        slip=row.get("slip") or "",
        exhibit=exhibit.name,
    )


def _differences(row: Row, section: PublishedSection, task: Component) -> Iterator[str]:
    """How the board's trials differ from those that were published."""
    values = task.values
    yield from section.differs
    for name in section.same:
        stood_for = _published_value(name, values[name], section)
        if stood_for != values[name]:
            yield f"published on {_words(name, stood_for, section)}"
    for name, published in _protocol(row, section, task).items():
        if _text(values[name]) != published:
            yield _difference(name, published, values[name], section)


def _protocol(row: Row, section: PublishedSection, task: Component) -> dict[str, str]:
    """Parameters that a board must equal to be comparable: those of the section, then the row's own."""
    declared = {p.name for p in tasks.get(task.id).parameters} - set(section.same)
    own = {name: value for name, value in row.items() if name in declared and value}
    return {name: _text(value) for name, value in section.protocol.items()} | own


def _difference(name: str, published: str, value: Value, section: PublishedSection) -> str:
    if published in section.words.get(name, {}):
        return f"published with {_words(name, published, section)}"
    if name == "epochs":
        return f"published after {published} epochs, here {value}"
    return f"published with {name.replace('_', ' ')} {published}, here {value}"


def _words(name: str, value: Value, section: PublishedSection) -> str:
    return section.words.get(name, {}).get(_text(value), _text(value))


def _text(value: Value) -> str:
    """A number as short as it can be written, so that 1 and 1.0 are one value."""
    return f"{value:g}" if isinstance(value, float) else str(value)
