"""Measure, print the table, write the JSON. Exit status 1 when a must is missed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from benchmarks.commands.arguments import output_file, whole_number
from benchmarks.commands.speed.report import machine
from service.benchmark.board.filling import fill
from service.benchmark.queue.figures import ANSWER, BOARD, FREE, SIZE, Figure, Target, table
from service.benchmark.queue.stage import KINDS, Kind, Stage, stage
from service.storage.engine import database_clock, write
from service.storage.queries import events

TRIALS = (10_000, 100_000, 1_000_000)
LOOKS = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line, default that of this process.

    Returns:
        Exit status: 0; 1 when a must is missed.
    """
    options = _options(arguments)
    figures = []
    for kind in options.database or KINDS:
        for trials in options.trials or TRIALS:
            for figure in _measured(kind, trials, options.postgresql):
                sys.stderr.write(
                    f"{figure.what} on {figure.where}: {figure.value:.4g} {figure.target.unit}\n"
                )
                figures.append(figure)
    sys.stdout.write(f"\n{table(figures)}\n")
    document = {"machine": machine(), "figures": [dataclasses.asdict(one) for one in figures]}
    Path(options.json).write_text(json.dumps(document, indent=1))
    sys.stdout.write(f"JSON: {options.json}\n")
    return 1 if any(one.verdict == "MISSED" for one in figures) else 0


def _measured(kind: Kind, trials: int, postgresql: str | None) -> Iterator[Figure]:
    """One board of so many trials."""
    with stage(kind, postgresql=postgresql) as made:
        began = time.perf_counter()
        fill(made.engine, trials)
        sys.stderr.write(f"{trials:,} trials on {kind} in {time.perf_counter() - began:.0f} s\n")
        with httpx.Client(base_url=made.url, timeout=600.0) as http:
            yield from _looks(made, http, f"{trials:,} trials")


def _looks(made: Stage, http: httpx.Client, what: str) -> Iterator[Figure]:
    board = http.get("/api/v1/boards").raise_for_status().json()["boards"][0]["id"]
    api, where = f"/api/v1/boards/{board}", made.kind
    seconds, _ = _answer(http, api)
    yield Figure(what=f"board of {what}, first look", where=where, value=1000 * seconds, target=FREE)
    paths = {
        "API": (api, BOARD),
        "page": (f"/boards/{board}", BOARD),
        "cells": (f"{api}/cells", ANSWER),
        "list of boards": ("/api/v1/boards", BOARD),
        "page of boards": ("/", BOARD),
    }
    for name, (path, target) in paths.items():
        before = made.processor_seconds()
        yield from _quantiles(name, where, [_answer(http, path)[0] for _ in range(LOOKS)], target)
        spent = 1000 * (made.processor_seconds() - before) / LOOKS
        yield Figure(what=f"  {name}, processor", where=where, value=spent, target=FREE)
    changed = [_after_a_change(made, http, api) for _ in range(LOOKS)]
    yield from _quantiles("API after a change", where, changed, BOARD)
    for name, path in (("API", api), ("page", f"/boards/{board}")):
        size = _answer(http, path)[1] / 1000
        yield Figure(what=f"  {name}, size", where=where, value=size, target=SIZE)
    yield Figure(what="  memory of web", where=where, value=made.megabytes(), target=Target(unit="MB"))


def _after_a_change(made: Stage, http: httpx.Client, path: str) -> float:
    """Seconds when something has just happened, so that nothing that was kept can be answered."""
    with write(made.engine) as connection:
        events.record(connection, "bench", "something happened", at=database_clock(connection))
    return _answer(http, path)[0]


def _answer(http: httpx.Client, path: str) -> tuple[float, int]:
    """Seconds until the whole answer is there, and its bytes."""
    began = time.perf_counter()
    answer = http.get(path).raise_for_status()
    return time.perf_counter() - began, len(answer.content)


def _quantiles(name: str, where: str, seconds: Sequence[float], target: Target) -> Iterator[Figure]:
    ordered = sorted(seconds)
    half, most = ordered[len(ordered) // 2], ordered[-1 - len(ordered) // 20]
    yield Figure(what=f"  {name}, p50", where=where, value=1000 * half, target=FREE)
    yield Figure(what=f"  {name}, p95", where=where, value=1000 * most, target=target)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.benchmark.board", description=__doc__)
    add = parser.add_argument
    add("--trials", nargs="+", type=whole_number, help="on the board, in thousands; default 10^4, 10^5, 10^6")
    add("--database", nargs="+", choices=KINDS, help="only on these")
    add("--postgresql", metavar="URL", help="an empty database; default: a server of the wheel in extra test")
    add("--json", type=output_file, default="out/bench-board.json", help="where to write it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers end in order
    sys.exit(main())
