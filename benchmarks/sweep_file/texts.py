"""What people read of a sweep: its name, owner, description and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sweep_file.issues import Issues, at, shown

TEXTS = ("name", "owner", "description")


def check_texts(fields: Mapping[str, Any], issues: Issues) -> None:
    """Note what a terminal or a database chokes on, blank texts, and tags that are there twice.

    Args:
        fields: of a sweep file, as far as they have the right shape.
        issues: where it is noted.
    """
    for key in TEXTS:
        _check_printable(fields.get(key), at("", key), issues)
    tags: Sequence[str] = fields.get("tags") or []
    for i, tag in enumerate(tags):
        _check_printable(tag, at("/tags", i), issues)
        if tag in tags[:i]:
            issues.add(at("/tags", i), f"the tag {shown(tag)} is there twice; leave one out.")


def _check_printable(text: str | None, path: str, issues: Issues) -> None:
    """A description may be empty and have several lines."""
    allowed = "\n\t" if path == "/description" else ""
    strange = next((c for c in text or "" if not c.isprintable() and c not in allowed), None)
    if strange is not None:
        issues.add(path, f"the text has the unprintable character {strange!a}; leave it out.")
    elif text is not None and path != "/description" and not text.strip():
        issues.add(path, "the text is blank; write at least one letter.")
