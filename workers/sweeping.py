"""Removing checkpoints that nobody needs: of trials that have ended, and of attempts that died over them."""

from __future__ import annotations

import logging
import threading

from workers.ports import CheckpointRecords, CheckpointStore, QueueUnavailable

_log = logging.getLogger(__name__)

EVERY_SECONDS = 300.0


def sweep(store: CheckpointStore, records: CheckpointRecords) -> int:
    """Remove what is not needed any more; returns how many checkpoints that were.

    Attempts remove what they know of. Left are those of one that was killed between writing and telling, or
    between telling its end and removing, and those of trials that were given up.
    """
    unneeded = records.unneeded(store.names())
    store.remove(unneeded)
    return len(unneeded)


def keep_swept(
    store: CheckpointStore,
    records: CheckpointRecords,
    stop: threading.Event,
    *,
    every: float = EVERY_SECONDS,
) -> None:
    """Sweep every so many seconds until ``stop`` is set; what goes wrong is logged, and tried again."""
    while not stop.wait(every):
        try:
            if removed := sweep(store, records):
                _log.info("%d checkpoints that nobody needs were removed", removed)
        except QueueUnavailable as error:
            _log.info("checkpoints are not swept while the queue is away: %s", error)
        except Exception as error:  # a store raises whatever its client library does
            _log.warning("checkpoints could not be swept: %s: %s", type(error).__name__, error)
