"""Limits of a sweep file. Each is stated in ``docs/reference/sweep-file.md``."""

from __future__ import annotations

MAX_BODY_BYTES = 1024 * 1024
"""Size of a sweep file, UTF-8."""

MAX_NODES = 50_000
"""Keys and values in a sweep file, every use of a YAML alias counted in full."""

MAX_DEPTH = 8
"""Nesting of mappings and lists; the deepest valid file needs 6."""

MAX_TRIALS = 100_000
"""Trials of one sweep."""

MAX_SEEDS = 10_000
"""Seeds of one sweep."""

MAX_SEED = 2**31 - 1
"""Largest seed."""

MAX_AXIS_VALUES = 1_000
"""Values of one parameter."""

MAX_ESTIMATORS = 200
"""Entries under ``estimators``."""

MAX_OPTIMIZERS = 100
"""Entries of one list of optimizers."""

MAX_NAME_LENGTH = 100
"""Characters of a sweep's name and of its owner's."""

MAX_DESCRIPTION_LENGTH = 10_000
"""Characters of a description."""

MAX_TAGS = 20
"""Tags of one sweep."""

MAX_TAG_LENGTH = 40
"""Characters of a tag."""

MAX_LR = 1_000.0
"""Largest learning rate."""

MAX_DRAWS = 65_536
"""Repeated estimates of diagnostics."""

MAX_EXAMPLES = 10_000
"""Examples in the fixed batch of diagnostics."""

MIN_PRIORITY, MAX_PRIORITY = -100, 100
"""Range of a priority; higher runs first."""

MAX_ISSUES = 100
"""Issues reported at once; the rest are counted."""
