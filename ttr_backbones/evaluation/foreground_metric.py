"""mIoU, pixel accuracy and mAP of foreground masks as an mmengine metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.foreground_scores import foreground_scores
from ttr_backbones.evaluation.image_parts import MeanIoU


@METRICS.register_module()
class ForegroundMetric(BaseMetric):
    """ImageNet-Segmentation's three numbers, in percent.

    mIoU is the mean of two IoUs, of background and foreground, each of the pixels of all images
    together, as is the pixel accuracy; mAP is the mean over the images. Reads `gt_mask` [H, W],
    `pred_mask` [H, W] and `pred_scores` [2, H, W] of every sample.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002
        """Score a batch."""
        for sample in data_samples:
            if "gt_mask" not in sample:
                raise InputError(
                    f"the image {sample.get('img_path')} has no true mask to score by: expected "
                    "`gt_mask`, as the data set ImageNetSegmentation gives it"
                )
        masks, scores, truth = (
            torch.stack([sample[key] for sample in data_samples])
            for key in ("pred_mask", "pred_scores", "gt_mask")
        )
        truth = truth.to(masks.device)
        if truth.shape != masks.shape:
            raise InputError(
                f"masks of {tuple(masks.shape[1:])} pixels and true ones of "
                f"{tuple(truth.shape[1:])}: expected the same; set the size of ForegroundMask in "
                "the pipeline to that of the images"
            )
        found = foreground_scores(masks.bool(), scores, truth.bool())
        areas = (found.intersection, found.union, found.correct, found.truth)  # as mmseg's metric
        rows = (part.tolist() for part in (*areas, found.labelled, found.average_precision))
        self.results += zip(*rows, strict=True)

    def compute_metrics(
        self, results: list[tuple[list[int], list[int], int, list[int], int, float]]
    ) -> dict[str, float]:
        """Put together what all processes have kept."""
        _, _, correct, _, labelled, precision = zip(*results, strict=True)
        areas = MeanIoU().of_results(results).sum(axis=0)
        metrics = {
            "mIoU": float(MeanIoU().score(areas)),
            "pixel_accuracy": 100 * sum(correct) / sum(labelled),
            "mAP": 100 * sum(precision) / len(results),
            "images": float(len(results)),
        }
        return {name: round(value, 3) for name, value in metrics.items()}
