"""Handlers of signals wait until a program that is not Python's has come to its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from benchmarks.process.signals import ENDING, Deferred, Handler


@pytest.fixture
def came() -> Iterator[list[str]]:
    """What the handlers of two signals have noted; that of SIGTERM raises, too."""
    noted: list[str] = []

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(signal.Signals(number).name)

    def leave(number: int, frame: FrameType | None) -> None:
        note(number, frame)
        raise SystemExit("asked to end")

    mine = {signal.SIGHUP: note, signal.SIGTERM: leave}
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


def test_handlers_are_run_at_the_end(came: list[str]) -> None:
    with Deferred():
        signal.raise_signal(signal.SIGHUP)
        assert came == []
    assert came == ["SIGHUP"]


@pytest.mark.parametrize("order", [("SIGTERM", "SIGHUP"), ("SIGHUP", "SIGTERM")])
def test_all_handlers_are_run_in_the_order_of_their_signals(came: list[str], order: tuple[str, str]) -> None:
    """Whatever one of them raises."""

    def signalled() -> None:
        with Deferred():
            for name in order:
                signal.raise_signal(signal.Signals[name])

    with pytest.raises(SystemExit, match="asked to end"):
        signalled()
    assert came == list(order)


def test_a_signal_that_comes_again_does_not_wait(came: list[str]) -> None:
    with Deferred():
        signal.raise_signal(signal.SIGHUP)
        assert came == []
        signal.raise_signal(signal.SIGHUP)
        assert came == ["SIGHUP"]
    assert came == ["SIGHUP"] * 2


def test_a_handler_that_was_installed_meanwhile_stays(came: list[str]) -> None:
    """As after a first Ctrl-C, so that a second one kills."""
    before = signal.getsignal(signal.SIGINT)

    def once(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    signal.signal(signal.SIGINT, once)
    try:
        with Deferred() as signals:
            signal.raise_signal(signal.SIGINT)
            signals.deliver()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("at", range(6))
def test_whatever_is_raised_meanwhile_handlers_have_their_places_again(
    came: list[str], at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal whose handler raises comes just as a handler is replaced, or has its place again."""
    install, done = signal.signal, []

    def installed(number: int, handler: Handler) -> object:
        before = install(number, handler)
        done.append(number)
        if len(done) == at + 1:
            signal.raise_signal(signal.SIGTERM)
        return before

    def entered() -> None:
        with Deferred():
            signal.raise_signal(signal.SIGHUP)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(signal, "signal", installed)
    with pytest.raises(SystemExit, match="asked to end"):
        entered()
    monkeypatch.undo()
    assert len(done) == 2 * len(ENDING) or came == ["SIGTERM"], "an interrupted beginning ends at once"
    assert came.count("SIGTERM") == 1
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


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
    """As when two handlers in a row that have their places again raise before the next one has its own."""
    deferred = Deferred()
    with deferred:
        left = signal.getsignal(signal.SIGHUP)
    assert callable(left)
    left(signal.SIGHUP, None)
    assert came == ["SIGHUP"]
