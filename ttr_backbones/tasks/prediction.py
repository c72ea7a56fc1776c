"""What a model answers for one image; every task has a class of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Saved:
    """What `ttrb predict` writes of one prediction.

    Args:
        pngs: name of a folder -> pixels of the PNG that goes into it.
        facts: what predictions.json tells of the image.
    """

    pngs: dict[str, NDArray[Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction(ABC):
    """What all tasks share.

    Attributes:
        collected: name of a JSON file -> which fact of all images it holds.

    Args:
        path: the file; None for an array.
        image: RGB uint8 [H, W, 3] that the prediction lies on: the image itself, or the part of it
            that the config's test pipeline crops (KITTI).
    """

    collected: ClassVar[Mapping[str, str]] = {}

    path: Path | None
    image: NDArray[np.uint8] = field(repr=False)

    @property
    def title(self) -> str:
        """Name of the file, "" of an array."""
        return self.path.name if self.path is not None else ""

    @abstractmethod
    def draw(self) -> NDArray[np.uint8]:
        """Draw the image with what was predicted; RGB."""

    @abstractmethod
    def saved(self, scale: float | None = None) -> Saved:
        """Return what `ttrb predict` writes of it.

        Args:
            scale: `output_scale` of the config's evaluator, values of a file per unit.
        """

    def facts(self, scale: float | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return what predictions.json tells of all images of a run together."""
        return {}


@dataclass(frozen=True)
class Labels:
    """The classes that a model was trained for.

    Args:
        classes: names, () where there are none.
        palette: RGB colours, uint8 [classes, 3].
    """

    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
