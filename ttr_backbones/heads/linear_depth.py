"""`LinearDepthHead`: the linear depth probes of DINOv2, "lin.1" and "lin.4", and of DINOv3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.heads.batch_norm import batch_norm, check_values
from ttr_backbones.heads.depth_head import DepthHead

_FLOOR = 0.1  # added to every activation, so that a pixel without any has a depth


@MODELS.register_module()
class LinearDepthHead(DepthHead):
    """A 1x1 convolution to depth bins; the depth is their mean under normalised activations.

    The bins are equally spaced from `min_depth` to `max_depth`, both included; a bin's weight is
    relu(logit) + 0.1 over the sum of all. Over one block this is DINOv2's "lin.1", over four
    "lin.4". DINOv3's has a batch norm before the convolution and no CLS token, and does not
    upsample: the depth of every patch is resized to the image.

    Its tensors are named as in DINOv2's released heads (`conv_depth.*`), so their files load. **A
    file does not say its range**: use max_depth=10 for the NYUv2 heads and 80 for the KITTI ones.
    torch.hub's loader takes 80 m bins for either, so its NYUv2 depths are eight times too large.

    `conv_depth` starts as torch initialises it, which is what DINOv2 and the Monocular Depth
    Estimation Toolbox do.

    Args:
        in_channels: channels of each map taken: 2C with patch and CLS token side by side, else C.
        in_index: which of the backbone's maps to take; by default the last ones.
        n_bins: number of bins K.
        upsample: factor from the grid of the first map taken to that of the depth.
        norm: put a batch norm before the convolution, synchronised if the job is distributed; its
            statistics are of the maps before they are upsampled.
        **kwargs: as for `DepthHead`: min_depth, max_depth, loss_decode, init_seed, init_cfg.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        in_index: int | Sequence[int] | None = None,
        *,
        n_bins: int = 256,
        upsample: int = 4,
        norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, in_index, **kwargs)
        if n_bins < 2 or upsample < 1:
            raise InputError(
                f"n_bins={n_bins} and upsample={upsample}: expected at least 2 and at least 1"
            )
        self.upsample = upsample
        if norm:
            self.batchnorm_layer = batch_norm(sum(self.maps.channels))
        self.norm = norm
        self.conv_depth = nn.Conv2d(sum(self.maps.channels), n_bins, kernel_size=1)
        bins = torch.linspace(self.min_depth, self.max_depth, n_bins)
        self.bins: Tensor
        self.register_buffer("bins", bins, persistent=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps [B, C or 2C, h, w] -> depth [B, 1, upsample * h, upsample * w] in metres.

        The protocol upsamples the maps and then convolves. Bilinear weights sum to 1, so a 1x1
        convolution with its bias commutes with it: here K channels are upsampled in place of up
        to 8C (12288 for ViT-g). Only maps of different grids have to be upsampled first.
        """
        maps = self.maps.take(inputs)
        grid = maps[0].shape[2:]
        size = [self.upsample * side for side in grid]
        if any(feature_map.shape[2:] != grid for feature_map in maps):
            maps = [self._resize(feature_map, size) for feature_map in maps]
        x = torch.cat(maps, dim=1)
        if self.norm:
            if self.training:
                check_values(x)
            x = self.batchnorm_layer(x)
        logits = self._resize(self.conv_depth(x), size)
        # Half precision would leave steps of 8 mm at 10 m.
        with torch.autocast(logits.device.type, enabled=False):
            weights = logits.float().relu() + _FLOOR
            depth = torch.einsum("bkhw,k->bhw", weights, self.bins) / weights.sum(dim=1)
        return depth[:, None]
