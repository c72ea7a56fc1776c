"""How batches get onto a GPU, where the config does not say otherwise."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from torch import nn

from ttr_backbones.app.config import LOADERS


def pin_loaders(cfg: Config) -> None:
    """On a GPU, have loaders pin their batches and keep their workers from epoch to epoch."""
    if not torch.cuda.is_available():
        return  # pin_memory would warn
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict):
            loader.setdefault("pin_memory", True)
            if loader.get("num_workers"):
                loader.setdefault("persistent_workers", True)


def copy_without_waiting(model: nn.Module) -> None:
    """On a GPU, have the model's data preprocessor copy pinned batches while the CPU goes on."""
    if not torch.cuda.is_available():
        return
    for module in model.modules():
        if isinstance(module, BaseDataPreprocessor):
            # mmengine's option; mmseg's preprocessor does not hand it on.
            module._non_blocking = True  # noqa: SLF001
