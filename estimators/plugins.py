"""Registry entries that other packages announce through entry points. Does not import torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Generic, NamedTuple, Protocol, TypeVar

from estimators.fingerprints import fingerprint

RESTART = "restart heunboard serve and heunboard dispatch, or heunboard up"


class Entry(Protocol):
    """A line of a registry."""

    @property
    def id(self) -> str:
        """The name users write."""

    @property
    def contract(self) -> int:
        """The contract that it was written for."""

    @property
    def target(self) -> str:
        """What computes it, ``module:name``."""


E = TypeVar("E", bound=Entry)


class PluginError(RuntimeError):
    """An installed package announces an estimator or a task that cannot be used."""


class Package(NamedTuple):
    """An installed distribution."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """An entry point that cannot be used.

    Attributes:
        name: of the entry point.
        value: what it names, ``module:attribute``.
        package: whose it is.
        group: of entry points.
        id: that its entry has; the entry point's name where it has none.
        reason: what is wrong, and what to do.
    """

    name: str
    value: str
    package: Package
    group: str
    id: str
    reason: str

    def __str__(self) -> str:
        return f"{_origin(self.name, self.value, self.package, self.group)} {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found(Generic[E]):
    """What installed packages announce.

    Attributes:
        entries: those that can be used, by id.
        packages: where they come from, by id.
        modules: those that announce and that compute them, by id.
        broken: those that cannot.
        seen: all entry points that were looked at, broken or not.
    """

    entries: dict[str, E]
    packages: dict[str, Package]
    modules: dict[str, tuple[str, ...]]
    broken: tuple[Broken, ...]
    seen: frozenset[metadata.EntryPoint]

    def require_whole(self, id: str) -> None:
        """Raise :class:`PluginError` when a broken entry would be this one."""
        for one in self.broken:
            if one.id == id:
                raise PluginError(str(one))

    def fingerprint(self, id: str) -> str | None:
        """Of the code of an entry; ``None`` where there is none, or its files cannot be read."""
        return fingerprint(self.modules[id]) if id in self.modules else None


@dataclass(frozen=True, kw_only=True)
class Group(Generic[E]):
    """Entry points of one kind.

    Attributes:
        name: of the group in a package's metadata.
        noun: what its entries describe, for messages.
        kind: class of the entries.
        kind_name: how a plug-in writes that class.
        target: what an entry point may be taken for, for messages.
        contract: what entries can be written for.
        built_in: ids that plug-ins cannot have.
    """

    name: str
    noun: str
    kind: type[E]
    kind_name: str
    target: str
    contract: int
    built_in: Collection[str]

    def installed(self) -> Found[E]:
        """What the packages announce that are installed."""
        return self.read(metadata.entry_points(group=self.name))

    def read(self, entry_points: Iterable[metadata.EntryPoint]) -> Found[E]:
        """What these entry points announce; none of them can keep the others from being used.

        An id that two packages want belongs to neither: which of them comes first differs from machine to
        machine, and with it what a trial computes.
        """
        looked_at = sorted(entry_points, key=lambda one: (one.name, one.value, _package(one)))
        loaded, broken = [], []
        for entry_point in looked_at:
            try:
                loaded.append((entry_point, self._load(entry_point)))
            except PluginError as error:
                broken.append(self._broken(entry_point, entry_point.name, str(error)))
        wanted = Counter([*self.built_in, *(info.id for _, info in loaded)])
        broken += [
            self._broken(one, info.id, self._taken(info)) for one, info in loaded if wanted[info.id] > 1
        ]
        usable = [(one, info) for one, info in loaded if wanted[info.id] == 1]
        return Found(
            entries={info.id: info for _, info in usable},
            packages={info.id: _package(one) for one, info in usable},
            modules={info.id: (one.module, info.target.partition(":")[0]) for one, info in usable},
            broken=tuple(broken),
            seen=frozenset(looked_at),
        )

    def absence(self, id: str, found: Found[E]) -> str:
        """Why this process does not have an entry that somebody names; empty where there is none to be had.

        Looks at what is installed now, by name, and imports nothing.
        """
        for one in found.broken:
            if one.id == id:
                return f"{one}, then {RESTART}"
        fresh = {one for one in metadata.entry_points(group=self.name) if one not in found.seen}
        named = sorted({str(_package(one)) for one in fresh if one.name == id})
        others = sorted({str(_package(one)) for one in fresh})
        if not others:
            return ""
        whose = " and ".join(named or others)
        of_it = f"{whose} has it and was" if named else f"{whose}, which may have it, was"
        return (
            f"{of_it} installed after this server had started: {RESTART}, and install it wherever workers run"
        )

    def _load(self, entry_point: metadata.EntryPoint) -> E:
        try:
            info = entry_point.load()
        except Exception as error:  # a foreign module may raise anything
            raise PluginError(
                f"does not load ({type(error).__name__}: {error}); repair or uninstall it"
            ) from error
        if not isinstance(info, self.kind):
            raise PluginError(
                f"is {info!r}, expected {self.kind_name}; let the entry point name the registry entry, not "
                f"the {self.target}"
            )
        if info.contract != self.contract:
            raise PluginError(
                f"was written for contract {info.contract!r} of {self.noun}s, this Heunboard has "
                f"{self.contract}; install versions of the two that go together"
            )
        return info

    def _taken(self, info: E) -> str:
        article = "an" if self.noun[0] in "aeiou" else "a"
        return (
            f"registers {article} {self.noun} {info.id!r}, an id that is already taken; uninstall one of the "
            f"two packages or rename its {self.noun}"
        )

    def _broken(self, entry_point: metadata.EntryPoint, id: str, reason: str) -> Broken:
        return Broken(
            name=entry_point.name,
            value=entry_point.value,
            package=_package(entry_point),
            group=self.name,
            id=id,
            reason=reason,
        )


def _package(entry_point: metadata.EntryPoint) -> Package:
    dist = entry_point.dist
    return Package("an unknown package", "") if dist is None else Package(dist.name, dist.version)


def _origin(name: str, value: str, package: Package, group: str) -> str:
    return f"entry point {name} = {value!r} of {package} (group {group})"
