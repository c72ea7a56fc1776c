"""`DepthHead`: what every depth head shares, its losses and its prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.heads.maps import MapChoice
from ttr_backbones.heads.seeded_init import SeededInit
from ttr_backbones.losses import SigLoss


class DepthHead(SeededInit):
    """Base of the heads that turn maps into depth; a subclass gives `forward`.

    Args:
        in_channels: channels of each map taken, patch and CLS token side by side: 2C.
        in_index: which of the backbone's maps to take; by default the last ones.
        min_depth: smallest depth in metres.
        max_depth: largest depth in metres; 10 for NYUv2, 80 for KITTI.
        loss_decode: config of one loss or of several, by default SigLoss; losses of one name add
            up.
        init_seed: seed of the first weights; by default the run's, see `SeededInit`.
        init_cfg: as for mmengine's BaseModule.

    Raises:
        InputError: the depth range is none, or see `MapChoice`.
    """

    # EncoderDecoder reads these three.
    align_corners = False
    num_classes = 1
    out_channels = 1

    def __init__(
        self,
        in_channels: int | Sequence[int],
        in_index: int | Sequence[int] | None = None,
        *,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        loss_decode: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        init_seed: int | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.init_seed = init_seed
        if not 0 < min_depth < max_depth:
            raise InputError(
                f"min_depth={min_depth} and max_depth={max_depth}: expected metres with "
                "0 < min_depth < max_depth (1e-3 and 10 for NYUv2, 1e-3 and 80 for KITTI)"
            )
        self.maps = MapChoice(type(self).__name__, in_channels, in_index)
        self.in_index = self.maps.index  # under mmseg's name, for hooks that look at heads
        self.min_depth, self.max_depth = min_depth, max_depth
        configs = [loss_decode] if isinstance(loss_decode, Mapping) else loss_decode
        losses = [SigLoss()] if configs is None else [MODELS.build(config) for config in configs]
        self.loss_decode = nn.ModuleList(losses)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps [B, 2C, h, w] -> depth [B, 1, h', w'] in metres, not resized to the image."""
        raise NotImplementedError

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: Sequence[Any],
        train_cfg: Any,  # noqa: ARG002 (mmseg passes it)
    ) -> dict[str, Tensor]:
        """Maps and samples with `gt_depth_map` [1, H, W], 0 = no truth -> losses by name."""
        if not all("gt_depth_map" in sample for sample in batch_data_samples):
            raise InputError(
                f"{type(self).__name__} trains on samples with gt_depth_map, and there is none: "
                "put dict(type='LoadDepth') into the training pipeline, before PackSegInputs"
            )
        truth = torch.stack([sample.gt_depth_map.data for sample in batch_data_samples])
        depth = self._resize(self(inputs), truth.shape[2:])
        losses: dict[str, Tensor] = {}
        for loss in self.loss_decode:
            value = loss(depth, truth)
            name = str(loss.loss_name)
            losses[name] = losses[name] + value if name in losses else value
        return losses

    def predict(
        self,
        inputs: Sequence[Tensor],
        batch_img_metas: Sequence[Mapping[str, Any]],
        test_cfg: Any,  # noqa: ARG002 (mmseg passes it)
    ) -> Tensor:
        """Maps -> depth [B, 1, H, W] within the range, at the size of the images given."""
        meta = batch_img_metas[0]
        size = meta.get("pad_shape") or meta["img_shape"]
        return self._resize(self(inputs).clamp(self.min_depth, self.max_depth), size[:2])

    def _resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(x, tuple(size), mode="bilinear", align_corners=self.align_corners)
