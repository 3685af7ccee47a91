"""What the server knows: estimators with their certificates, and tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from service.client.core import Core, sending
from service.client.flows import Flow, method
from service.resources.schemas import EstimatorEntry, EstimatorList, TaskEntry, TaskList


class CatalogueMethods(Core):
    """Methods of clients about estimators and tasks."""

    @method
    def estimators(self) -> Flow[list[EstimatorEntry]]:
        """Every estimator that the server knows, with its parameters and declared properties."""
        return (yield from self._get(EstimatorList, "/estimators")).estimators

    @method
    def tasks(self) -> Flow[list[TaskEntry]]:
        """Every task that the server knows, with its parameters and metrics."""
        return (yield from self._get(TaskList, "/tasks")).tasks

    @method
    def estimator(self, id: str) -> Flow[EstimatorEntry]:
        """One estimator as the server knows it: its version, parameters and declared properties."""
        return self._get(EstimatorEntry, f"/estimators/{quote(id, safe='')}")

    @method
    def publish_certificate(self, certificate: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        """Store a certificate, the JSON form of one, at the server, whose pages then show it.

        Raises:
            ApiError: the server lacks the estimator in this version, or the document is no certificate of it;
                ``problem.errors`` lists every mistake with its JSON pointer.
        """
        path = f"/estimators/{quote(str(certificate.get('id')), safe='')}/certificate"
        return self._document(sending("PUT", path, certificate))
