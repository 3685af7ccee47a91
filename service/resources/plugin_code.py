"""Results of one version of a plug-in's estimator or task that different code has computed, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ADVICE = (
    "Where it computes something else by now, its version has to be raised and the sweep submitted again; "
    "docs/operations.md says more under “Plug-ins”."
)


def mixed_code(provenances: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """A sentence for everything that was computed by several codes; provenance of older versions does not
    tell.

    Args:
        provenances: one for each attempt.
    """
    codes: dict[str, dict[str, None]] = {}
    for one in provenances:
        for part, code in ((one or {}).get("plugins") or {}).items():
            codes.setdefault(part, {})[code] = None
    return [_sentence(part, list(found)) for part, found in codes.items() if len(found) > 1]


def _sentence(part: str, found: list[str]) -> str:
    named, _, version = part.rpartition("@")
    noun, _, id = named.partition("/")
    return (
        f"Results of {noun} {id} version {version} were computed by different code: {'; '.join(found)}. "
        f"{ADVICE}"
    )
