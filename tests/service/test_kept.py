"""Answers are kept until something happens; those that take long may be old for a while."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, Engine

from service.resources import kept
from service.resources.kept import Kept


class Source:
    """What happens, and how often an answer was made of it."""

    def __init__(self) -> None:
        self.state = 0
        self.made = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def stamp(self, _: Connection) -> int:
        return self.state

    def make(self, _: Connection, before: str | None) -> str:
        self.go_on.wait(10)
        if self.state < 0:
            raise LookupError("gone")
        self.made += 1
        return f"state {self.state}"


def slow_answers(source: Source) -> Kept[str]:
    """Every answer takes long to make."""
    return Kept(source.stamp, 4, slow=lambda _: True)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are made again as soon as something has happened."""
    monkeypatch.setattr(kept, "AGAIN_S", 0.0)


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kept-answers"]


def test_an_answer_is_made_once_for_each_state(engine: Engine) -> None:
    source = Source()
    answers: Kept[str] = Kept(source.stamp, 4)
    assert [answers.get(engine, "key", source.make) for _ in range(3)] == ["state 0"] * 3
    source.state = 1
    assert answers.get(engine, "key", source.make) == "state 1"
    assert source.made == 2


def test_the_least_used_answers_go(engine: Engine) -> None:
    source = Source()
    answers: Kept[str] = Kept(source.stamp, 2)
    for key in "abca":
        answers.get(engine, key, source.make)
    assert source.made == 4


def test_a_slow_answer_is_made_beside_those_who_ask(engine: Engine, at_once: None) -> None:
    source = Source()
    answers = slow_answers(source)
    answers.get(engine, "key", source.make)
    source.state = 1
    source.go_on.clear()
    assert [answers.get(engine, "key", source.make) for _ in range(2)] == ["state 0"] * 2
    (maker,) = makers()
    source.go_on.set()
    maker.join(10)
    assert answers.get(engine, "key", source.make) == "state 1"
    assert source.made == 2


def test_a_slow_answer_is_not_made_all_the_time(engine: Engine) -> None:
    source = Source()
    answers = slow_answers(source)
    answers.get(engine, "key", source.make)
    source.state = 1
    assert answers.get(engine, "key", source.make) == "state 0"
    assert (makers(), source.made) == ([], 1)


def test_nobody_gets_a_slow_answer_that_is_too_old(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "OLD_S", 0.0)
    source = Source()
    answers = slow_answers(source)
    answers.get(engine, "key", source.make)
    source.state = 1
    assert answers.get(engine, "key", source.make) == "state 1"


def test_what_can_no_longer_be_made_is_said_to_the_next(engine: Engine, at_once: None) -> None:
    source = Source()
    answers = slow_answers(source)
    answers.get(engine, "key", source.make)
    source.state = -1
    source.go_on.clear()
    assert answers.get(engine, "key", source.make) == "state 0"
    (maker,) = makers()
    source.go_on.set()
    maker.join(10)
    with pytest.raises(LookupError):
        answers.get(engine, "key", source.make)
