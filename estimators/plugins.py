"""Registry entries that other packages announce through entry points. Does not import torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """A line of a registry."""

    @property
    def id(self) -> str:
        """The name users write."""


E = TypeVar("E", bound=Entry)


class PluginError(RuntimeError):
    """An installed package announces an estimator or a task that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Group(Generic[E]):
    """Entry points of one kind.

    Attributes:
        name: of the group in a package's metadata.
        noun: what its entries describe, for messages.
        kind: class of the entries.
        kind_name: how a plug-in writes that class.
        target: what an entry point may be taken for, for messages.
        built_in: ids that plug-ins cannot have.
    """

    name: str
    noun: str
    kind: type[E]
    kind_name: str
    target: str
    built_in: Collection[str]

    def installed(self) -> dict[str, E]:
        """Entries of the packages that are installed, by id.

        Raises:
            PluginError: as :meth:`read`.
        """
        return self.read(metadata.entry_points(group=self.name))

    def read(self, entry_points: Iterable[metadata.EntryPoint]) -> dict[str, E]:
        """Entries announced by ``entry_points``, by id.

        Raises:
            PluginError: one does not load, is of another class, or takes an id that exists; the message names
                its package.
        """
        found: dict[str, E] = {}
        for entry_point in entry_points:
            info = self._load(entry_point)
            if info.id in self.built_in or info.id in found:
                article = "an" if self.noun[0] in "aeiou" else "a"
                raise PluginError(
                    f"{self._origin(entry_point)} registers {article} {self.noun} {info.id!r}, an id that is "
                    f"already taken; uninstall one of the two packages or rename its {self.noun}"
                )
            found[info.id] = info
        return found

    def _load(self, entry_point: metadata.EntryPoint) -> E:
        try:
            info = entry_point.load()
        except Exception as error:  # a foreign module may raise anything; the message must name its package
            raise PluginError(
                f"{self._origin(entry_point)} does not load ({type(error).__name__}: {error}); repair or "
                "uninstall it"
            ) from error
        if not isinstance(info, self.kind):
            raise PluginError(
                f"{self._origin(entry_point)} is {info!r}, expected {self.kind_name}; let the entry point "
                f"name the registry entry, not the {self.target}"
            )
        return info

    def _origin(self, entry_point: metadata.EntryPoint) -> str:
        package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
        return f"entry point {entry_point.name} = {entry_point.value!r} of {package} (group {self.name})"
