"""The labelled images that kNN compares with: their features and classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.runner.amp import autocast
from torch import Tensor

from ttr_backbones.classification.finite import check_finite_images
from ttr_backbones.classification.knn_classifier import KnnClassifier

Progress = Callable[[int, "int | None"], object]


@torch.no_grad()
def fill_bank(model: KnnClassifier, loader: Any, progress: Progress, *, fp16: bool = False) -> None:
    """Give a model the features of all labelled images, each computed once.

    Args:
        model: it is put into eval mode.
        loader: data loader of the labelled images, which neither shuffles nor repeats them; every
            process of a run computes its share, and has all of them then, in order.
        progress: called with (images done by this process, of how many) after every batch.
        fp16: under autocast, as the images of a test with it.

    Raises:
        InputError: features that are NaN or infinite, with the name of the image.
    """
    model.eval()
    features, labels, places = [], [], []
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        with autocast(device_type=data["inputs"].device.type, enabled=fp16):
            features.append(model.embed(data["inputs"]).to(model.bank_dtype))
        check_finite_images(features[-1], data["data_samples"], "features")
        labels += [sample.gt_label for sample in data["data_samples"]]
        places += [sample.sample_idx for sample in data["data_samples"]]
        progress(len(labels), len(loader.sampler))
    found = torch.cat(features)
    numbers = torch.tensor([labels, places], device=found.device).T
    found, numbers = gathered(found), gathered(numbers)
    order = numbers[:, 1].argsort()
    names = loader.dataset.metainfo["classes"]
    model.set_bank(found[order], numbers[order, 0], len(names), names)


def gathered(rows: Tensor) -> Tensor:
    """Rows [n, ...] of this process -> those of all processes, [N, ...]; n may differ."""
    if get_world_size() == 1:
        return rows
    counts = torch.cat(all_gather(torch.tensor([len(rows)], device=rows.device))).tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = all_gather(padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
