"""Linear heads on a frozen backbone, their optimizer and a batch, put together as a config does."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ttr_backbones.backbones import TimmViT
from ttr_backbones.engine import TrainableOptimWrapperConstructor
from ttr_backbones.heads import LinearSegHead
from ttr_backbones.probes import ProbeOptimWrapperConstructor, ProbeSegmentor

_LR = 1e-3


@dataclass(frozen=True)
class TrainSetting:
    """What is trained.

    Args:
        size: side of the images in pixels.
        num_classes: of the heads.
    """

    size: int = 512
    num_classes: int = 150


@dataclass(frozen=True)
class Training:
    """A model, its optimizer and a batch that is on the device already."""

    model: BaseModel
    optimizer: OptimWrapper
    batch: Mapping[str, list[Any]]

    def step(self) -> dict[str, Tensor]:
        """Train one step; the losses before it."""
        return self.model.train_step(dict(self.batch), self.optimizer)

    @property
    def held(self) -> list[Tensor]:
        """All tensors that live between two steps."""
        moments = [
            value
            for state in self.optimizer.optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
        labels = [sample.gt_sem_seg.data for sample in self.batch["data_samples"]]
        weights = [*self.model.parameters(), *self.model.buffers()]
        return [*weights, *moments, *self.batch["inputs"], *labels]


def make_training(
    backbone: nn.Module,
    like: TimmViT,
    setting: TrainSetting,
    batch: Mapping[str, list[Any]],
    *,
    heads: int = 1,
    head: type[LinearSegHead] = LinearSegHead,
    loss_stride: int = 1,
) -> Training:
    """Train one head, or several in one pass, all from the same first weights.

    Args:
        backbone: gives maps as OpenMMLab's backbones do; it is not trained.
        like: the `TimmViT` whose channels and normalisation it has.
        setting: what is trained.
        batch: of `random_batch`; the model goes to its device.
        heads: how many; several take a `TimmViT`.
        head: of which kind.
        loss_stride: of the heads.
    """
    head_cfg = {
        "type": head,
        "in_channels": [like.channels],
        "num_classes": setting.num_classes,
        "init_seed": 0,
        "loss_stride": loss_stride,
        "loss_decode": {"type": "CrossEntropyLoss"},
    }
    several = {
        "type": "ProbeHeads",
        "heads": [head_cfg] * heads,
        "taps": [[(-1, like.final_norm)]] * heads,
        "names": [f"probe{index}" for index in range(heads)],
    }
    kind: Any = EncoderDecoder if heads == 1 else ProbeSegmentor
    with _quiet():
        model = kind(
            backbone={"type": lambda: backbone},  # mmseg builds it, from whatever can be called
            decode_head=head_cfg if heads == 1 else several,
            data_preprocessor=SegDataPreProcessor(
                mean=like.mean, std=like.std, size=(setting.size, setting.size)
            ),
            test_cfg={"mode": "whole"},
        )
        for each in [model.decode_head] if heads == 1 else model.decode_head.heads:
            each.init_weights()
    model.to(batch["inputs"][0].device).train()
    model.backbone.eval()
    return Training(model, _optimizer(heads)(model), batch)


def _optimizer(heads: int) -> Any:
    """AdamW over the head, or with a group for each head."""
    options: dict[str, Any] = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": _LR}}
    if heads == 1:
        return TrainableOptimWrapperConstructor(options)
    return ProbeOptimWrapperConstructor(
        {**options, "type": "ProbeOptimWrapper", "lrs": [_LR] * heads}
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep mmengine from listing every first weight, and mmseg from warning of its own calls."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def random_batch(
    setting: TrainSetting, batch_size: int, device: torch.device
) -> dict[str, list[Any]]:
    """Draw images and labels, a tenth of them ignored, as a data loader gives them."""
    random = torch.Generator().manual_seed(0)
    shape = (setting.size, setting.size)
    images, samples = [], []
    for _ in range(batch_size):
        image = torch.randint(256, (3, *shape), dtype=torch.uint8, generator=random)
        labels = torch.randint(setting.num_classes, (1, *shape), generator=random)
        ignored = torch.rand((1, *shape), generator=random) < 0.1
        sample = SegDataSample(metainfo={"img_shape": shape, "ori_shape": shape})
        sample.gt_sem_seg = PixelData(data=labels.masked_fill(ignored, 255))
        images.append(image.to(device))
        samples.append(sample.to(device))
    return {"inputs": images, "data_samples": samples}
