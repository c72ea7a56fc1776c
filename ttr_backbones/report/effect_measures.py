"""The measures of a repair that tables show: their headings, numbers and how these are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ttr_backbones.repairs.effects import Effect
from ttr_backbones.repairs.fit_facts import FitFacts

Number = float | int | None
NOTHING = "-"


@dataclass(frozen=True)
class Measure:
    """One column (or row) of a table of repairs.

    Args:
        key: of CSV files.
        heading: in a table of text.
        unit: "%" for shares, or another one that stands in the heading.
        digits: behind the point; of "%" significant ones.
        value: the number.
    """

    key: str
    heading: str
    unit: str
    digits: int
    value: Callable[[Effect | None, FitFacts | None], Number]

    def shown(self, effect: Effect | None, fit: FitFacts | None) -> str:
        """Write the number; "-" where there is none."""
        value = self.value(effect, fit)
        if value is None:
            return NOTHING
        if self.unit == "%":
            return f"{100 * value:.3g} %"
        return f"{value:,.{self.digits}f}"


def _of_effect(name: str) -> Callable[[Effect | None, FitFacts | None], Number]:
    return lambda effect, _: getattr(effect, name, None)


def _of_fit(name: str) -> Callable[[Effect | None, FitFacts | None], Number]:
    return lambda _, fit: getattr(fit, name, None)


EFFECTS = (
    Measure("outliers_by_norm", "outlier patches, by norm", "%", 3, _of_effect("outliers")),
    Measure("outliers_by_direction", "outlier patches, by direction", "%", 3, _of_effect("along")),
    Measure("largest_norm", "largest patch norm", "", 1, _of_effect("largest")),
    Measure("cosine", "cosine of the other patches", "", 3, _of_effect("cosine")),
    Measure("top1_agreement", "top-1 agreement", "%", 3, _of_effect("top1_agreement")),
    Measure("knn_agreement", "kNN agreement (k = 5)", "%", 3, _of_effect("neighbours")),
)
COSTS = (
    Measure("tokens_added", "tokens added", "", 0, _of_effect("tokens_added")),
    Measure("parameters_trained", "parameters trained", "", 0, _of_fit("parameters")),
    Measure("images_seen", "images seen", "", 0, _of_fit("images")),
    Measure("fit_minutes", "minutes to fit", "", 2, _of_fit("minutes")),
    Measure("run_time_ratio", "time per image, ratio to none", "", 2, _of_effect("run_time")),
)


def shown_measures(
    measures: Sequence[Measure], columns: Sequence[tuple[Effect | None, FitFacts | None]]
) -> list[Measure]:
    """Leave out measures that no column has a number of, as classes of a model without any."""
    return [
        measure
        for measure in measures
        if any(measure.value(effect, fit) is not None for effect, fit in columns)
    ]
