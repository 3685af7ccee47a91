"""Tasks of tests, registered as those of other packages are: by entry points of an installed distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.tasks import registry


@contextmanager
def registered(folder: Path, entries: Mapping[str, str]) -> Iterator[None]:
    """Within, the tasks that ``entries`` name (``module:INFO`` by name of the entry point) are registered.

    Args:
        folder: an empty one, where the distribution's metadata are written.
        entries: the entry points.
    """
    metadata = folder / "tasks_of_tests-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tasks_of_tests\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in entries.items()]
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{''.join(lines)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        registry.forget_plugins()
        yield
    registry.forget_plugins()
