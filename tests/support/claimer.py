"""A process that claims cohorts one by one until none is left, for tests that race or kill it.

``python -m tests.support.claimer URL OWNER`` prints one line per claim: cohort id and attempt number.
"""

from __future__ import annotations

import sys

from service.queue.cohorts import Queue
from tests.support.databases import engine_of


def main(url: str, owner: str) -> None:
    """Claim until nothing is left; wait for a line on standard input before the first."""
    with engine_of(url) as engine:
        queue = Queue(engine)
        print("ready", flush=True)  # noqa: T201 # the protocol with the test
        sys.stdin.readline()
        while claims := queue.claim(owner=owner, limit=1):
            for claim in claims:
                print(claim.cohort_id, claim.number, flush=True)  # noqa: T201 # the protocol with the test


if __name__ == "__main__":
    main(*sys.argv[1:])
