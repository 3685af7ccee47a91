"""Heunboard: compare gradient estimators for discrete latent variables.

>>> from heunboard import Client  # doctest: +SKIP
>>> Client().submit(Path("sweep.yaml").read_text()).wait().board().to_pandas()  # doctest: +SKIP

The face of four packages, ``estimators`` < ``benchmarks`` < ``workers`` < ``service``. Names are loaded when
they are used: importing it takes no time, and neither the client nor sweep files need PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import estimators
    from benchmarks.sweep import load_sweep
    from service.client import AsyncClient, Client

    __version__: str

__all__ = ["AsyncClient", "Client", "__version__", "estimators", "load_sweep"]

_HOMES = {
    "AsyncClient": "service.client",
    "Client": "service.client",
    "load_sweep": "benchmarks.sweep",
}


if not TYPE_CHECKING:  # a checker knows the names above, and sees what is misspelt

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from workers.version import package_version

            found: Any = package_version()
        elif name == "estimators":
            found = import_module(name)
        elif name in _HOMES:
            found = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'heunboard' has no {name!r}; it has {', '.join(__all__)}")
        globals()[name] = found  # asked once
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
