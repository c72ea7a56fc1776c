"""LOST with many settings at once: every image goes through the backbone a single time.

Features are held for one batch only, so that memory does not grow with the data set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.taps import Facet
from ttr_backbones.object_discovery.found import Geometry
from ttr_backbones.object_discovery.lost import lost_over_biases
from ttr_backbones.object_discovery.model import on_disk
from ttr_backbones.object_discovery.preprocessor import by_size


class Cell(NamedTuple):
    """One setting of LOST; `block` counts from 0."""

    block: int
    facet: Facet
    normalize: bool
    bias: float


class Sweep:
    """Call it with batch after batch; it keeps the boxes of every setting, not the features.

    Args:
        backbone: gives the features, with or without registers.
        blocks: block indices; negative ones count back.
        facets: what to take of each of them.
        normalize: whether to scale features to length 1: False, True or both.
        biases: numbers to add to the similarities.
        k: as in `lost`.

    Attributes:
        collapsed: number of images without a seed that means anything, by setting.
        samples: the samples seen, in the order of the boxes.
    """

    def __init__(
        self,
        backbone: TimmViT,
        blocks: Sequence[int],
        facets: Sequence[Facet],
        normalize: Sequence[bool],
        biases: Sequence[float],
        k: int = 100,
    ) -> None:
        self.backbone, self.blocks, self.facets = backbone, blocks, facets
        self.normalize, self.biases, self.k = normalize, biases, k
        self.samples: list[Any] = []
        self.collapsed: dict[Cell, int] = defaultdict(int)
        self._boxes: dict[Cell, list[npt.NDArray[np.float32]]] = defaultdict(list)

    @property
    def boxes(self) -> dict[Cell, npt.NDArray[np.float32]]:
        """Boxes in pixels of the images on disk, [number of images, 4], by setting."""
        return {cell: np.concatenate(parts) for cell, parts in self._boxes.items()}

    @torch.no_grad()
    def __call__(self, images: Sequence[Tensor], samples: Sequence[BaseDataElement]) -> None:
        """Take normalised images [3, H, W], of one size or of several, and their samples."""
        for indices in by_size(images):
            of_size = [samples[index] for index in indices]
            self._take(torch.stack([images[index] for index in indices]), of_size)
            self.samples += of_size

    def _take(self, x: Tensor, samples: Sequence[BaseDataElement]) -> None:
        maps = self.backbone.facets(x, self.blocks, self.facets)
        for (block, facet), of_block in maps.items():
            h, w = of_block.shape[2:]
            place = Geometry((h, w), self.backbone.patch_size, (x.shape[2], x.shape[3]))
            feats = of_block.flatten(2).transpose(1, 2)
            for normalize in self.normalize:
                several = lost_over_biases(feats, place, self.k, self.biases, normalize=normalize)
                for bias, found in zip(self.biases, several, strict=True):
                    cell = Cell(block, facet, normalize, bias)
                    self._boxes[cell].append(on_disk(found.boxes, x.shape[1:], samples).numpy())
                    self.collapsed[cell] += int(found.collapsed.sum())
