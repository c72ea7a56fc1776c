"""LOST with many settings at once: every image goes through the backbone a single time.

Features are held for one batch only, so that memory does not grow with the data set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from mmengine.dist import all_gather_object
from mmengine.structures import BaseDataElement
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.object_discovery.detections import Geometry
from ttr_backbones.object_discovery.lost import lost_over_biases
from ttr_backbones.object_discovery.model import on_disk
from ttr_backbones.object_discovery.preprocessor import by_size
from ttr_backbones.vits.taps import Facet


class SweepSetting(NamedTuple):
    """One setting of LOST; `block` counts from 0."""

    block: int
    facet: Facet
    normalize: bool
    bias: float


class SweepResult(NamedTuple):
    """What was found in all images, in the order of the data set.

    Attributes:
        true: true boxes of every image, [M, 4].
        boxes: what was found, in pixels of the images on disk, [number of images, 4], by setting.
        collapsed: number of images without a seed that means anything, by setting.
    """

    true: list[Tensor]
    boxes: dict[SweepSetting, npt.NDArray[np.float32]]
    collapsed: dict[SweepSetting, int]


class Sweep:
    """Call it with batch after batch; it keeps the boxes of every setting, not the features.

    In a distributed job every process calls its own with its own images.

    Args:
        backbone: gives the features, with or without registers.
        blocks: block indices; negative ones count back.
        facets: what to take of each of them.
        normalize: whether to scale features to length 1: False, True or both.
        biases: numbers to add to the similarities.
        k: as in `lost`.

    Attributes:
        num_images: images seen by this process.
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
        self.num_images = 0
        self._places: list[int] = []  # of the images in this process's order, as they were taken
        self._true: list[Tensor] = []
        self._boxes: dict[SweepSetting, list[npt.NDArray[np.float32]]] = defaultdict(list)
        self._collapsed: dict[SweepSetting, list[npt.NDArray[np.bool_]]] = defaultdict(list)

    @torch.no_grad()
    def __call__(self, images: Sequence[Tensor], samples: Sequence[BaseDataElement]) -> None:
        """Take normalised images [3, H, W], of one size or of several, and their samples."""
        for indices in by_size(images):
            of_size = [samples[index] for index in indices]
            self._take(torch.stack([images[index] for index in indices]), of_size)
            self._places += [self.num_images + index for index in indices]
            self._true += [sample.gt_boxes.cpu() for sample in of_size]
        self.num_images += len(samples)

    def result(self, size: int | None = None) -> SweepResult:
        """Collect what all processes have found; each gets all of it.

        Args:
            size: images of the data set, which mmengine's DefaultSampler deals out one by one; it
                pads them to a multiple of the processes. By default all that were seen.
        """
        of_process = self._places, self._true, _joined(self._boxes), _joined(self._collapsed)
        places, true, boxes, collapsed = zip(*all_gather_object(of_process), strict=True)
        # Image i of process r is number i * processes + r of the data set.
        whole = [place * len(places) + r for r, part in enumerate(places) for place in part]
        order = np.argsort(whole)[:size]
        every_true = [truth for part in true for truth in part]
        return SweepResult(
            [every_true[index] for index in order],
            {cell: _of_all(boxes, cell)[order] for cell in boxes[0]},
            {cell: int(_of_all(collapsed, cell)[order].sum()) for cell in collapsed[0]},
        )

    def _take(self, x: Tensor, samples: Sequence[BaseDataElement]) -> None:
        maps = self.backbone.facets(x, self.blocks, self.facets)
        for (block, facet), of_block in maps.items():
            h, w = of_block.shape[2:]
            place = Geometry((h, w), self.backbone.patch_size, (x.shape[2], x.shape[3]))
            feats = of_block.flatten(2).transpose(1, 2)
            for normalize in self.normalize:
                several = lost_over_biases(feats, place, self.k, self.biases, normalize=normalize)
                for bias, found in zip(self.biases, several, strict=True):
                    cell = SweepSetting(block, facet, normalize, bias)
                    self._boxes[cell].append(on_disk(found.boxes, x.shape[1:], samples).numpy())
                    self._collapsed[cell].append(found.collapsed.cpu().numpy())


def _joined(
    parts: Mapping[SweepSetting, Sequence[npt.NDArray[Any]]],
) -> dict[SweepSetting, npt.NDArray[Any]]:
    return {cell: np.concatenate(of_cell) for cell, of_cell in parts.items()}


def _of_all(
    parts: Sequence[Mapping[SweepSetting, npt.NDArray[Any]]], cell: SweepSetting
) -> npt.NDArray[Any]:
    return np.concatenate([part[cell] for part in parts if cell in part])
