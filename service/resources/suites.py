"""Papers, their tables and figures, and how far each tier is, as the API and the command line show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Engine

from benchmarks.suites import reading
from benchmarks.suites.reading import Exhibit, Suite
from benchmarks.suites.schema import Tier
from service.errors import BrokenSuite, NotFound
from service.resources import measurements, reproductions, schemas

States = Mapping[tuple[str, Tier], schemas.TierState]


def list_suites(engine: Engine, measured: Path) -> schemas.SuiteList:
    """All suites by id; a suite or an exhibit that cannot be used does not hide the others.

    Args:
        engine: the database.
        measured: folder of measurements that were published to this server.
    """
    usable, broken = [], []
    for id in reading.available():
        try:
            usable.append(reproductions.suite(id))
        except BrokenSuite as error:
            broken.append(schemas.BrokenSuite(id=id, detail=str(error)))
    broken += [one for suite in usable for one in _broken(suite)]
    states = reproductions.states(engine, [one for suite in usable for one in suite.exhibits.values()])
    lines = [schemas.SuiteLine(**_suite(one, states, measured)) for one in usable]
    return schemas.SuiteList(suites=lines, broken=broken)


def show_suite(engine: Engine, id: str, measured: Path) -> schemas.SuiteDetail:
    """A paper.

    Raises:
        NotFound: there is no such suite.
        BrokenSuite: its ``suite.yaml`` is not as it must be.
    """
    suite = reproductions.suite(id)
    states = reproductions.states(engine, list(suite.exhibits.values()))
    return schemas.SuiteDetail(
        **_suite(suite, states, measured),
        about=suite.file.about,
        bibtex=suite.file.bibtex,
        broken=_broken(suite),
    )


def show_exhibit(engine: Engine, exhibit: Exhibit, measured: Path) -> schemas.ExhibitDetail:
    """A table or figure."""
    file = exhibit.file
    return schemas.ExhibitDetail(
        **dict(_line(exhibit, reproductions.states(engine, [exhibit]), measured)),
        suite=exhibit.suite,
        about=file.about,
        select=file.select,
        report=file.report,
        claims=[one.sentence for one in file.claims],
        slips=file.slips,
    )


def with_tier(suite: Suite, tier: str) -> list[tuple[Exhibit, Tier]]:
    """The exhibits of a suite that have a tier and are computed by sweeps, in the paper's order.

    Raises:
        NotFound: none has the tier.
        BrokenSuite: none can be used.
    """
    every = suite.exhibits.values()
    if not suite.exhibits:
        raise BrokenSuite(" ".join(one.detail for one in _broken(suite)))
    having = [one for one in every if tier in one.file.tiers and one.file.command is None]
    if not having:
        known = dict.fromkeys(name for one in every for name in one.file.tiers)
        raise NotFound(f"no exhibit of {suite.id} has a tier {tier!r}; there are {', '.join(known)}")
    return [(one, reproductions.tier_of(one, tier)) for one in having]


def _broken(suite: Suite) -> list[schemas.BrokenSuite]:
    """Its exhibits that cannot be used, with the reasons."""
    return [
        schemas.BrokenSuite(id=f"{suite.id}/{id}", detail=reproductions.told(error))
        for id, error in suite.broken.items()
    ]


def _suite(suite: Suite, states: States, measured: Path) -> dict[str, object]:
    """Fields of :class:`schemas.SuiteLine`."""
    file = suite.file
    exhibits = [_line(one, states, measured) for one in suite.exhibits.values()]
    said = {"title": file.title, "authors": file.authors, "venue": file.venue, "url": file.url}
    return {"id": suite.id, **said, "exhibits": exhibits}


def _line(exhibit: Exhibit, states: States, measured: Path) -> schemas.ExhibitLine:
    return schemas.ExhibitLine(
        id=exhibit.id,
        title=exhibit.file.title,
        where=exhibit.file.where,
        command=exhibit.file.command,
        tiers=[
            schemas.TierLine(
                **dict(states[exhibit.name, tier]),
                tier=tier,
                changes=section.changes,
                options={} if exhibit.file.command is None else section.set,
                measured_on=_devices(exhibit, tier, measured),
            )
            for tier, section in exhibit.file.tiers.items()
        ],
    )


def _devices(exhibit: Exhibit, tier: Tier, measured: Path) -> Sequence[str]:
    if exhibit.file.command is None:
        return []
    return [str(one["device"]) for one in measurements.stored(exhibit, tier, measured)]
