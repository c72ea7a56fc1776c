"""The number by which a task's results are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ttr_backbones.errors import InputError


@dataclass(frozen=True)
class Metric:
    """One number of an evaluator.

    Args:
        key: the evaluator's name of it.
        name: as it is written in a table.
        unit: "%", "m" or the like.
        unit_name: the unit spelt out, as "percent".
        higher_is_better: the direction.
        decimals: so many are shown.
    """

    key: str
    name: str
    unit: str
    unit_name: str
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
