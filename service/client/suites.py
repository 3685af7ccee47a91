"""Tables and figures of papers: what they would compute, computing them, their reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from service.client.core import Core
from service.client.flows import Flow, method
from service.client.sweeps import SUBMIT_TIMEOUT_S
from service.resources.schemas import (
    ExhibitDetail,
    MeasurementList,
    Plan,
    Reproduction,
    ReproductionList,
    SuiteDetail,
    SuiteList,
)
from service.resources.suite_schemas import SuiteReport


class SuiteMethods(Core):
    """Methods of clients about papers; a name is ``SUITE`` or ``SUITE/EXHIBIT``."""

    @method
    def suites(self) -> Flow[SuiteList]:
        """Papers with their tables and figures and the state of every tier, under ``suites``.

        ``broken`` lists suites and exhibits that the server has and cannot use, and why.
        """
        return self._get(SuiteList, "/suites")

    @method
    def suite(self, id: str) -> Flow[SuiteDetail]:
        """One paper with its tables and figures."""
        return self._get(SuiteDetail, _suite_path(id))

    @method
    def exhibit(self, name: str) -> Flow[ExhibitDetail]:
        """One table or figure, ``SUITE/EXHIBIT``: its tiers, the sentences that it tests, known slips."""
        return self._get(ExhibitDetail, _suite_path(name))

    @method
    def plan_suite(self, name: str, tier: str) -> Flow[Plan]:
        """What a tier of ``SUITE/EXHIBIT``, or of all of ``SUITE``, would compute; stores nothing.

        A tier that halves its grid is planned as if the first settings of every estimator survived, for which
        do is not known before.
        """
        return self._get(Plan, f"{_suite_path(name)}/plan", {"tier": tier})

    @method
    def reproduce(
        self, name: str, tier: str, *, owner: str | None = None, priority: int = 0, retry: bool = False
    ) -> Flow[list[Reproduction]]:
        """Submit what a tier of ``SUITE/EXHIBIT``, or of all of ``SUITE``, wants by now, once whoever asks.

        Call it again when the sweeps of the answers have ended: a tier that halves its grid goes on with the
        next rung, until ``finished``.

        Args:
            name: a table or figure, or a suite: then all that have the tier and are computed by sweeps.
            tier: ``smoke``, ``reduced``, ``full`` or ``budget``.
            owner: whose the new sweeps are.
            priority: of the new sweeps; higher runs first.
            retry: submit sweeps again that ended with failed or cancelled trials.

        Returns:
            For each exhibit its ``sweeps``, how many of them were ``added``, its ``rung`` of ``rungs``.
        """
        wanted = {"tier": tier, "owner": owner, "priority": priority, "retry": retry}
        path, timeout = _suite_path(name), SUBMIT_TIMEOUT_S
        if "/" in name:
            return [(yield from self._send(Reproduction, "POST", path, wanted, timeout=timeout))]
        found = yield from self._send(ReproductionList, "POST", path, wanted, timeout=timeout)
        return found.reproductions

    @method
    def suite_report(self, name: str, tier: str) -> Flow[SuiteReport]:
        """The report of ``SUITE/EXHIBIT`` in a tier: what was measured beside what was published."""
        return self._get(SuiteReport, f"{_suite_path(name)}/report", {"tier": tier, "format": "json"})

    @method
    def suite_report_text(self, name: str, tier: str, *, format: str) -> Flow[str]:
        """The same as the text of a file: ``json``, ``markdown`` or ``latex``."""
        path = f"{_suite_path(name)}/report"
        return (yield from self._file(path, {"tier": tier, "format": format})).text

    @method
    def suite_figure(self, name: str, tier: str, *, format: str = "svg") -> Flow[bytes]:
        """The picture of a figure's report, ``svg`` or ``png``.

        Raises:
            ApiError: the exhibit is a table, or nothing was measured yet.
        """
        path = f"{_suite_path(name)}/figure"
        return (yield from self._file(path, {"tier": tier, "format": format})).content

    @method
    def measurements(self, name: str, tier: str) -> Flow[list[dict[str, Any]]]:
        """What was measured of an exhibit that a command measures, a document a device."""
        path = f"{_suite_path(name)}/measurements"
        return (yield from self._get(MeasurementList, path, {"tier": tier})).measurements

    @method
    def publish_measurements(
        self, name: str, tier: str, measurements: Mapping[str, Any]
    ) -> Flow[list[dict[str, Any]]]:
        """Send what ``python -m benchmarks.commands.efficiency`` wrote; the server keeps one a device.

        Raises:
            ApiError: it is not what that command writes, or the exhibit is computed by sweeps.
        """
        path = f"{_suite_path(name)}/measurements"
        found = yield from self._send(MeasurementList, "POST", path, measurements, params={"tier": tier})
        return found.measurements


def _suite_path(name: str) -> str:
    """The path of ``SUITE`` or ``SUITE/EXHIBIT``."""
    return "/suites/" + "/".join(quote(part, safe="") for part in name.split("/", 1))
