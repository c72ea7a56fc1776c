"""From a data info with boxes to what an object discoverer takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ttr_backbones.datasets.box_sample import BoxSample
from ttr_backbones.datasets.orientation_check import check_upright
from ttr_backbones.errors import InputError

_SLACK = 1.0  # pixels; official annotations touch the border with rounding errors
_METAINFO = ("img_path", "ori_shape", "img_shape", "scale_factor")


@TRANSFORMS.register_module()
class LoadBoxes(BaseTransform):
    """Checks the `boxes` of a data info against its image and puts them in `gt_boxes`.

    They are float32 [M, 4], x1, y1, x2, y2, and stay in pixels of the image as it lies on disk: a
    resize before or after changes what the model sees, not what is scored.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Check and convert; `LoadImage` comes first."""
        path = results["img_path"]
        if "boxes" not in results:
            raise InputError(
                f"LoadBoxes found no boxes for {path}: its data set has no ground truth. Take "
                "LoadBoxes out of the pipeline, or use VOCBoxes or COCO20k."
            )
        height, width = results["ori_shape"]
        listed = tuple(results.get("size", (width, height)))
        if listed != (width, height):
            raise InputError(
                f"the image {path} has {width}x{height} pixels, its annotation says "
                f"{listed[0]}x{listed[1]} (width x height): expected the same. Use the images that "
                "the boxes were drawn on, not resized ones; if the image is rotated by its EXIF "
                "tag, use LoadImage with color_type='color_ignore_orientation'."
            )
        check_upright(results, "the data set", "boxes")
        boxes = np.asarray(results["boxes"], dtype=np.float32).reshape(-1, 4)
        outside = (boxes[:, :2] < -_SLACK) | (boxes[:, 2:] > np.array([width, height]) + _SLACK)
        if outside.any():
            first = boxes[outside.any(axis=1)][0].tolist()
            raise InputError(
                f"the box {first} (x1, y1, x2, y2) lies outside the image {path} of "
                f"{width}x{height} pixels. Correct the annotation of this image."
            )
        results["gt_boxes"] = boxes
        return results


@TRANSFORMS.register_module()
class PackBoxInputs(BaseTransform):
    """Packs `img` as `inputs`, uint8 [3, H, W] in BGR, and the rest as a `BoxSample`."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack the image, its boxes if there are any, its path and its sizes."""
        sample = BoxSample(metainfo={key: results[key] for key in _METAINFO if key in results})
        if "gt_boxes" in results:
            sample.gt_boxes = torch.from_numpy(results["gt_boxes"])
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}
