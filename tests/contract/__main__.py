"""``make contract``: Schemathesis at running servers for as long as it takes, with all of its phases."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.contract import runs
from tests.support.databases import BACKENDS, databases

LIMIT_S = 6 * 3600.0


def main() -> None:
    """Run, print what was found on each database, and end with status 1 where that is anything."""
    parser = argparse.ArgumentParser(prog="make contract", description=__doc__)
    parser.add_argument("--database", choices=BACKENDS, action="append", help="by default both")
    parser.add_argument("--examples", type=int, default=50, help="most cases of an operation in each phase")
    parser.add_argument("--seed", type=int, default=runs.SEED, help="of what is sent")
    options = parser.parse_args()
    worst = 0
    for backend in options.database or BACKENDS:
        sys.stdout.write(f"\n{backend}\n")
        sys.stdout.flush()
        worst = max(worst, _run(backend, options.examples, options.seed))
    sys.exit(worst)


def _run(backend: str, examples: int, seed: int) -> int:
    arguments = [f"--max-examples={examples}", "--continue-on-failure"]
    with (
        databases(backend) as made,
        tempfile.TemporaryDirectory(prefix="heunboard-contract-") as name,
        runs.server(made.fresh(), Path(name)) as (url, world),
    ):
        ended = runs.run(url, world, Path(name), arguments, limit=LIMIT_S, seed=seed)
    sys.stdout.write(ended.out + ended.err)
    return ended.status


if __name__ == "__main__":
    main()
