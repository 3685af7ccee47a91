"""Published numbers that belong beside those of a board. Does not import torch."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.spec import Component
from benchmarks.suites import reading
from benchmarks.suites.checking import Row
from benchmarks.suites.reading import Exhibit, Suite
from benchmarks.suites.schema import PublishedSection
from benchmarks.sweep import SpecError
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Reference
from estimators.info import Value

_LOG = logging.getLogger(__name__)


@functools.cache
def references(task: Component, select: str | None = None) -> tuple[Reference, ...]:
    """Numbers of all suites that were published for a board, in the order of suites and exhibits.

    Settings that are best by train loss are not those that are best by test loss: only exhibits that choose
    by the same metric count.

    Args:
        task: the board's.
        select: metric that chooses its settings; by default the task's.
    """
    rule = select or tasks.get(task.id).select
    return tuple(
        one
        for suite in readable()
        for exhibit in suite.exhibits.values()
        if exhibit.file.select == rule and exhibit.file.command is None
        for section in exhibit.file.published
        if "/" not in section.file  # of another suite, which shows it itself
        for one in _of_section(suite, exhibit, section, task)
    )


@functools.cache
def readable() -> tuple[Suite, ...]:
    """All suites but those with mistakes, and exhibits likewise: boards are shown without them."""
    suites = []
    for id in reading.available():
        try:
            suites.append(reading.get(id))
        except SpecError as error:
            _LOG.warning("the numbers of suite %s are not shown: %s", id, error)
            continue
        for name, wrong in suites[-1].broken.items():
            _LOG.warning("the numbers of %s/%s are not shown: %s", id, name, wrong)
    return tuple(suites)


def exhibit(name: str) -> Exhibit | None:
    """The exhibit of this name (``suite/exhibit``), if there is one that can be read."""
    return next((one for suite in readable() for one in suite.exhibits.values() if one.name == name), None)


def of(suite: Suite, exhibit: Exhibit, task: Component) -> Iterator[Reference]:
    """Those of one exhibit."""
    for section in exhibit.file.published:
        yield from _of_section(suite, exhibit, section, task)


def _of_section(
    suite: Suite, exhibit: Exhibit, section: PublishedSection, task: Component
) -> Iterator[Reference]:
    if section.task == task.id:
        match = _Match(suite=suite, exhibit=exhibit, section=section, values=task.values)
        for row in suite.table(section.file):
            if match.fits(row):
                yield from match.references(row)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Match:
    """Numbers of a section beside a board with these parameters."""

    suite: Suite
    exhibit: Exhibit
    section: PublishedSection
    values: Mapping[str, Value]

    def fits(self, row: Row) -> bool:
        """Whether the row is of the board, whatever its protocol."""
        section = self.section
        return all(row[name] == value for name, value in section.where.items()) and all(
            _equal(row[name], self._stood_for(name)) for name in section.same
        )

    def references(self, row: Row) -> Iterator[Reference]:
        """The row's number, for each metric that it is one of."""
        for metric in self.section.metrics:
            yield self._reference(row, metric.format_map(row))

    def _reference(self, row: Row, metric: str) -> Reference:
        sd, n = row.get("sd"), row.get("n")
        note = f" ({row['note']})" if row.get("note") else ""
        return Reference(
            metric=metric,
            estimator=row["estimator"] or None,
            label=self.section.label.format_map(row),
            mean=float(row["mean"]),
            sd=float(sd) if sd else None,
            n=int(n) if n else None,
            source=self.section.source.format_map(row) + note,
            comparable="; ".join(self._differences(row)),
            slip=row.get("slip") or "",
            exhibit=self.exhibit.name,
        )

    def _differences(self, row: Row) -> Iterator[str]:
        """How the board's trials differ from those that were published."""
        yield from self.section.differs
        for name in self.section.same:
            stood_for = self._stood_for(name)
            if stood_for != self.values[name]:
                yield f"published on {self._words(name, str(stood_for))}, here on a stand-in"
        for name, published in self._protocol(row).items():
            if not _equal(published, self.values[name]):
                yield self._difference(name, published)

    def _protocol(self, row: Row) -> dict[str, str]:
        """Parameters that a board must equal to be comparable: those of the section, then the row's own."""
        section = self.section
        own = {name: row[name] for name in row if name in self.values and name not in section.same}
        stated = {name: str(value) for name, value in section.protocol.items()}
        return stated | {name: value for name, value in own.items() if value}

    def _difference(self, name: str, published: str) -> str:
        words, here = self._words(name, published), self.values[name]
        if words != published:
            return f"published with {words}"
        if name == "epochs":
            return f"published after {published} epochs, here {here}"
        return f"published with {name.replace('_', ' ')} {published}, here {here}"

    def _stood_for(self, name: str) -> Value:
        """What the board's value stands for; itself where it is no stand-in."""
        stand_ins = self.suite.file.stands_for.get(self.section.task, {}).get(name, {})
        return stand_ins.get(str(self.values[name]), self.values[name])

    def _words(self, name: str, value: str) -> str:
        return self.suite.file.words.get(self.section.task, {}).get(name, {}).get(value, value)


def _equal(written: str, value: Value) -> bool:
    """Whether a CSV file's text is the value: 1 and 1.0 are one number."""
    try:
        return float(written) == float(value)
    except ValueError:
        return written == str(value)
