"""What the shell completes after a tab: ids of the server, as long as it answers at once, and of registries.

Completing must neither wait nor fail: what cannot be had in time is no suggestion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import typer

from benchmarks.suites.schema import TIERS
from benchmarks.tasks import registry as task_registry
from estimators import registry as estimator_registry
from estimators.plugins import PluginError
from service.client import Client, ClientError, Retry
from service.states import AttemptState, TrialState

LIMIT_S = 1.0
MOST = 50
Suggestion = tuple[str, str]
"""What is completed, and what the shell says beside it."""


def sweep_ids(context: typer.Context, incomplete: str) -> list[Suggestion]:
    """The newest sweeps, with name and state."""

    def ask(client: Client) -> list[Suggestion]:
        found = client.newest_sweeps(MOST).sweeps
        return [(sweep.id, f"{sweep.name}, {sweep.state}") for sweep in found]

    return _beginning(_asked(context, ask), incomplete)


def board_ids(context: typer.Context, incomplete: str) -> list[Suggestion]:
    """The boards, with their titles; enough of an id to tell it from others."""

    def ask(client: Client) -> list[Suggestion]:
        return [(board.id[:12], board.title) for board in client.boards()]

    return _beginning(_asked(context, ask), incomplete)


def node_names(context: typer.Context, incomplete: str) -> list[Suggestion]:
    """The nodes, with their states."""

    def ask(client: Client) -> list[Suggestion]:
        return [(node.name, node.state) for node in client.nodes()]

    return _beginning(_asked(context, ask), incomplete)


def exhibit_names(context: typer.Context, incomplete: str) -> list[Suggestion]:
    """Papers and their tables and figures."""

    def ask(client: Client) -> list[Suggestion]:
        found: list[Suggestion] = []
        for suite in client.suites().suites:
            found.append((suite.id, suite.title))
            found += [(f"{suite.id}/{exhibit.id}", exhibit.title) for exhibit in suite.exhibits]
        return found

    return _beginning(_asked(context, ask), incomplete)


def estimator_ids(incomplete: str) -> list[Suggestion]:
    """The estimators that are installed here, with their titles."""
    try:
        found = [(id, estimator_registry.get(id).title) for id in estimator_registry.available()]
    except PluginError:
        return []
    return _beginning(found, incomplete)


def task_ids(incomplete: str) -> list[Suggestion]:
    """The tasks that are installed here."""
    try:
        return _beginning([(id, "") for id in task_registry.available()], incomplete)
    except PluginError:
        return []


def trial_states(incomplete: str) -> list[Suggestion]:
    """The states of a trial."""
    return _beginning([(state.value, "") for state in TrialState], incomplete)


def attempt_states(incomplete: str) -> list[Suggestion]:
    """The states of an attempt."""
    return _beginning([(state.value, "") for state in AttemptState], incomplete)


def tiers(incomplete: str) -> list[Suggestion]:
    """The tiers that a table or figure may have."""
    return _beginning([(tier, "") for tier in TIERS], incomplete)


def _asked(context: typer.Context, ask: Callable[[Client], list[Suggestion]]) -> list[Suggestion]:
    """What a server says at once; nothing where none does."""
    url: Any = context.params.get("url")
    try:
        with Client(url, timeout=LIMIT_S, retry=Retry(patience_s=0, away_s=0)) as client:
            return ask(client)
    except ClientError:
        return []


def _beginning(found: Iterable[Suggestion], incomplete: str) -> list[Suggestion]:
    return [one for one in found if one[0].startswith(incomplete)]
