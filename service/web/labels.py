"""Metrics in words."""

from __future__ import annotations

from service.resources.schemas import MetricInfo


def metric_label(metric: MetricInfo) -> str:
    """The title as it stands inside a sentence."""
    return metric.title[:1].lower() + metric.title[1:]


def metric_header(metric: MetricInfo) -> str:
    """The title as it heads a column, with the unit."""
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title
