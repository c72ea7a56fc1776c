"""`LinearSegHead`: the linear probe of dense features, as DINOv2 evaluates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.errors import InputError


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
        in_channels = _as_list(in_channels)
        in_index = list(range(-len(in_channels), 0)) if in_index is None else _as_list(in_index)
        if len(in_channels) != len(in_index):
            raise InputError(
                f"in_channels={in_channels} and in_index={in_index}: expected one number of "
                "channels per map"
            )
        channels = sum(in_channels)
        super().__init__(
            in_channels=in_channels,
            in_index=in_index,
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
        self.map_channels = in_channels
        self.bn = _batch_norm(channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps [B, C_i, h_i, w_i] -> logits [B, K, h, w] on the grid of the first map taken."""
        self._check(inputs)
        return self.cls_seg(self.bn(self._transform_inputs(inputs)))

    def _check(self, inputs: Sequence[Tensor]) -> None:
        reach = max(max(self.in_index) + 1, -min(self.in_index))
        if reach > len(inputs):
            raise InputError(
                f"LinearSegHead takes maps {self.in_index}, the backbone gives {len(inputs)}: make "
                "in_index fit the backbone's out_indices"
            )
        given = [inputs[index].shape[1] for index in self.in_index]
        if given != self.map_channels:
            raise InputError(
                f"LinearSegHead expected maps of {self.map_channels} channels, the backbone gives "
                f"{given}: set in_channels={given}"
            )


def _as_list(one_or_more: int | Sequence[int]) -> list[int]:
    return [one_or_more] if isinstance(one_or_more, int) else list(one_or_more)


def _batch_norm(channels: int) -> nn.Module:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed and torch.cuda.is_available():
        return nn.SyncBatchNorm(channels)
    return nn.BatchNorm2d(channels)
