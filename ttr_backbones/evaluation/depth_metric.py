"""Monocular depth as an mmengine metric: per image, then the mean; nothing goes in silence."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS
from PIL import Image
from torch import Tensor

from ttr_backbones.atomic import writing_atomically
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.evaluation.depth_errors import (
    ERRORS,
    eigen_mask,
    garg_mask,
    masked_errors,
    valid_mask,
)
from ttr_backbones.result_names import result_paths

_MASKS = {"eigen": eigen_mask, "garg": garg_mask, None: valid_mask}
_PNG_MAX = 65535


# mmseg has a DepthMetric of its own, with other numbers; configs name this one by its first use.
@METRICS.register_module(name="NYUDepthMetric")
class DepthMetric(BaseMetric):
    """The nine depth errors of every image, averaged over the images, as the published numbers are.

    In a config it is `type="NYUDepthMetric"`, for KITTI too: mmseg registers another DepthMetric.

    The truth counts where it lies within the range and the crop; predictions there are clamped to
    the range. Besides the nine (see `depth_errors`) it gives

    - `rmse_pooled`: the RMSE over the pixels of all images, which is another number than `rmse`;
    - `images`: how many images were averaged;
    - `images_without_truth`, `images_not_finite`: how many were left out because no pixel has a
      truth, or because a prediction there is NaN or infinite; a warning names them;
    - `clamped_below`, `clamped_above`: the shares of the scored pixels that were clamped.

    Args:
        min_depth: smallest depth in metres.
        max_depth: largest depth in metres; 10 for NYUv2, 80 for KITTI.
        crop: pixels that are scored: "eigen" (NYUv2), "garg" (KITTI) or None for all.
        output_dir: folder for the predictions, uint16 PNG with 0 where a prediction is not finite.
            A file is named by the whole path of its image, scene folders included.
        output_scale: PNG value of one metre: 1000 for NYUv2, 256 for KITTI.
        **kwargs: as for mmengine's `BaseMetric`.

    Raises:
        InputError: an option that cannot be; prediction and truth of different sizes; no image
            that can be scored.
    """

    default_prefix = ""  # none, and no warning of mmengine's about it

    def __init__(
        self,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        crop: str | None = "eigen",
        output_dir: str | Path | None = None,
        output_scale: float = 1000.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < min_depth < max_depth:
            raise InputError(
                f"min_depth={min_depth} and max_depth={max_depth}: expected metres with "
                "0 < min_depth < max_depth"
            )
        if crop not in _MASKS:
            raise InputError(unknown_name("crop", str(crop), map(str, _MASKS)))
        if output_dir is not None and max_depth * output_scale > _PNG_MAX:
            raise InputError(
                f"output_scale={output_scale:g}: {max_depth:g} m do not fit into a 16-bit PNG; set "
                f"output_scale to at most {math.floor(_PNG_MAX / max_depth)} (KITTI's is 256)"
            )
        self.min_depth, self.max_depth, self.mask = min_depth, max_depth, _MASKS[crop]
        self.output_dir = None if output_dir is None else Path(output_dir).expanduser()
        self.output_scale = output_scale
        self._written: dict[Path, str] = {}
        self._names: dict[str, str] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Score the images of a batch; samples hold `pred_depth_map` and `gt_depth_map`."""
        for sample in data_samples:
            name = str(sample.get("img_path", f"image {len(self.results)}"))
            if "gt_depth_map" not in sample:
                raise InputError(
                    f"{name} has no gt_depth_map to compare with: put dict(type='LoadDepth') into "
                    "the test pipeline, before PackSegInputs"
                )
            pred = sample["pred_depth_map"]["data"]
            gt = sample["gt_depth_map"]["data"].to(pred.device)
            if pred.shape != gt.shape:
                raise InputError(
                    f"{name}: the prediction is {list(pred.shape)} and the truth {list(gt.shape)}, "
                    "expected one size. Both have to pass through the same crops, and a resized "
                    "image has to keep its ori_shape"
                )
            self.results.append((name, self._score(pred, gt).tolist()))
            if self.output_dir is not None:
                self._save(pred, name)

    def _score(self, pred: Tensor, gt: Tensor) -> Tensor:
        """Depth maps [1, H, W] -> float64 [13]: the nine errors, then counts of pixels.

        These are all scored ones, those not finite, those clamped from below and from above.
        """
        mask = self.mask(gt, self.min_depth, self.max_depth)
        clamped = pred.clamp(self.min_depth, self.max_depth)
        kinds = (mask, ~pred.isfinite(), pred < self.min_depth, pred > self.max_depth)
        counts = torch.stack([(mask & kind).sum() for kind in kinds])
        return torch.cat([masked_errors(clamped, gt, mask), counts.double()])

    def compute_metrics(self, results: list[tuple[str, list[float]]]) -> dict[str, float]:
        """Average over the images of all processes."""
        table = np.array([values for _, values in results]).reshape(-1, len(ERRORS) + 4)
        pixels, not_finite = table[:, len(ERRORS)], table[:, len(ERRORS) + 1]
        without_truth, broken = pixels == 0, not_finite > 0
        names = np.array([name for name, _ in results], dtype=object)
        _warn(names[without_truth].tolist(), "no pixel has a truth within the range and the crop")
        _warn(names[broken].tolist(), "the prediction is not finite")
        kept = table[~(without_truth | broken)]
        if not len(kept):
            raise InputError(
                f"no image can be scored: of {len(results)}, {without_truth.sum()} have no truth "
                f"within {self.min_depth:g}..{self.max_depth:g} m and the crop, and "
                f"{broken.sum()} have predictions that are not finite. Check the scale of the "
                "depth files (LoadDepth) and the checkpoint."
            )
        errors, (pixels, _, below, above) = kept[:, : len(ERRORS)], kept[:, len(ERRORS) :].T
        squares = errors[:, ERRORS.index("rmse")] ** 2
        # Counts too are floats: mmengine 0.10.7 writes an integer into its JSON log as null.
        return {
            **dict(zip(ERRORS, errors.mean(axis=0).tolist(), strict=True)),
            "rmse_pooled": float(np.sqrt(np.average(squares, weights=pixels))),
            "images": float(len(kept)),
            "images_without_truth": float(without_truth.sum()),
            "images_not_finite": float(broken.sum()),
            "clamped_below": float(below.sum() / pixels.sum()),
            "clamped_above": float(above.sum() / pixels.sum()),
        }

    def name_files(self, files: Sequence[str]) -> None:
        """Choose names for the depth maps of `files`: a.jpg and a.png keep their suffix."""
        self._names = {file: path.name for file, path in result_paths(files).items()}

    def _save(self, pred: Tensor, name: str) -> None:
        assert self.output_dir is not None
        source = Path(name)
        folders = [part for part in source.parent.parts if part not in {source.anchor, ".."}]
        path = self.output_dir.joinpath(*folders, f"{self._names.get(name, source.stem)}.png")
        if self._written.setdefault(path, name) != name:
            raise InputError(
                f"{name} and {self._written[path]} would both be saved as {path}; give the images "
                "names that differ in more than the suffix"
            )
        depth = pred[0].nan_to_num(0.0, 0.0, 0.0).clamp(0.0, self.max_depth) * self.output_scale
        with writing_atomically(path) as partial:
            Image.fromarray(depth.round().cpu().numpy().astype(np.uint16)).save(partial, "PNG")


def _warn(names: list[str], reason: str) -> None:
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        print_log(
            f"{len(names)} images are left out of the depth metric, because {reason}: "
            f"{', '.join(names[:5])}{more}.",
            logger="current",
            level=logging.WARNING,
        )
