"""What a metric has kept of every image, on its way to the one number that it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmseg.registry import METRICS


def watch_results(
    metrics: Sequence[Any], types: Sequence[str], take: Callable[[list[Any]], None]
) -> None:
    """Have the first metric of some types show what it kept before it adds that up.

    Of several processes only the main one adds up, and it has the images of all, in their order.

    Args:
        metrics: of an evaluator; the one found is changed.
        types: names in mmseg's METRICS; subclasses count.
        take: gets the results, one entry per image, at every evaluation.
    """
    kinds = tuple(filter(None, map(METRICS.get, types)))
    for metric in [metric for metric in metrics if isinstance(metric, kinds)][:1]:
        _watch(metric, take)


def _watch(metric: Any, take: Callable[[list[Any]], None]) -> None:
    compute = metric.compute_metrics

    def take_and_compute(results: list[Any]) -> Any:
        take(results)
        return compute(results)

    metric.compute_metrics = take_and_compute
