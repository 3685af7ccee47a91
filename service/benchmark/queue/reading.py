"""Pages and the API: how long they take and how much they send."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from service.benchmark.queue.figures import ANSWER, BOARD, SIZE, Figure
from service.benchmark.queue.stage import Stage

LOOKS = 20


def reading(stage: Stage, sweep: int, what: str) -> Iterator[Figure]:
    """A sweep, its lists, and lists of all sweeps and boards."""
    api, page = f"/api/v1/sweeps/{sweep}", f"/sweeps/{sweep}"
    with httpx.Client(base_url=stage.url, timeout=600.0) as http:
        for name, path in (("API", api), ("page", page)):
            milliseconds, kilobytes = _answer(http, path)
            where = stage.kind
            yield Figure(what=f"sweep of {what}, {name}", where=where, value=milliseconds, target=ANSWER)
            yield Figure(what="  size", where=where, value=kilobytes, target=SIZE)
        lists = {"its cells": f"{api}/cells", "its boards": f"{api}/boards", "its trials": f"{api}/trials"}
        for name, path in (lists | {"list of sweeps": "/api/v1/sweeps", "page of sweeps": "/sweeps"}).items():
            yield Figure(what=f"  {name}", where=stage.kind, value=_answer(http, path)[0], target=ANSWER)


def boards(stage: Stage, sweep: int) -> Iterator[Figure]:
    """The first board of a sweep, and the list of boards."""
    with httpx.Client(base_url=stage.url, timeout=600.0) as http:
        (first, *_) = http.get(f"/api/v1/sweeps/{sweep}/boards").raise_for_status().json()["boards"]
        for name, path in (("board, API", first["href"]), ("list of boards", "/api/v1/boards")):
            yield Figure(what=name, where=stage.kind, value=_answer(http, path)[0], target=BOARD)


def _answer(http: httpx.Client, path: str) -> tuple[float, float]:
    """Milliseconds that 19 of 20 looks stay below, and kilobytes."""
    http.get(path).raise_for_status()
    seconds = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        answer = http.get(path)
        seconds.append(time.perf_counter() - began)
    return 1000 * sorted(seconds)[-2], len(answer.content) / 1000
