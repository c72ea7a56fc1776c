"""`AttentionForeground`: the CLS token's attention as a mask, through mmengine's test loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.attention_masks.foreground import foreground
from ttr_backbones.backbones.preprocessor import build_preprocessor
from ttr_backbones.errors import InputError
from ttr_backbones.vits.attention import cls_attention
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.taps import Tap


@MODELS.register_module()
class AttentionForeground(BaseModel):
    """Attention of CLS to the patches in one block, mean over the heads, enlarged to the image.

    There is nothing to train, and its state dict is empty with a frozen backbone.

    Args:
        backbone: config of a `TimmViT` with a CLS token.
        block: whose attention; negative ones count back.
        data_preprocessor: by default mmengine's `ImgDataPreprocessor` with the backbone's mean and
            std, for BGR images.
        init_cfg: as for mmengine's `BaseModel`.

    Raises:
        InputError: a model without a CLS token, or without such a block.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        block: int = -1,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        vit: Any = MODELS.build(backbone)
        super().__init__(build_preprocessor(vit, data_preprocessor), init_cfg)
        self.backbone = vit
        (self.block,) = vit.block_indices([block], "block")
        if not vit.family.layout(vit.vit).num_cls:
            raise InputError(
                "AttentionForeground takes the attention of the CLS token: expected a backbone "
                "with one, and this model has none"
            )

    @torch.no_grad()
    def attention(self, inputs: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> attention of CLS to every patch, mean over heads, [B, h, w].

        Raises:
            InputError: a size that is no multiple of the patch.
        """
        sizes = list(zip(inputs.shape[2:], self.backbone.patch_size, strict=True))
        if any(side % patch for side, patch in sizes):
            raise InputError(
                f"images of {inputs.shape[2]} x {inputs.shape[3]} pixels: expected multiples of "
                f"the patch, {self.backbone.patch_size}, so that every pixel has one"
            )
        h, w = (side // patch for side, patch in sizes)
        noted: list[Tensor] = []
        with reading(self.backbone.vit, {Site(self.block, "attention"): noted.append}):
            self.backbone.tapped(inputs, [Tap(self.block)])
        weights = cls_attention(self.backbone.vit, self.block, noted[-1], (h, w))
        return weights.float().mean(dim=1).unflatten(1, (h, w))

    @torch.no_grad()
    def forward(
        self, inputs: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "predict"
    ) -> list[Any]:
        """Mark the foreground of images.

        Args:
            inputs: [B, 3, H, W], H and W multiples of the patch.
            data_samples: one `ForegroundSample` per image.
            mode: "predict".

        Returns:
            The samples, each with `pred_mask`, bool [H, W], and `pred_scores` [2, H, W] of
            background and foreground, see `foreground`.

        Raises:
            InputError: another mode, or no samples.
        """
        if mode != "predict" or data_samples is None:
            raise InputError(
                f"AttentionForeground has mode='predict' with samples only, got {mode!r}: there is "
                "nothing to train. Use `ttrb test CONFIG`, without a checkpoint"
            )
        maps = self.attention(inputs)[:, None]
        enlarged = F.interpolate(maps, tuple(inputs.shape[2:]), mode="bilinear")[:, 0]
        masks, scores = foreground(enlarged)
        for sample, mask, score in zip(data_samples, masks, scores, strict=True):
            sample.set_data({"pred_mask": mask, "pred_scores": score})
        return list(data_samples)
