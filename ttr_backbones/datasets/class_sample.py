"""`ClassSample`: one image of classification, with its true class and the predicted one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement
from mmseg.registry import TRANSFORMS
from torch import Tensor

_METAINFO = ("img_path", "ori_shape", "img_shape", "sample_idx")


class ClassSample(BaseDataElement):
    """What a pipeline packs for an image, and what a model adds to it.

    Metainfo: `img_path`; `ori_shape` and `img_shape` as (H, W), on disk and as the model sees it.

    From the data set, each absent where there is none:
        gt_label: number of the true class.
        written_label: of a typographic attack, number of the class that is written on the image.
        text_boxes: where it is written, float32 [n, 4] as x1, y1, x2, y2 in pixels of the image as
            the model sees it, right and bottom excluded.

    From the model:
        pred_classes, pred_scores: numbers of the best five classes (all, if there are less), best
            first, and their probabilities; of kNN shares of the votes of the first k neighbours.
        pred_by_k: of kNN alone, the number of the class for each k.
    """

    gt_label: int
    written_label: int
    text_boxes: Tensor
    pred_classes: Tensor
    pred_scores: Tensor
    pred_by_k: dict[int, int]


@TRANSFORMS.register_module()
class PackClassInputs(BaseTransform):
    """Packs `img` as `inputs`, uint8 [3, H, W] in BGR, and the rest as a `ClassSample`."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack the image, its class if it has one, its path and its sizes."""
        sample = ClassSample(metainfo={key: results[key] for key in _METAINFO if key in results})
        if "gt_label" in results:
            sample.gt_label = int(results["gt_label"])
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}
