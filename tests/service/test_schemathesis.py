"""Schemathesis finds nothing at a running server: ``tests/contract``, with few examples. ``make contract``
looks longer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract import runs

EXAMPLES = 3
PHASES = "examples,coverage,fuzzing"
LIMIT_S = 600


@pytest.mark.timeout(LIMIT_S + 120)
def test_a_running_server_keeps_to_its_description(database_url: str, tmp_path: Path) -> None:
    """No 5xx, no answer, status or type that is not described, no valid request refused."""
    arguments = [f"--phases={PHASES}", f"--max-examples={EXAMPLES}"]
    with runs.server(database_url, tmp_path) as (url, world):
        ended = runs.run(url, world, tmp_path, arguments, limit=LIMIT_S)
    assert ended.status == 0, ended.out + ended.err
    found = re.search(r"(\d+) generated, (\d+) passed", ended.out)
    assert found is not None, ended.out
    assert int(found[1]) == int(found[2]) > 500
    tested = re.search(r"Tested: (\d+)", ended.out)
    assert tested is not None
    assert int(tested[1]) >= 55
