"""The worker process of :mod:`workers.local_launcher`: carries out one order after the other.

Its argument is the torch device that the orders will name, for which it gets ready until the first one comes.
Standard input is one end of a socket. Orders come from it as lines; a byte goes back when the process is
ready, and another for every attempt after which it can take the next. When the socket closes the dispatcher
is gone, and so is this process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading

from workers import logs
from workers.local_process import WARM
from workers.orders import ATTEMPTS_PER_PROCESS, FAILED, Order, execute
from workers.warming import warm_up

READY = b"\n"
ORPHANED = 3  # exit status of a worker whose dispatcher is gone

_SOCKET = 0


def main(device: str) -> int:
    """Carry out orders until one fails or the process has served its time."""
    logs.configure("worker")
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders,), name="orders", daemon=True).start()
    warm_up(device, wanted=lambda: not orders.empty())
    os.write(_SOCKET, WARM)
    for attempt in range(1, ATTEMPTS_PER_PROCESS + 1):
        ending = execute(Order.from_json(orders.get()))
        if ending == FAILED or attempt == ATTEMPTS_PER_PROCESS:
            break
        sys.stdout.flush()  # what belongs to this attempt's log comes before the word that it has ended
        os.write(_SOCKET, READY)
    return 0


def _read_orders(orders: queue.SimpleQueue[str]) -> None:
    # Not sys.stdin: a daemon thread that holds its lock at exit makes the interpreter abort.
    with open(_SOCKET, "rb", buffering=0, closefd=False) as source:
        with contextlib.suppress(ConnectionResetError):  # the dispatcher died with a byte of ours unread
            while line := source.readline():
                orders.put(line.decode())
        os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
