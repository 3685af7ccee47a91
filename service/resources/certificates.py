"""Stored certificates: those that packages ship, and those that were published to this server.

A package ships ``certificates/ID.json`` beside its modules; ``heunboard certify --all --out
estimators/certificates`` writes those of the built-in estimators. ``heunboard certify ID --publish`` sends
one to a server, which keeps it as ``certificates/ID.json`` in its data directory. Of two of the right version
the published one is shown, which somebody chose to put there. Reading imports no estimator and no torch.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from estimators import registry
from estimators.certification.record import Certificate
from estimators.info import EstimatorInfo
from service.errors import InvalidCertificate, NotFound
from service.resources import keeping, publication
from service.resources.near import advice, near_estimators

logger = logging.getLogger(__name__)

FOLDER = "certificates"


@dataclass(frozen=True)
class Stored:
    """A certificate, and when it was published to this server; ``None`` for one that a package ships."""

    certificate: Certificate
    published_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """The answer of the REST API."""
        at = None if self.published_at is None else self.published_at.isoformat()
        return {"published_at": at, **self.certificate.to_json()}


def entry(id: str) -> EstimatorInfo:
    """The registry entry; raises ``NotFound`` where there is none."""
    if id not in registry.available():
        others = f"there are {', '.join(registry.available())}"
        why = registry.absence(id) or advice(near_estimators(id), others)
        raise NotFound(f"there is no estimator {id!r}; {why}")
    return registry.get(id)


def stored(info: EstimatorInfo, published: Path) -> Stored:
    """The certificate of this version of an estimator: the published one, or else the one that is shipped.

    Args:
        info: the estimator.
        published: the folder of what was published to this server.

    Raises:
        NotFound: there is neither; the message says how to make one.
    """
    return _published(info, published) or Stored(shipped(info), None)


def shipped(info: EstimatorInfo) -> Certificate:
    """The certificate of this version of an estimator that its package ships.

    Raises:
        NotFound: there is none, or it is of another version; the message says how to make one.
    """
    path = path_of(info)
    command = f"`heunboard certify {info.id} --publish`"
    if path is None or not path.is_file():
        raise NotFound(
            f"no certificate of {info.id!r} is stored; {command} measures one and sends it to a server"
        )
    certificate = Certificate.from_json(json.loads(path.read_text("utf-8")))
    if certificate.version != info.version:
        raise NotFound(
            f"the stored certificate of {info.id!r} is of version {certificate.version}, the estimator is at "
            f"{info.version}; {command} measures a new one and sends it to a server"
        )
    return certificate


def publish(info: EstimatorInfo, body: bytes, published: Path) -> Stored:
    """Keep a certificate that somebody sent; a file is there as a whole or not at all.

    Raises:
        InvalidCertificate: it is none of this version of the estimator.
        CannotStore: the folder cannot be written to.
    """
    new = Stored(publication.read(body, info), datetime.now(UTC).replace(microsecond=0))
    document = {"published_at": new.to_json()["published_at"], "certificate": new.certificate.to_json()}
    keeping.keep(published / f"{info.id}.json", document, what="certificates")
    return new


def path_of(info: EstimatorInfo) -> Path | None:
    """Where the package of the estimator keeps its certificate; ``None`` if the package is not a folder."""
    found = importlib.util.find_spec(info.target.partition(":")[0].partition(".")[0])
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / FOLDER / f"{info.id}.json"


def text_of(certificate: Certificate) -> str:
    """The file that :func:`shipped` reads."""
    return json.dumps(certificate.to_json(), indent=1) + "\n"


def _published(info: EstimatorInfo, folder: Path) -> Stored | None:
    """What was published, checked again: the estimator may have another version by now."""
    path = folder / f"{info.id}.json"
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text("utf-8"))
        certificate = publication.read(json.dumps(document["certificate"]), info)
        return Stored(certificate, datetime.fromisoformat(document["published_at"]))
    except (OSError, ValueError, TypeError, LookupError, InvalidCertificate) as error:
        logger.warning("%s is left aside: %s", path, error)
        return None
