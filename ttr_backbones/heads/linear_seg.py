"""`LinearSegHead`: the linear probe of dense features, as DINOv2 evaluates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.heads.maps import MapChoice


@MODELS.register_module()
class LinearSegHead(BaseDecodeHead):
    """Batch norm over the concatenated maps, then a 1x1 convolution to the classes.

    Its tensors are named as in DINOv2's released heads (`bn.*`, `conv_seg.*`), so that their files
    load. The batch norm is synchronised when the job is distributed over GPUs.

    Args:
        in_channels: channels of each map taken; one number for a single map.
        in_index: which of the backbone's maps to take, one per entry of `in_channels`; by default
            the last ones.
        num_classes: number of classes K.
        dropout_ratio: 0 in DINOv2's protocol.
        **kwargs: see mmseg's BaseDecodeHead (loss_decode, ignore_index, align_corners, ...).

    Raises:
        InputError: `in_channels` and `in_index` differ in length, or the maps have other channels.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        in_index: int | Sequence[int] | None = None,
        *,
        num_classes: int,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        maps = MapChoice(type(self).__name__, in_channels, in_index)
        channels = sum(maps.channels)
        super().__init__(
            in_channels=maps.channels,
            in_index=maps.index,
            input_transform="resize_concat",
            channels=kwargs.pop("channels", channels),
            num_classes=num_classes,
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        if self.channels != channels:
            raise InputError(
                f"channels={self.channels}, but the maps have {channels} channels together: leave "
                "`channels` out"
            )
        self.maps = maps
        self.bn = _batch_norm(channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps [B, C_i, h_i, w_i] -> logits [B, K, h, w] on the grid of the first map taken."""
        self.maps.take(inputs)  # says what is wrong with them
        return self.cls_seg(self.bn(self._transform_inputs(inputs)))


def _batch_norm(channels: int) -> nn.Module:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed and torch.cuda.is_available():
        return nn.SyncBatchNorm(channels)
    return nn.BatchNorm2d(channels)
