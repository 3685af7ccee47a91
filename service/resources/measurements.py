"""Measurements of exhibits that a command measures on the machine at hand, such as the time of an epoch.

``heunboard reproduce`` runs the command and sends what it wrote to a server, which keeps one document for
each exhibit, tier and device in its data directory. Time and memory depend on the device; a newer document
of the same one replaces the older.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from benchmarks.spec import digest
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.schema import Tier
from service.errors import InvalidMeasurements, InvalidRequest
from service.resources import efficiency, keeping

logger = logging.getLogger(__name__)

FOLDER = "measurements"


def publish(exhibit: Exhibit, tier: Tier, body: bytes, folder: Path) -> dict[str, Any]:
    """Keep what the command of an exhibit measured.

    Args:
        exhibit: the table or figure.
        tier: one of its tiers.
        body: the JSON file that the command wrote.
        folder: of everything that was measured for this server.

    Returns:
        The document.

    Raises:
        InvalidRequest: the exhibit is computed by sweeps.
        InvalidMeasurements: the body is no such file.
        CannotStore: the folder cannot be written to.
    """
    if exhibit.file.command is None:
        raise InvalidRequest(f"{exhibit.name} is computed by sweeps: POST its tier to /suites/{exhibit.name}")
    document = efficiency.read(body)
    path = _folder(exhibit, tier, folder) / f"{digest(document['device'])}.json"
    keeping.keep(path, document, what="measurements")
    return document


def stored(exhibit: Exhibit, tier: Tier, folder: Path) -> list[dict[str, Any]]:
    """What was measured of an exhibit in a tier, by the name of the device; damaged files are left aside."""
    found = []
    for path in _folder(exhibit, tier, folder).glob("*.json"):
        try:
            found.append(efficiency.read(path.read_bytes()))
        except (OSError, InvalidMeasurements) as error:
            logger.warning("%s is left aside: %s", path, error)
    return sorted(found, key=lambda document: str(document["device"]))


def _folder(exhibit: Exhibit, tier: Tier, folder: Path) -> Path:
    return folder / exhibit.suite / exhibit.id / tier
