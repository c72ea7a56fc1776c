"""Images of several sizes in one batch: normalised one by one, then grouped by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmseg.registry import MODELS
from torch import Tensor

from ttr_backbones.errors import InputError


@MODELS.register_module()
class EachSizePreProcessor(BaseDataPreprocessor):
    """Casts and normalises every image of a batch by itself: they may differ in size.

    Args:
        mean: per channel (RGB, if `bgr_to_rgb`), on the scale 0..255.
        std: likewise.
        bgr_to_rgb: the images are BGR, as OpenCV reads them.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], bgr_to_rgb: bool = True
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """{"inputs": images [3, H, W], ...} -> the same on the model's device, in float32."""
        del training
        data = self.cast_data(data)
        return {**data, "inputs": [self._normalize(image) for image in data["inputs"]]}

    def _normalize(self, image: Tensor) -> Tensor:
        if image.ndim != 3 or len(image) != len(self.mean):
            raise InputError(
                f"expected an image [{len(self.mean)}, H, W], got {tuple(image.shape)}"
            )
        image = image.flip(0) if self.bgr_to_rgb else image
        return (image.float() - self.mean) / self.std


def by_size(images: Iterable[Tensor]) -> list[list[int]]:
    """Indices of the images that have one size, for every size."""
    groups = defaultdict(list)
    for index, image in enumerate(images):
        groups[image.shape].append(index)
    return list(groups.values())
