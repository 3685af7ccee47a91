"""What comes from workers as either database can keep it and JSON can show it.

Errors and tracebacks hold whatever a program printed: NUL, which PostgreSQL refuses, half surrogate pairs,
which are no UTF-8, megabytes. Provenance may hold numbers that JSON has no word for.
"""

from __future__ import annotations

import math
from typing import Any

LONGEST = 50_000
"""Characters of one text; of a longer one the beginning and the end stay."""


def storable(text: str) -> str:
    """The text without NUL and half surrogate pairs, at most ``LONGEST`` characters and a line between."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if len(clean) <= LONGEST:
        return clean
    half = LONGEST // 2
    return f"{clean[:half]}\n[... {len(clean) - 2 * half:,} characters left out ...]\n{clean[-half:]}"


def storable_json(value: Any) -> Any:
    """Plain data with such texts, and ``None`` for numbers that are not finite."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {storable(str(name)): storable_json(one) for name, one in value.items()}
    return [storable_json(one) for one in value] if isinstance(value, (list, tuple)) else value
