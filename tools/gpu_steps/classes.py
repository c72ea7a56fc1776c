"""Classes of images and of pixels: neighbours and words as on the CPU, 52 heads against one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from torch import Tensor

from gpu_steps.step import Check
from ttr_backbones.app import runner as _registers_everything  # noqa: F401
from ttr_backbones.bench.timing import seconds_of
from ttr_backbones.classification.knn import nearest, voted_classes
from ttr_backbones.datasets import ClassSample
from ttr_backbones.open_vocabulary import OpenVocabularySegmentor
from ttr_backbones.probes.models import ProbeClassifier

_CLASSES, _K = 20, 200
_HEADS = 52  # DINOv2's: 2 numbers of blocks x with or without the mean patch x 13 learning rates


def run(check: Check) -> None:
    """Try them all on random weights, images and features."""
    init_default_scope("mmseg")
    torch.manual_seed(0)
    _neighbours(check)
    _words(check)
    _heads(check)


def _neighbours(check: Check) -> None:
    bank = torch.nn.functional.normalize(torch.randn(20_000, 64), dim=1)
    queries, labels = bank[:50] + 0.1 * torch.randn(50, 64), torch.randint(_CLASSES, (20_000,))

    def classes(device: torch.device) -> Tensor:
        found, indices = nearest(queries.to(device), bank.to(device), _K, at_once=100_000)
        near = labels.to(device)[indices]
        return voted_classes(found, near, _CLASSES, (10, 20, 100, _K), 0.07).cpu()

    same = (classes(check.device) == classes(torch.device("cpu"))).float().mean().item()
    check.record("kNN: classes as on the CPU", same, f"{100 * same:.1f} %", goal="same classes")


def _words(check: Check) -> None:
    kwargs = {**check.scale.model_kwargs, "num_classes": 2 * _CLASSES}
    backbone = {"type": "TimmViT", "model": check.scale.base, "model_kwargs": kwargs}
    side = check.scale.sizes[0]
    model = OpenVocabularySegmentor(
        backbone={**backbone, "precision": "fp32"},
        text={"rows": {f"class {i}": [[2 * i, 2 * i + 1]] for i in range(_CLASSES)}},
        last_block={"attention": "sclip"},
        crop=side,
        stride=side // 2,
    ).eval()
    image = torch.randint(256, (3, 3 * side // 2, 2 * side), dtype=torch.uint8)

    def labels(device: torch.device) -> Tensor:
        sample = SegDataSample(
            metainfo={"ori_shape": image.shape[1:], "img_shape": image.shape[1:]}
        )
        (found,) = (
            copy.deepcopy(model).to(device).test_step({"inputs": [image], "data_samples": [sample]})
        )
        return found.pred_sem_seg.data.cpu()

    same = (labels(check.device) == labels(torch.device("cpu"))).float().mean().item()
    check.record("words: pixels as on the CPU", same, f"{100 * same:.1f} %", goal="same pixels")


def _heads(check: Check) -> None:
    scale = check.scale
    batch = 128 if check.device.type == "cuda" else 4
    images = torch.randn(batch, 3, scale.sizes[0], scale.sizes[0], device=check.device)
    samples = [ClassSample(gt_label=i % scale.classes) for i in range(batch)]
    channels = scale.benched(scale.base).backbone().channels
    seconds = {
        count: _seconds(check, _probe(check, count, channels), images, samples)
        for count in (1, _HEADS)
    }
    where = f"{scale.base}, {scale.sizes[0]} px, {batch} images"
    for count, taken in seconds.items():
        check.record(f"{where}: step of {count} heads", taken, f"{1000 * taken:.1f} ms")
    ratio = seconds[_HEADS] / seconds[1]
    check.record(f"{where}: {_HEADS} heads over one", ratio, f"{ratio:.2f} times")


def _probe(check: Check, count: int, channels: int) -> Any:
    scale = check.scale
    kwargs = {**scale.model_kwargs, "num_classes": 0}
    depth = 4 if check.device.type == "cuda" else 2
    head = {"type": "LinearClassHead", "num_classes": scale.classes}
    kinds = [
        ({**head, "in_channels": [channels] * blocks, "mean_patch": mean}, blocks)
        for blocks in (depth, 1)
        for mean in (True, False)
    ]
    chosen = [kinds[index % len(kinds)] for index in range(count)]
    heads = {
        "type": "ProbeHeads",
        "heads": [kind for kind, _ in chosen],
        "taps": [[(block, True) for block in range(-blocks, 0)] for _, blocks in chosen],
        "names": [f"probe{index}" for index in range(count)],
    }
    backbone = {"type": "TimmViT", "model": scale.base, "model_kwargs": kwargs}
    return ProbeClassifier(backbone=backbone, decode_head=heads).to(check.device).train()


def _seconds(check: Check, model: Any, images: Tensor, samples: Sequence[Any]) -> float:
    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(images, samples, "loss")["loss_sum"].backward()

    step()
    timed = partial(seconds_of, step, check.device)
    return median(timed() for _ in range(max(check.scale.rounds, 3)))
