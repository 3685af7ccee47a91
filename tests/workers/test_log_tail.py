"""The end of what an attempt logs."""

from __future__ import annotations

import logging

from workers.log_tail import CHARACTERS, LogTail

log = logging.getLogger("workers.somewhere")


def test_it_keeps_what_is_logged_while_it_is_entered() -> None:
    log.warning("before")
    with LogTail() as tail:
        assert tail.text() is None
        log.warning("slower than it could be: %s", "no compiler")
    log.warning("after")
    text = str(tail.text())
    assert text.endswith("WARNING workers.somewhere: slower than it could be: no compiler")
    assert "\n" not in text


def test_it_keeps_the_end_of_much() -> None:
    with LogTail() as tail:
        for number in range(1000):
            log.warning("line %d %s", number, "x" * 50)
        lines = str(tail.text()).splitlines()
        assert len(str(tail.text())) <= CHARACTERS
        assert " line 999 " in lines[-1]
        assert len(lines) > 50
        log.error("y" * 10 * CHARACTERS)
    assert tail.text() == "y" * CHARACTERS
