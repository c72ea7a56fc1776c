"""What an `Inferencer` returns for an image, by task; each can be drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ttr_backbones.report.boxes import draw_boxes
from ttr_backbones.report.depth import draw_depth
from ttr_backbones.report.masks import draw_mask


@dataclass(frozen=True)
class _OfImage:
    """Common to all.

    Args:
        path: the file; None for an array.
        image: RGB uint8 [H, W, 3] that the prediction lies on: the image itself, or the part of it
            that the config's test pipeline crops (KITTI).
    """

    path: Path | None
    image: NDArray[np.uint8] = field(repr=False)

    @property
    def title(self) -> str:
        return self.path.name if self.path is not None else ""


@dataclass(frozen=True)
class ClassMap(_OfImage):
    """Semantic segmentation.

    Args:
        mask: class of every pixel, an index into `classes`, uint8 (uint16 from 257 classes on)
            [H, W].
        classes: names.
        palette: RGB colours, uint8 [classes, 3].
        logits: scores of every class, float32 [classes, H, W]; None unless asked for.
    """

    mask: NDArray[Any]
    classes: tuple[str, ...] = field(repr=False)
    palette: NDArray[np.uint8] = field(repr=False)
    logits: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def present(self) -> dict[str, float]:
        """The classes that occur and their share of the pixels, largest first."""
        numbers, counts = np.unique(self.mask, return_counts=True)
        shares = sorted(zip(counts / self.mask.size, numbers, strict=True), reverse=True)
        return {self.classes[number]: float(share) for share, number in shares}

    def draw(self) -> NDArray[np.uint8]:
        """Draw the image beside itself under the mask, with a legend; RGB."""
        return draw_mask(self.image, self.mask, self.classes, self.palette, title=self.title)


@dataclass(frozen=True)
class DepthMap(_OfImage):
    """Monocular depth.

    Args:
        depth: metres, float32 [H, W].
    """

    depth: NDArray[np.float32]

    def draw(self) -> NDArray[np.uint8]:
        """Draw the image beside its depth, with a colour bar in metres; RGB."""
        return draw_depth(self.image, self.depth, None)


@dataclass(frozen=True)
class FoundObject(_OfImage):
    """Object discovery.

    Args:
        box: x1, y1, x2, y2 in pixels of `image`, right and bottom excluded, float32 [4].
        seed: (row, column) of the seed patch.
        degrees: the method's score of every patch, lowest at the seed, [h, w].
        collapsed: True if the seed means nothing, because the method could not choose.
        sample: the `BoxSample` with all of it.
    """

    box: Tensor
    seed: tuple[int, int]
    degrees: Tensor = field(repr=False)
    collapsed: bool
    sample: Any = field(repr=False)

    def draw(self) -> NDArray[np.uint8]:
        """Draw box and seed on the image, beside the degrees; RGB."""
        return draw_boxes(self.image, self.sample, title=self.title)


Prediction = ClassMap | DepthMap | FoundObject
