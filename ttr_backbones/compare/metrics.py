"""The number that each task is compared by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ttr_backbones.app.config import type_name
from ttr_backbones.errors import InputError


@dataclass(frozen=True)
class Metric:
    """One number of an evaluator.

    Args:
        key: the evaluator's name of it.
        name: as it is written in a table.
        unit: "%" or "m".
        higher_is_better: the direction.
        decimals: so many are shown.
    """

    key: str
    name: str
    unit: str
    higher_is_better: bool
    decimals: int

    @property
    def heading(self) -> str:
        """Name, unit and direction."""
        direction = "higher" if self.higher_is_better else "lower"
        return f"{self.name} [{self.unit}], {direction} is better"

    def value(self, metrics: Mapping[str, Any]) -> float:
        """Take the number out of what a test returned, under a prefix or not.

        Raises:
            InputError: the evaluator did not give it, or gave no finite number.
        """
        for key, value in metrics.items():
            if key.rpartition("/")[2] == self.key:
                if not math.isfinite(value):
                    raise InputError(
                        f"the test gave {self.key} = {value}: expected a finite number; look at "
                        "the log of this run"
                    )
                return float(value)
        raise InputError(
            f"the test gave no {self.key}, only {', '.join(map(str, metrics)) or 'nothing'}: set "
            "test_evaluator so that it does"
        )

    def shown(self, value: float, std: float | None = None) -> str:
        """Write a value with its standard deviation, if it has one."""
        text = f"{value:.{self.decimals}f}"
        return text if std is None else f"{text} ± {std:.{self.decimals}f}"


METRICS = {
    "IoUMetric": Metric("mIoU", "mIoU", "%", higher_is_better=True, decimals=2),
    "NYUDepthMetric": Metric("rmse", "RMSE", "m", higher_is_better=False, decimals=4),
    "CorLocMetric": Metric("CorLoc", "CorLoc", "%", higher_is_better=True, decimals=1),
}


def metric_of(cfg: Config) -> Metric:
    """Return what a config is compared by.

    Raises:
        InputError: none of its evaluators gives such a number.
    """
    evaluators = cfg.get("test_evaluator") or []
    evaluators = evaluators if isinstance(evaluators, list | tuple) else [evaluators]
    kinds = [type_name(evaluator) for evaluator in evaluators]
    for kind in kinds:
        if kind in METRICS:
            return METRICS[kind]
    raise InputError(
        f"{cfg.filename}: results are compared by one of the evaluators {', '.join(METRICS)}; "
        f"test_evaluator of this config has {', '.join(kinds) or 'none'}"
    )
