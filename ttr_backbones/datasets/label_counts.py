"""Which classes occur in the masks of a data set, beside those that it declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

_IGNORED = 255
_SHOWN = 10


class LabelCounts:
    """Counts the pixels of every label over masks; several threads may add at once."""

    def __init__(self) -> None:
        self._pixels = np.zeros(256, dtype=np.int64)
        self._masks = 0
        self._with_ignored = 0

    def add(self, results: Any) -> None:
        """Count the `gt_seg_map`, uint8 [H, W], of a loaded sample; nothing where it has none."""
        mask = results.get("gt_seg_map") if isinstance(results, dict) else None
        if mask is None or mask.dtype != np.uint8:
            return
        counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        self._pixels += counts
        self._masks += 1
        self._with_ignored += bool(counts[_IGNORED])

    def absent(self, classes: Sequence[str]) -> list[str]:
        """Return the classes that have no pixel, as "number name"."""
        return [f"{n} {name}" for n, name in enumerate(classes) if not self._pixels[n]]

    def problems(self, classes: Sequence[str]) -> list[str]:
        """Return what is wrong with all masks together: less than two classes in them."""
        absent = self.absent(classes)
        if not self._masks or len(classes) < 2 or len(classes) - len(absent) > 1:
            return []
        known = [f"{n} {name}" for n, name in enumerate(classes) if self._pixels[n]]
        return [
            f"the masks hold {f'only the class {known[0]}' if known else 'no class at all'}: "
            f"{self._absent_words(absent)}{self._ignored_words()}. In masks of 0 and 255, as "
            "editors save them, 255 is no class: convert it to the class's number."
        ]

    def note(self, classes: Sequence[str]) -> str:
        """Describe which classes never occur beside pixels of no class, "" if none."""
        absent = self.absent(classes)
        if not (self._masks and absent and self._with_ignored) or self.problems(classes):
            return ""
        return f"{self._absent_words(absent)}{self._ignored_words()}"

    def _absent_words(self, absent: Sequence[str]) -> str:
        listed = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        return f"{len(absent)} declared class(es) never occur ({listed})"

    def _ignored_words(self) -> str:
        if not self._with_ignored:
            return ""
        share = 100 * self._pixels[_IGNORED] / self._pixels.sum()
        return (
            f", and {share:.1f} % of the pixels, in {self._with_ignored} of {self._masks} masks, "
            "are in no class (255)"
        )
