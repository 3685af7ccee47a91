"""Trials, attempts at them, and the nodes where they are made."""

from __future__ import annotations

from urllib.parse import quote

from service.client.core import Core
from service.client.flows import Flow, Stream, method, stream
from service.resources.schemas import (
    Attempt,
    AttemptList,
    AttemptPage,
    Curve,
    CurveList,
    FoundAttempt,
    Node,
    NodeList,
)
from service.resources.trial_schemas import TrialDetail


class TrialMethods(Core):
    """Methods of clients about trials, attempts and nodes."""

    @method
    def trial(self, key: str) -> Flow[TrialDetail]:
        """One trial by its key."""
        return self._get(TrialDetail, _trial_path(key))

    @method
    def curves(self, key: str) -> Flow[list[Curve]]:
        """The curves of one trial."""
        return (yield from self._get(CurveList, f"{_trial_path(key)}/curves")).curves

    @method
    def attempts(self, key: str) -> Flow[list[Attempt]]:
        """The attempts of one trial, oldest first."""
        return (yield from self._get(AttemptList, f"{_trial_path(key)}/attempts")).attempts

    @stream
    def find_attempts(
        self,
        *,
        sweep: int | str | None = None,
        state: str | None = None,
        host: str | None = None,
        text: str | None = None,
    ) -> Stream[FoundAttempt]:
        """Attempts, newest first, page after page as they are asked for.

        Args:
            sweep: of its trials.
            state: of the attempt.
            host: name of a machine or node.
            text: part of error, log or label.
        """
        search = {"sweep": sweep, "state": state, "host": host, "text": text}
        return self._each(AttemptPage, "/attempts", lambda page: page.attempts, **search)

    @method
    def nodes(self) -> Flow[list[Node]]:
        """The nodes where attempts run, with their states."""
        return (yield from self._get(NodeList, "/nodes")).nodes

    @method
    def drain(self, node: str) -> Flow[Node]:
        """Let a node become idle: its attempts stop and go on elsewhere, nothing begins there.

        Raises:
            ApiError: there is no such node, or it is draining already.
        """
        return self._send(Node, "POST", f"/nodes/{quote(node, safe='')}/drain", {})

    @method
    def undrain(self, node: str) -> Flow[Node]:
        """Let a node take attempts again, whether it was drained or under quarantine.

        Raises:
            ApiError: there is no such node, or it is in service.
        """
        return self._send(Node, "POST", f"/nodes/{quote(node, safe='')}/undrain", {})


def _trial_path(key: str) -> str:
    return f"/trials/{quote(key, safe='')}"
