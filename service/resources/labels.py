"""Metrics in words."""

from __future__ import annotations

from service.resources.schemas import MetricInfo


def metric_label(metric: MetricInfo) -> str:
    """The title as it stands inside a sentence: names keep their capitals."""
    title = metric.title
    is_name = any(letter.isupper() for letter in title.split()[0][1:])
    return title if is_name else title[:1].lower() + title[1:]


def metric_header(metric: MetricInfo) -> str:
    """The title as it heads a column, with the unit."""
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title
