"""The battery: what every registered task must pass.

    from benchmarks.tasks import battery, registry

    subject = battery.subject(registry.get("polynomial"))
    for check in battery.CHECKS:
        if check.applies(subject):
            check(subject)          # AssertionError: what is wrong, and with which estimator

Every check trains the small task that the registry entry declares with an estimator of every kind that fits
it, on one thread of the CPU and, where it reads a data set, on made-up examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.tasks.battery import data, facts, guards, lanes, resuming
from benchmarks.tasks.battery.subject import REPRESENTATIVES, Subject, subject

__all__ = ["CHECKS", "Check", "Subject", "check", "subject"]


def _always(subject: Subject) -> bool:
    return True


def _has_data(subject: Subject) -> bool:
    return bool(subject.splits)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A statement about tasks that can be tried.

    Attributes:
        name: what it is called.
        holds: raises AssertionError where the statement is false of a task with an estimator.
        applies: whether the statement means anything for a task.
    """

    name: str
    holds: Callable[[Subject, str], None]
    applies: Callable[[Subject], bool] = _always

    @property
    def statement(self) -> str:
        """What must hold, in a sentence."""
        return (self.holds.__doc__ or "").partition("\n")[0]

    def __call__(self, subject: Subject) -> None:
        """Try it with every estimator that represents a kind and fits the task.

        Raises:
            AssertionError: it does not hold; the message begins with the name and the estimator.
        """
        if not subject.estimators:
            raise AssertionError(
                f"{self.name}: none of {', '.join(REPRESENTATIVES)} fits the declared facts {subject.facts}"
            )
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums over several threads round differently
        try:
            for estimator in subject.estimators:
                self._try(subject, estimator)
        finally:
            torch.set_num_threads(threads)

    def _try(self, subject: Subject, estimator: str) -> None:
        try:
            self.holds(subject, estimator)
        except AssertionError as error:
            raise AssertionError(f"{self.name}, with {estimator}: {error}") from error


CHECKS = (
    Check(name="lanes", holds=lanes.independent),
    Check(name="wide", holds=lanes.wide),
    Check(name="nan", holds=lanes.nan),
    Check(name="resume", holds=resuming.resume),
    Check(name="compiled", holds=resuming.compiled),
    Check(name="minibatches", holds=data.minibatches, applies=_has_data),
    Check(name="evaluation", holds=data.evaluation, applies=_has_data),
    Check(name="spaces", holds=facts.spaces),
    Check(name="evaluations", holds=facts.evaluations),
    Check(name="metrics", holds=facts.metrics),
    Check(name="splits", holds=facts.splits),
    Check(name="protocol", holds=facts.protocol),
    Check(name="noise", holds=guards.noise),
    Check(name="synchronisation", holds=guards.synchronisation),
)


def check(name: str) -> Check:
    """The check of that name.

    Raises:
        KeyError: there is none; the message lists those there are.
    """
    for one in CHECKS:
        if one.name == name:
            return one
    raise KeyError(f"no check {name!r}; there are {', '.join(one.name for one in CHECKS)}")
