"""What a board without a ranked row says: what has become of its trials, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from service.resources.board_schemas import Board

Line = Mapping[str, str]


def empty_state(board: Board) -> list[Line]:
    """Lines with a text and perhaps a link. What runs comes first, then what waits, then what failed."""
    counts = board.counts
    if not board.trials:
        return [_line("No sweep has asked for this board yet.")]
    if counts.get("running"):
        return [
            _line(f"{_trials(counts['running'])} running; the first rows appear when seeds end."),
            _sweep(board),
        ]
    if counts.get("queued"):
        return [
            _line(f"{_trials(counts['queued'])} waiting and none is running."),
            _line("Something must compute them: start", link="heunboard up or a worker", href="/nodes"),
            _sweep(board),
        ]
    return _ended(board)


def _ended(board: Board) -> list[Line]:
    failed, cancelled = board.counts.get("failed", 0), board.counts.get("cancelled", 0)
    words = [f"{n:,} {word}" for n, word in ((failed, "failed"), (cancelled, "were cancelled")) if n]
    told = " and ".join(words) or "none has a result of this metric"
    return [
        _line(f"All {board.trials:,} trials have ended: {told}. The reasons stand below."),
        _line("When the cause is gone, retry them on the page of", **_link(board)),
    ]


def _sweep(board: Board) -> Line:
    return _line("Progress is on the page of", **_link(board))


def _link(board: Board) -> dict[str, str]:
    if not board.sweeps:
        return {"link": "the sweeps", "href": "/sweeps"}
    return {"link": f"the sweep {board.sweeps[0].name}", "href": board.sweeps[0].page}


def _line(text: str, *, link: str = "", href: str = "") -> Line:
    return {"text": text, "link": link, "href": href}


def _trials(count: int) -> str:
    return "1 trial is" if count == 1 else f"{count:,} trials are"
