"""What happens to an image before the backbone: channels, normalisation, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import ImgDataPreprocessor
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.object_discovery.preprocessor import EachSizePreProcessor


class ImageInput(nn.Module):
    """RGB images on the scale 0..255 -> what the data_preprocessor makes of the same images.

    Args:
        mean: per channel, on the scale 0..255.
        std: likewise.
        bgr: the model takes BGR, and `mean` and `std` are in this order.
        divisor: both sides are padded to a multiple of it, right and at the bottom.
        pad_value: what with, after the normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        bgr: bool = False,
        divisor: int = 1,
        pad_value: float = 0.0,
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            tensor = torch.tensor([float(value) for value in values]).view(3, 1, 1)
            self.register_buffer(name, tensor)
        self.bgr, self.divisor, self.pad_value = bgr, divisor, pad_value

    @classmethod
    def of(cls, preprocessor: Any) -> ImageInput:
        """Do as a data_preprocessor does, which is given BGR as OpenCV reads it.

        Raises:
            InputError: it is of an unknown kind, or pads to one size.
        """
        if isinstance(preprocessor, EachSizePreProcessor):
            mean, std = (getattr(preprocessor, name).flatten().tolist() for name in ("mean", "std"))
            return cls(mean, std, bgr=not preprocessor.bgr_to_rgb)
        if type(preprocessor) is ImgDataPreprocessor:
            return cls(
                *_normalisation(preprocessor),
                bgr=not preprocessor._channel_conversion,  # noqa: SLF001 -- not told otherwise
                divisor=preprocessor.pad_size_divisor,
                pad_value=float(preprocessor.pad_value),
            )
        if not isinstance(preprocessor, SegDataPreProcessor):
            raise InputError(
                f"model.data_preprocessor is a {type(preprocessor).__name__}: only what "
                "SegDataPreProcessor, ImgDataPreprocessor and EachSizePreProcessor do to an image "
                "can be exported"
            )
        padding = preprocessor.test_cfg or {}
        if padding.get("size") is not None:
            raise InputError(
                f"model.data_preprocessor.test_cfg pads images to {padding['size']}, so that the "
                "result depends on a size that the file does not see: set it to None and export "
                "that size"
            )
        return cls(
            *_normalisation(preprocessor),
            bgr=not preprocessor.channel_conversion,
            divisor=padding.get("size_divisor") or 1,
            pad_value=float(preprocessor.pad_val),
        )

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) of an image -> what it becomes."""
        height, width = (side + -side % self.divisor for side in size)
        return height, width

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 3, H', W']."""
        x = image.flip(1) if self.bgr else image
        x = (x - self.mean) / self.std
        if self.divisor == 1:
            return x
        right, bottom = -x.shape[3] % self.divisor, -x.shape[2] % self.divisor
        return F.pad(x, (0, right, 0, bottom), value=self.pad_value)


def _normalisation(preprocessor: Any) -> tuple[list[float], list[float]]:
    """Mean and std; without a mean nothing is normalised."""
    mean, std = (
        getattr(preprocessor, name, torch.full((3,), default)).flatten().tolist()
        for name, default in (("mean", 0.0), ("std", 1.0))
    )
    return mean, std
