"""What a model compares images with, where that is other images: read before it predicts."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ttr_backbones.classification import KnnClassifier
from ttr_backbones.classification.bank import Progress, fill_bank
from ttr_backbones.errors import InputError


def read_labelled_images(model: Any, cfg: Config, progress: Progress | None = None) -> None:
    """Give a `KnnClassifier` the labelled images of its config; leave any other model alone.

    Args:
        model: on its device.
        cfg: `test_cfg.bank` is the data loader of the labelled images; `test_cfg.fp16` holds as in
            a test.
        progress: called with (images done, images in all).

    Raises:
        MissingFileError: the labelled images are not there.
        InputError: the config names none.
    """
    if not isinstance(model, KnnClassifier) or model.has_bank:
        return
    test_cfg = cfg.get("test_cfg") or {}
    bank = test_cfg.get("bank")
    if bank is None:
        raise InputError(
            "kNN compares an image with labelled ones, and the config names none: expected "
            "test_cfg.bank, the data loader of a ClassFolders, as in knn_imagenet"
        )
    init_default_scope("mmseg")
    loader = Runner.build_dataloader(copy.deepcopy(bank), seed=0)
    fp16 = bool(test_cfg.get("fp16", False))
    fill_bank(model, loader, progress or (lambda *_: None), fp16=fp16)
