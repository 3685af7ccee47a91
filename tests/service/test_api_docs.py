"""What docs/api.md states is what the code does: its limits and its types of problems."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.sweep_file import limits
from service import dependencies
from service.api import middleware, problem_details
from service.api.routes import events
from service.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


def test_every_type_of_a_problem_is_listed_with_its_status() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", TEXT, re.MULTILINE)
    assert {kind: int(status) for kind, status in listed} == problem_details.kinds()
    assert len(listed) == len(problem_details.kinds())
    statuses = [int(status) for _, status in listed]
    assert statuses == sorted(statuses)


def test_the_limits_are_those_of_the_code(tmp_path: Path) -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TEXT[TEXT.index("## Limits") :], re.MULTILINE))
    assert rows["body of a request"] == f"{limits.MAX_BODY_BYTES:,} bytes"
    assert rows["body of a worker's report"] == f"{middleware.MAX_REPORT_BYTES:,} bytes"
    assert rows["entries on one page of a list, `limit`"] == f"1 to {dependencies.MAX_PAGE}"
    assert rows["sweeps, boards and kinds named in one request for events"] == f"{events.MOST_SUBJECTS} each"
    listeners = rows["pages that listen to events at the same time, `HEUNBOARD_MAX_LISTENERS`"]
    settings = Settings(data_home=tmp_path)
    assert listeners == str(settings.max_listeners)
    assert settings.owner_trials is None
    rate = rows["requests a second of one token or address, `HEUNBOARD_REQUESTS_PER_SECOND`"]
    assert rate == f"{settings.requests_per_second:.0f}"
    connections = rows["connections with a request under way, `HEUNBOARD_MAX_CONNECTIONS`"]
    assert connections == f"{settings.max_connections:,}"
    sweep = f"{limits.MAX_TRIALS:,} trials, {limits.MAX_NODES:,} keys and values, {limits.MAX_DEPTH} levels"
    assert rows["a sweep file"].endswith(sweep)
    assert f"for at most {middleware.DISCARD_SECONDS:.0f} seconds" in TEXT
