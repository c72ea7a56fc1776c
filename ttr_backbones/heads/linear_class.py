"""`LinearClassHead`: the linear probe of whole images, as DINOv2 and DINOv3 evaluate them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.heads.maps import MapChoice
from ttr_backbones.heads.seeded_init import SeededInit


@MODELS.register_module()
class LinearClassHead(SeededInit, BaseModule):
    """One linear layer on a token of every block taken, side by side.

    The input is that token of each block, in order, and with `mean_patch` the mean of the last
    block's patches behind them: DINOv2's inputs, in the order of its released heads. Weights begin
    as N(0, 0.01), biases as 0.

    Args:
        in_channels: channels of each block taken; one number for a single block.
        in_index: which of the backbone's blocks, one per entry of `in_channels`; by default the
            last ones.
        num_classes: number of classes K.
        token: which token of each block, see `vits.image_tokens`.
        mean_patch: also take the mean of the last block's patches.
        normalize: divide the input by its norm.
        init_seed: seed of the first weights; by default the run's, see `SeededInit`.
        init_cfg: as for mmengine's `BaseModule`.

    Raises:
        InputError: `in_channels` and `in_index` differ in length.
    """

    align_corners = None  # read of every head that stands in a `ProbeHeads`

    def __init__(
        self,
        in_channels: int | Sequence[int],
        in_index: int | Sequence[int] | None = None,
        *,
        num_classes: int,
        token: str = "cls",
        mean_patch: bool = True,
        normalize: bool = False,
        init_seed: int | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        normal = {"type": "Normal", "layer": "Linear", "std": 0.01, "bias": 0.0}
        super().__init__(dict(init_cfg or normal))
        self.maps = MapChoice(type(self).__name__, in_channels, in_index)
        self.token, self.mean_patch, self.normalize = token, mean_patch, normalize
        self.init_seed = init_seed
        self.num_classes = self.out_channels = num_classes
        width = sum(self.maps.channels) + (self.maps.channels[-1] if mean_patch else 0)
        self.linear = nn.Linear(width, num_classes)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens that are needed of the blocks."""
        return tuple(dict.fromkeys([self.token, *(["mean_patch"] if self.mean_patch else [])]))

    def forward(self, features: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Tokens of each of the backbone's blocks, [B, C] by name -> scores [B, K].

        Raises:
            InputError: there are too few blocks, or they have other channels.
        """
        taken = self.maps.take([tokens[self.token] for tokens in features])
        if self.mean_patch:
            taken.append(features[self.maps.index[-1]]["mean_patch"])
        x = torch.cat(taken, dim=1)
        return self.linear(F.normalize(x, dim=1) if self.normalize else x)

    def loss(
        self,
        features: Sequence[Mapping[str, Tensor]],
        data_samples: Sequence[Any],
        train_cfg: Any = None,  # noqa: ARG002 -- every head of a `ProbeHeads` is given one
    ) -> dict[str, Tensor]:
        """Tokens as for `forward`, and samples with `gt_label` -> cross-entropy and top-1 in %.

        Raises:
            InputError: a class that the head does not have.
        """
        numbers = [sample.gt_label for sample in data_samples]
        if max(numbers) >= self.num_classes or min(numbers) < 0:
            raise InputError(
                f"images of the classes {min(numbers)} to {max(numbers)}, counted from 0, and the "
                f"head has {self.num_classes}: set model.decode_head.num_classes to the number of "
                "classes"
            )
        scores = self(features)
        labels = torch.tensor(numbers).to(scores.device, non_blocking=True)  # no wait for a GPU
        correct = (scores.detach().argmax(dim=1) == labels).float().mean()
        return {"loss_ce": F.cross_entropy(scores, labels), "acc_top1": 100 * correct}

    def predict(
        self,
        features: Sequence[Mapping[str, Tensor]],
        metas: Sequence[Any],  # noqa: ARG002 -- every head of a `ProbeHeads` is given both
        test_cfg: Any = None,  # noqa: ARG002
    ) -> Tensor:
        """Tokens as for `forward` -> scores [B, K]."""
        scores: Tensor = self(features)
        return scores
