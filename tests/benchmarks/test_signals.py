"""Handlers of signals wait until a program that is not Python's has come to its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from benchmarks.process.signals import ENDING, Deferred


@pytest.fixture
def came() -> Iterator[list[str]]:
    """What the handlers of two signals have noted; a third one's raises, too."""
    noted: list[str] = []

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(signal.Signals(number).name)

    def leave(number: int, frame: FrameType | None) -> None:
        note(number, frame)
        raise SystemExit("asked to end")

    mine = {signal.SIGHUP: note, signal.SIGALRM: note, signal.SIGTERM: leave}
    before = {number: signal.signal(number, handler) for number, handler in mine.items()}
    yield noted
    assert {number: signal.getsignal(number) for number in mine} == mine, (
        "all handlers have their place again"
    )
    for number, handler in before.items():
        signal.signal(number, handler)


def signalled(number: signal.Signals, came: list[str]) -> None:
    """A signal comes while handlers wait, and something is done after it."""
    with Deferred():
        signal.raise_signal(number)
        came.append("still here")


def test_handlers_are_run_at_the_end_in_the_order_of_their_signals(came: list[str]) -> None:
    with Deferred():
        signal.raise_signal(signal.SIGALRM)
        signal.raise_signal(signal.SIGHUP)
        assert came == []
    assert came == ["SIGALRM", "SIGHUP"]


def test_handlers_are_run_in_between_when_that_is_asked_for(came: list[str]) -> None:
    with Deferred() as signals:
        signal.raise_signal(signal.SIGHUP)
        signals.deliver()
        assert came == ["SIGHUP"]
        signals.deliver()
    assert came == ["SIGHUP"]


def test_what_a_handler_raises_is_raised_where_it_is_run(came: list[str]) -> None:
    with pytest.raises(SystemExit, match="asked to end"):
        signalled(signal.SIGTERM, came)
    assert came == ["still here", "SIGTERM"]
    with Deferred() as signals:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit, match="asked to end"):
            signals.deliver()


def test_ctrl_c_waits_like_any_other(came: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        signalled(signal.SIGINT, came)
    assert came == ["still here"]


def test_one_within_another_hands_on_to_it(came: list[str]) -> None:
    with Deferred():
        with Deferred():
            signal.raise_signal(signal.SIGHUP)
        assert came == []
    assert came == ["SIGHUP"]


def test_signals_without_a_handler_of_python_are_left_alone() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Deferred():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)  # and this is still alive
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_leaves_handlers_alone(came: list[str]) -> None:
    found: list[object] = []

    def look() -> None:
        with Deferred():
            found.extend(signal.getsignal(number) for number in ENDING)

    before = [signal.getsignal(number) for number in ENDING]
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == before


def test_what_is_left_in_the_place_of_a_handler_does_as_it_does(came: list[str]) -> None:
    """As when the first handler that has its place again raises before the next one has."""
    deferred = Deferred()
    with deferred:
        left = signal.getsignal(signal.SIGHUP)
    assert callable(left)
    left(signal.SIGHUP, None)
    assert came == ["SIGHUP"]
