"""Certificates that packages ship: ``certificates/ID.json`` in the package that holds the estimator.

``heunboard certify --all --out estimators/certificates`` writes those of the built-in estimators. Reading one
imports no estimator and no torch.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from estimators import registry
from estimators.certification.record import Certificate
from estimators.info import EstimatorInfo
from service.errors import NotFound

FOLDER = "certificates"


def entry(id: str) -> EstimatorInfo:
    """The registry entry; raises ``NotFound`` where there is none."""
    if id not in registry.available():
        raise NotFound(f"there is no estimator {id!r}; there are {', '.join(registry.available())}")
    return registry.get(id)


def shipped(info: EstimatorInfo) -> Certificate:
    """The stored certificate of this version of an estimator.

    Raises:
        NotFound: there is none, or it is of another version; the message says how to make one.
    """
    path = path_of(info)
    if path is None or not path.is_file():
        raise NotFound(f"no certificate of {info.id!r} is stored; `heunboard certify {info.id}` makes one")
    certificate = Certificate.from_json(json.loads(path.read_text("utf-8")))
    if certificate.version != info.version:
        raise NotFound(
            f"the stored certificate of {info.id!r} is of version {certificate.version}, the estimator is at "
            f"{info.version}; `heunboard certify {info.id}` makes a new one"
        )
    return certificate


def path_of(info: EstimatorInfo) -> Path | None:
    """Where the package of the estimator keeps its certificate; ``None`` if the package is not a folder."""
    found = importlib.util.find_spec(info.target.partition(":")[0].partition(".")[0])
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / FOLDER / f"{info.id}.json"


def text_of(certificate: Certificate) -> str:
    """The file that :func:`shipped` reads."""
    return json.dumps(certificate.to_json(), indent=1) + "\n"
