"""`ProbeHeads`: many heads as one decode head of mmseg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor

from ttr_backbones.heads.linear_seg import LinearSegHead, SharedTargets
from ttr_backbones.vits.taps import Tap


@MODELS.register_module()
class ProbeHeads(BaseModule):
    """Heads side by side, each with its own maps, losses and weights.

    Args:
        heads: config of each head, as it would be alone.
        taps: maps that each head takes, as (block, whether the final norm applies).
        names: of the heads; keys of the log, so none may hold the word "loss".
    """

    def __init__(
        self,
        heads: Sequence[Mapping[str, Any]],
        taps: Sequence[Sequence[tuple[int, bool]]],
        names: Sequence[str],
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.names = tuple(names)
        self.heads = ModuleList([MODELS.build(head) for head in heads])
        self._requested = [[(block, norm) for block, norm in of_head] for of_head in taps]
        self.taps_of: list[list[Tap]] = []
        first: Any = self.heads[0]
        # EncoderDecoder reads these three.
        self.align_corners = first.align_corners
        self.num_classes, self.out_channels = first.num_classes, first.out_channels

    def connect(self, backbone: Any) -> None:
        """Learn which maps of a `TimmViT` the heads take.

        Raises:
            InputError: it has no such block.
        """
        self.taps_of = []
        for requested in self._requested:
            blocks = backbone.block_indices([block for block, _ in requested], "--probe-grid block")
            norms = [norm for _, norm in requested]
            self.taps_of.append(
                [Tap(block, norm=norm) for block, norm in zip(blocks, norms, strict=True)]
            )

    @property
    def taps(self) -> list[Tap]:
        """All maps that some head takes, each once."""
        return list(dict.fromkeys(tap for taps in self.taps_of for tap in taps))

    def loss(
        self, maps: Mapping[Tap, Tensor], data_samples: Sequence[Any], train_cfg: Any
    ) -> dict[str, Tensor]:
        """Maps and samples -> the sum of all losses, and each head's own under its name.

        The heads share nothing that is trained, so each gets the gradient of its own loss from the
        sum. The loss of a head that has diverged counts as 0 in it, or all would be lost with it.
        """
        results: dict[str, Tensor] = {}
        total: Any = 0
        targets: SharedTargets = {}
        for name, head, taps in zip(self.names, self.heads, self.taps_of, strict=True):
            # A subclass may compute its loss otherwise.
            shared = {"shared": targets} if type(head) is LinearSegHead else {}
            losses = head.loss([maps[tap] for tap in taps], data_samples, train_cfg, **shared)
            loss = sum(value.mean() for key, value in losses.items() if "loss" in key)
            results[name] = loss.detach()
            total = total + torch.where(loss.isfinite(), loss, torch.zeros_like(loss))
        return {"loss_sum": total, **results}

    def predict(
        self, index: int, maps: Mapping[Tap, Tensor], metas: Sequence[Any], test_cfg: Any
    ) -> Tensor:
        """What head number `index` makes of the maps, as its own `predict`."""
        head: Any = self.heads[index]
        return head.predict([maps[tap] for tap in self.taps_of[index]], metas, test_cfg)

    def weights_of(self, index: int) -> dict[str, Tensor]:
        """State dict of a head as it would be alone in a model."""
        return {f"decode_head.{k}": v for k, v in self.heads[index].state_dict().items()}
