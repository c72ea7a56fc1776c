"""What is trained in a soak run: a small data set in ADE20K's layout and a config for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.config import Config
from PIL import Image

from ttr_backbones.datasets.scenes import make_scene
from ttr_backbones.recipes import recipe

INTERVAL = 4  # iterations between two checkpoints
_SIZE = 64  # pixels
_IMAGES = {"training": 100, "validation": 3}
_BASE = "augreg_vitt16_{}linear_ade20k_200it"
_FOR_EVER = 10**6


class Work(NamedTuple):
    """Where a config lies, and the images and masks that its training reads."""

    config: Path
    files: list[Path]


def make_work(folder: Path, weights: Path | None, size: int = _SIZE) -> Work:
    """Write data set and config to `folder`.

    Args:
        folder: A folder that is there.
        weights: Of augreg ViT-Ti/16, which then gets its test-time register; None takes a small
            random ViT.
        size: Side of the images in pixels.
    """
    for split, count in _IMAGES.items():
        _draw(folder, split, count, size)
    config = folder / "soak.py"
    _config(folder, weights, size).dump(config)
    return Work(config, sorted(folder.glob("*/training/*")))


def _draw(folder: Path, split: str, count: int, size: int) -> None:
    rng = np.random.default_rng(list(split.encode()))
    for kind in ("images", "annotations"):
        (folder / kind / split).mkdir(parents=True)
    for index in range(count):
        scene = make_scene(rng, size)
        Image.fromarray(scene.image).save(folder / "images" / split / f"{index:03}.jpg")
        # In ADE20K 0 is "other", and the classes begin at 1.
        Image.fromarray(scene.mask + 1).save(folder / "annotations" / split / f"{index:03}.png")


def _config(folder: Path, weights: Path | None, size: int) -> Config:
    """Make the packaged trial run as small and as eventful as it can be."""
    cfg = recipe(_BASE.format("ttr_" if weights else ""))
    backbone, head = cfg.model.backbone, cfg.model.decode_head
    backbone.update(pretrained=False)
    if weights:
        backbone.checkpoint = str(weights)
    else:
        small = {"depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
        backbone.update(model="vit_tiny_patch16_224", model_kwargs=small, out_indices=(-1,))
        head.update(in_channels=[32], in_index=[0])
    head.dropout_ratio = 0.1  # draws from torch's generator in every iteration
    cfg.model.data_preprocessor.size = (size, size)
    cfg.model.test_cfg = {"mode": "whole"}
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(folder)
        for step in loader.dataset.pipeline:
            if "scale" in step:
                step.scale = (size * 4, size)
            if "crop_size" in step:
                step.crop_size = (size, size)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_cfg.update(max_iters=_FOR_EVER, val_interval=3 * INTERVAL)
    # A rate that falls to 0 would hide what is lost later on.
    cfg.param_scheduler[-1].end = _FOR_EVER
    cfg.default_hooks.checkpoint.update(interval=INTERVAL, max_keep_ckpts=2, save_best="mIoU")
    cfg.default_hooks.logger.interval = 2
    cfg.custom_hooks.append({"type": "TellSoak"})
    cfg.custom_imports.imports.append("soaking.training")
    return cfg
