"""`LinearSegHead`: the linear probe of dense features, as DINOv2 evaluates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.heads.batch_norm import batch_norm, check_values
from ttr_backbones.heads.maps import MapChoice
from ttr_backbones.heads.seeded_init import SeededInit
from ttr_backbones.losses.pixel_targets import PixelTargets
from ttr_backbones.losses.upsampled_cross_entropy import upsampled_cross_entropy

SharedTargets = dict[tuple[int, int], PixelTargets]  # by loss_stride and ignore_index
_EPS = torch.finfo(torch.float32).eps  # what mmseg adds to every count


@MODELS.register_module()
class LinearSegHead(SeededInit, BaseDecodeHead):
    """Batch norm over the concatenated maps, then a 1x1 convolution to the classes.

    Its tensors are named as in DINOv2's released heads (`bn.*`, `conv_seg.*`), so that their files
    load. The batch norm is synchronised when the job is distributed.

    Args:
        in_channels: channels of each map taken; one number for a single map.
        in_index: which of the backbone's maps to take, one per entry of `in_channels`; by default
            the last ones.
        num_classes: number of classes K.
        dropout_ratio: of whole channels in training; 0 in DINOv2's protocol.
        dropout_first: before the batch norm, as in DINOv3's protocol; mmseg's heads have it between
            the batch norm and the convolution.
        loss_stride: the loss takes every `loss_stride`-th row and column of the pixels, the first
            ones drawn anew at each step; 1 in all published protocols, which take all pixels. With
            many heads on a small backbone much of a step is the loss, and this makes it short. The
            heads of one pass share each draw.
        init_seed: seed of the first weights; by default the run's, see `SeededInit`.
        **kwargs: see mmseg's BaseDecodeHead (loss_decode, ignore_index, align_corners, ...).

    Raises:
        InputError: `in_channels` and `in_index` differ in length, or the maps have other channels;
            `loss_stride` with a loss that is not plain cross-entropy.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        in_index: int | Sequence[int] | None = None,
        *,
        num_classes: int,
        dropout_ratio: float = 0.0,
        dropout_first: bool = False,
        loss_stride: int = 1,
        init_seed: int | None = None,
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
        self.maps, self.init_seed, self.dropout_first = maps, init_seed, dropout_first
        self.bn = batch_norm(channels)
        if loss_stride < 1:
            raise InputError(f"loss_stride={loss_stride}: expected 1, all pixels, or more")
        self.loss_stride = loss_stride

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps [B, C_i, h_i, w_i] -> logits [B, K, h, w] on the grid of the first map taken."""
        self.maps.take(inputs)  # says what is wrong with them
        x = self._transform_inputs(inputs)
        if self.training:
            check_values(x)
        if self.dropout is not None:
            if not self.dropout_first:
                return self.cls_seg(self.bn(x))
            x = self.dropout(x)
        if type(self.bn) is nn.BatchNorm2d and self.bn.training and self.bn.momentum is not None:
            return self._folded(self.bn, x)
        return self.conv_seg(self.bn(x))

    def _folded(self, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """Normalise x [B, C, h, w]; scale and shift of the batch norm are the convolution's.

        The same function, whose gradient takes one matrix product in place of two: none goes back
        to the normalised maps, which are larger than all weights.
        """
        tracked: Any = bn.num_batches_tracked
        tracked.add_(1)
        momentum: Any = bn.momentum  # None, a mean over all batches, is left to torch
        statistics = bn.running_mean, bn.running_var
        normed = F.batch_norm(x, *statistics, training=True, momentum=momentum, eps=bn.eps)
        weight, bias = self.conv_seg.weight, self.conv_seg.bias
        bias = bias + weight.flatten(1) @ bn.bias
        return F.conv2d(normed, weight * bn.weight.view(-1, 1, 1), bias)

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: Sequence[Any],
        train_cfg: Any,  # noqa: ARG002 (mmseg's signature)
        shared: SharedTargets | None = None,
    ) -> dict[str, Tensor]:
        """Maps and samples -> losses and `acc_seg`.

        With `shared`, which the heads of one pass hand on, what depends on the labels alone is
        worked out by the first head for all that have the same `loss_stride` and `ignore_index`,
        the drawn pixels included, and `acc_seg` is left out.
        """
        seg_logits = self.forward(inputs)
        if shared is None or self._by_mmseg():
            return self.loss_by_feat(seg_logits, batch_data_samples)
        key = self.loss_stride, self.ignore_index
        if key not in shared:
            shared[key] = self._targets(batch_data_samples)
        return self._losses(seg_logits, shared[key], count_correct=False)

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: Sequence[Any]
    ) -> dict[str, Tensor]:
        """Logits [B, K, h, w] and samples with `gt_sem_seg` [1, H, W] -> losses and `acc_seg`.

        Plain cross-entropy is computed without the logits at full size; it equals mmseg's. Any
        other loss goes mmseg's way.
        """
        if self._by_mmseg():
            return super().loss_by_feat(seg_logits, batch_data_samples)
        return self._losses(seg_logits, self._targets(batch_data_samples), count_correct=True)

    def _by_mmseg(self) -> bool:
        losses_decode = self._losses_decode()
        by_mmseg = self.sampler is not None or self.ignore_index is None
        if not by_mmseg and all(map(_is_plain_cross_entropy, losses_decode)):
            return False
        if self.loss_stride > 1:
            raise InputError(
                f"loss_stride={self.loss_stride} is for plain cross-entropy, without class "
                "weights or a sampler: leave it out"
            )
        return True

    def _losses_decode(self) -> list[Any]:
        several = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if several else [self.loss_decode]

    def _targets(self, batch_data_samples: Sequence[Any]) -> PixelTargets:
        stride = self.loss_stride
        row, column = torch.randint(stride, (2,)).tolist() if stride > 1 else (0, 0)
        return PixelTargets(
            self._stack_batch_gt(batch_data_samples).squeeze(1),
            ignore_index=self.ignore_index,
            stride=stride,
            offset=(row, column),
        )

    def _losses(
        self, seg_logits: Tensor, targets: PixelTargets, *, count_correct: bool
    ) -> dict[str, Tensor]:
        total, correct, valid, pixels = upsampled_cross_entropy(
            seg_logits, targets, align_corners=self.align_corners, count_correct=count_correct
        )
        losses: dict[str, Tensor] = {}
        for loss in self._losses_decode():
            count = valid if loss.avg_non_ignore else pixels
            value = loss.loss_weight * total / (count + _EPS)
            name = str(loss.loss_name)
            losses[name] = losses[name] + value if name in losses else value
        if count_correct:
            losses["acc_seg"] = 100 * (correct + _EPS) / (valid[None] + _EPS)
        return losses


def _is_plain_cross_entropy(loss: Any) -> bool:
    return (
        type(loss) is CrossEntropyLoss
        and not (loss.use_sigmoid or loss.use_mask)
        and loss.class_weight is None
        and loss.reduction == "mean"
    )
