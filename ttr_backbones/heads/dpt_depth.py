"""`DPTDepthHead`: the DPT decoder of DINOv2's depth evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.dpt_head import FeatureFusionBlock, ReassembleBlocks
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.heads.depth_head import DepthHead

_NUM_MAPS = 4


@MODELS.register_module()
class DPTDepthHead(DepthHead):
    """Four maps brought to four scales and fused from coarse to fine; regresses the depth itself.

    Built from mmseg's parts of DPT (arXiv 2103.13413) as DINOv2 has it: CLS token projected into
    every patch ("project"), no norms, depth = relu(.) + min_depth. Its tensors are named as in
    DINOv2's released heads, so their files load. `max_depth` is where predictions are clamped: 10
    for NYUv2, 80 for KITTI.

    Args:
        in_channels: channels of the four maps taken, patch and CLS token side by side: 2C each.
        in_index: which of the backbone's maps, from early to late; by default the last four.
        channels: width of the decoder.
        **kwargs: as for `DepthHead`: min_depth, max_depth, loss_decode, init_seed, init_cfg.

    Raises:
        InputError: not four maps of one even number of channels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_index: Sequence[int] | None = None,
        *,
        channels: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, in_index, **kwargs)
        widths_in = self.maps.channels
        # Eighths of C are the width of the finest scale.
        if len(widths_in) != _NUM_MAPS or len(set(widths_in)) > 1 or widths_in[0] % 16:
            raise InputError(
                f"in_channels={widths_in}: DPTDepthHead takes four maps of 2C channels each (patch "
                "and CLS token side by side), C a multiple of 8. Give the backbone four "
                "out_indices and cls_token='concat'"
            )
        self.width = widths_in[0] // 2
        widths = [self.width // 8, self.width // 4, self.width // 2, self.width]
        self.reassemble_blocks = ReassembleBlocks(self.width, widths, readout_type="project")
        self.convs = nn.ModuleList(
            ConvModule(width, channels, 3, padding=1, act_cfg=None, bias=False) for width in widths
        )
        fusion_blocks = [
            FeatureFusionBlock(channels, act_cfg={"type": "ReLU"}, norm_cfg=None) for _ in widths
        ]
        fusion_blocks[0].res_conv_unit1 = None  # the coarsest scale has nothing to add to
        self.fusion_blocks = nn.ModuleList(fusion_blocks)
        self.project = ConvModule(channels, channels, 3, padding=1)
        self.conv_depth = _DepthRegressor(channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Four maps [B, 2C, h, w] -> depth [B, 1, 32 ceil(h/2), 32 ceil(w/2)] in metres."""
        maps = self.maps.take(inputs)
        split = [
            (feature_map[:, : self.width], feature_map[:, self.width :, 0, 0])
            for feature_map in maps
        ]
        scales = [
            conv(feature_map)
            for conv, feature_map in zip(self.convs, self.reassemble_blocks(split), strict=True)
        ]
        first, *others = self.fusion_blocks
        fused = first(scales.pop())
        for block in others:
            fused = block(fused, scales.pop())
        return self.conv_depth(self.project(fused)).relu() + self.min_depth


class _DepthRegressor(nn.Module):
    """Features [B, C, h, w] -> [B, 1, 2h, 2w]; `head.<n>` are the released names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(channels // 2, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)
